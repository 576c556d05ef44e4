//! Hyperbolic functions and their inverses.

use super::exp::exp_scaled;
use super::{expm1, log, log1p, pick};
use crate::simd::{Float, Select, Vector};

/// `tanh(x)`. At most 2.5 ulp.
#[inline(always)]
pub fn tanh<V: Vector>(x: V) -> V {
    // Beyond this the result is 1 to the last bit, and e^2x would overflow.
    let a = pick!(V, 10.0, 20.0).min(x.abs());
    let t = expm1(a + a);
    (t / (t + V::from_f64(2.0))).copysign(x)
}

/// `sinh(x)`. At most 3 ulp.
#[inline(always)]
pub fn sinh<V: Vector>(x: V) -> V {
    let a = x.abs();
    let (half, one) = (V::from_f64(0.5), V::from_f64(1.0));
    let t = expm1(a);
    let small = half * (t + t / (t + one));
    let e = exp_scaled(a, -1.0);
    let large = e - V::from_f64(0.25) / e;
    a.lt(one).select(small, large).copysign(x)
}

/// `cosh(x)`. At most 2 ulp.
#[inline(always)]
pub fn cosh<V: Vector>(x: V) -> V {
    let e = exp_scaled(x.abs(), -1.0);
    e + V::from_f64(0.25) / e
}

/// Arguments above this have squares that do not change by adding 1, and do not overflow yet.
#[inline(always)]
fn is_big<V: Vector>(a: V) -> V::Mask {
    a.gt(pick!(V, 1e6, 1e10))
}

/// `asinh(x)`. At most 3.5 ulp.
#[inline(always)]
pub fn asinh<V: Vector>(x: V) -> V {
    let a = x.abs();
    let one = V::from_f64(1.0);
    let square = a * a;
    let t = log1p(a + square / (one + (one + square).sqrt()));
    let big = log(a) + V::from_f64(std::f64::consts::LN_2);
    is_big(a).select(big, t).copysign(x)
}

/// `acosh(x)`, NaN below 1. At most 3.5 ulp.
#[inline(always)]
pub fn acosh<V: Vector>(x: V) -> V {
    let t = x - V::from_f64(1.0);
    let y = log1p(t + (t * (t + V::from_f64(2.0))).sqrt());
    let y = is_big(x).select(log(x) + V::from_f64(std::f64::consts::LN_2), y);
    t.lt(V::zero()).select(V::splat(V::Elem::NAN), y)
}

/// `atanh(x)`, infinite at -1 and 1, NaN outside. At most 3.5 ulp.
#[inline(always)]
pub fn atanh<V: Vector>(x: V) -> V {
    let a = x.abs();
    (V::from_f64(0.5) * log1p((a + a) / (V::from_f64(1.0) - a))).copysign(x)
}
