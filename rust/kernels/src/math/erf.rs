//! The error function and its complement.

use super::{exp, poly};
use crate::simd::{Select, Vector};

/// `erf(x)` for `|x| <= 1`, as `x + x Q(x^2)`: the first term is exact and the larger one.
#[inline(always)]
fn erf_small<V: Vector>(x: V) -> V {
    x.mul_add(
        poly!(V, x * x,
        f32: [0.12837917, -0.37612626, 0.112836, -0.02685444, 0.005189526, -0.0008020749, 7.888786e-05],
        f64: [
            0.1283791670955126, -0.3761263890318355, 0.11283791670945241, -0.02686617064327432,
            0.005223977607407874, -0.0008548325988944845, 0.00012055295297826368, -1.4924744223796608e-05,
            1.6447512199141327e-06, -1.6209133500610432e-07, 1.3722790771487362e-08, -7.800838681939578e-10,
        ]),
        x,
    )
}

/// `erfc(a)` for `a >= 0.45`: `(1 + 2a) e^(a^2) erfc(a)` is nearly flat, and a polynomial in `(a - 3)/(a + 3)`.
#[inline(always)]
fn erfc_large<V: Vector>(a: V) -> V {
    // Far beyond the last non-zero result; keeps the quotient finite. NaN passes through.
    let a = V::from_f64(40.0).min(a);
    let three = V::from_f64(3.0);
    let t = (a - three) / (a + three);
    let p = poly!(V, t,
    f32: [
        1.253008, -0.13562103, -0.047562417, 0.12964211, -0.11927193, 0.0683432, -0.023772936, 0.0023702804,
        0.0018511069, -0.0004999282,
    ],
    f64: [
        1.2530080582697296, -0.13562110612458056, -0.04756229435343254, 0.1296451587026811, -0.11927366341642907,
        0.06830802734698051, -0.023770514891877318, 0.0025293917635741516, 0.001888690032811032,
        -0.0007798317626738317, -0.00010515749388798812, 0.00012509635204839784, 4.939425793370439e-06,
        -2.0089384584240783e-05, -7.037050748667114e-07, 3.445806001707186e-06, 3.083218988141711e-07,
        -5.772619618611312e-07, -9.010336127847094e-08, 6.834459345618237e-08, 1.1302222568897687e-08,
    ]);
    // e^(-a^2) with the rounding of the square made good: the exponential would magnify it.
    let square = a * a;
    let lost = a.mul_add(a, -square);
    let q = p / a.mul_add(V::from_f64(2.0), V::from_f64(1.0));
    (q - q * lost) * exp(-square)
}

/// The error function, `2/sqrt(pi)` times the integral of `e^(-t^2)` from 0 to `x`. At most 2 ulp.
#[inline(always)]
pub fn erf<V: Vector>(x: V) -> V {
    let one = V::from_f64(1.0);
    let a = x.abs();
    a.lt(one).select(erf_small(x), (one - erfc_large(a)).copysign(x))
}

/// `1 - erf(x)`, accurate where that is small. At most 4 ulp, in the far tail.
#[inline(always)]
pub fn erfc<V: Vector>(x: V) -> V {
    let a = x.abs();
    let tail = erfc_large(a);
    let tail = x.lt(V::zero()).select(V::from_f64(2.0) - tail, tail);
    a.lt(V::from_f64(0.5)).select(V::from_f64(1.0) - erf_small(x), tail)
}
