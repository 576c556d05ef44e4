//! Logarithms.

use super::{pick, poly};
use crate::simd::{Float, Select, Vector};

/// `(e, f, y)` with `x = 2^e (1 + f)` and `log(1 + f) = f + y`, for positive finite `x`; `y` is at most `f^2 / 2`, so
/// that `f`, which is exact, carries most of the result.
#[inline(always)]
fn parts<V: Vector>(x: V) -> (V, V, V) {
    let (m, e) = x.frexp();
    let f = m - V::from_f64(1.0);
    let square = f * f;
    let half_square = square * V::from_f64(0.5);
    let y = if V::Elem::IS_F64 {
        // log((1 + s) / (1 - s)) = 2 s + s R(s^2), with 2 s = f - s f.
        let s = f / (V::from_f64(2.0) + f);
        let z = s * s;
        let r = z * poly!(V, z,
        f32: [0.0],
        f64: [
            0.666666666666666, 0.40000000000056024, 0.28571428555987294, 0.22222224278493685, 0.18181666949811243,
            0.15391076986335955, 0.13174184922993737, 0.13839089060440532,
        ]);
        s * (half_square + r) - half_square
    } else {
        let p = poly!(V, f,
            f32: [
                0.3333345, -0.25000098, 0.19990847, -0.16647246, 0.14478505, -0.13162065, 0.104643054, -0.045079757,
            ],
            f64: [0.0]);
        (square * f).mul_add(p, -half_square)
    };
    (e, f, y)
}

/// Puts the results of special arguments in place: 0, negative numbers, infinity, NaN.
#[inline(always)]
fn finish<V: Vector>(x: V, y: V) -> V {
    let special =
        x.eq(V::zero()).select(V::splat(V::Elem::NEG_INFINITY), x.lt(V::zero()).select(V::splat(V::Elem::NAN), x));
    (x.gt(V::zero()) & x.lt(V::splat(V::Elem::INFINITY))).select(y, special)
}

/// `f + y` after the low parts, then `e ln 2` on top.
#[inline(always)]
fn assemble<V: Vector>(e: V, f: V, y: V) -> V {
    let y = e.mul_add(pick!(V, -1.9046542121259336e-09, 2.3190468138462996e-17), y);
    e.mul_add(pick!(V, 0.6931471824645996, std::f64::consts::LN_2), f + y)
}

/// The natural logarithm. At most 1 ulp.
#[inline(always)]
pub fn log<V: Vector>(x: V) -> V {
    let (e, f, y) = parts(x);
    finish(x, assemble(e, f, y))
}

/// The logarithm to base 2. At most 2 ulp, exact for powers of 2.
#[inline(always)]
pub fn log2<V: Vector>(x: V) -> V {
    let (e, f, y) = parts(x);
    let high = pick!(V, 1.4426950216293335, std::f64::consts::LOG2_E);
    let low = pick!(V, 1.925963033500011e-08, 2.0355273740931033e-17);
    finish(x, e + f.mul_add(high, y.mul_add(high, f * low)))
}

/// The logarithm to base 10. At most 2 ulp.
#[inline(always)]
pub fn log10<V: Vector>(x: V) -> V {
    let (e, f, y) = parts(x);
    let high = pick!(V, 0.4342944920063019, std::f64::consts::LOG10_E);
    let low = pick!(V, -1.0103049952192578e-08, 1.098319650216765e-17);
    let r = f.mul_add(high, y.mul_add(high, f * low));
    let r = e.mul_add(pick!(V, -1.432098883924482e-08, -2.8037281277851704e-18), r);
    finish(x, e.mul_add(pick!(V, 0.3010300099849701, std::f64::consts::LOG10_2), r))
}

/// `log(1 + x)`, accurate near 0. At most 2 ulp.
#[inline(always)]
pub fn log1p<V: Vector>(x: V) -> V {
    let one = V::from_f64(1.0);
    let u = one + x;
    // What the rounding of 1 + x lost, by the side that is exact; log(u + c) = log(u) + c / u.
    let c = x.gt(one).select(one - (u - x), x - (u - one));
    let (e, f, y) = parts(u);
    let r = finish(u, assemble(e, f, y + c / u));
    // Keeps the sign of zero, and infinity, for which c is NaN.
    (x.eq(V::zero()) | x.eq(V::splat(V::Elem::INFINITY))).select(x, r)
}
