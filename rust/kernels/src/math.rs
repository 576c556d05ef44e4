//! Placeholder lane-by-lane math functions; the vectorised ones replace this file.
#![allow(missing_docs)]
use crate::simd::{Float, Vector};
#[inline(always)]
fn lanes<V: Vector>(x: V, f: impl Fn(f64) -> f64) -> V {
    x.map_lanes(|v| V::Elem::of_f64(f(v.to_f64())))
}
#[inline(always)]
pub fn exp<V: Vector>(x: V) -> V {
    lanes(x, f64::exp)
}
#[inline(always)]
pub fn exp2<V: Vector>(x: V) -> V {
    lanes(x, f64::exp2)
}
#[inline(always)]
pub fn expm1<V: Vector>(x: V) -> V {
    lanes(x, f64::exp_m1)
}
#[inline(always)]
pub fn log<V: Vector>(x: V) -> V {
    lanes(x, f64::ln)
}
#[inline(always)]
pub fn log2<V: Vector>(x: V) -> V {
    lanes(x, f64::log2)
}
#[inline(always)]
pub fn log10<V: Vector>(x: V) -> V {
    lanes(x, f64::log10)
}
#[inline(always)]
pub fn log1p<V: Vector>(x: V) -> V {
    lanes(x, f64::ln_1p)
}
#[inline(always)]
pub fn sin<V: Vector>(x: V) -> V {
    lanes(x, f64::sin)
}
#[inline(always)]
pub fn cos<V: Vector>(x: V) -> V {
    lanes(x, f64::cos)
}
#[inline(always)]
pub fn tan<V: Vector>(x: V) -> V {
    lanes(x, f64::tan)
}
#[inline(always)]
pub fn asin<V: Vector>(x: V) -> V {
    lanes(x, f64::asin)
}
#[inline(always)]
pub fn acos<V: Vector>(x: V) -> V {
    lanes(x, f64::acos)
}
#[inline(always)]
pub fn atan<V: Vector>(x: V) -> V {
    lanes(x, f64::atan)
}
#[inline(always)]
pub fn sinh<V: Vector>(x: V) -> V {
    lanes(x, f64::sinh)
}
#[inline(always)]
pub fn cosh<V: Vector>(x: V) -> V {
    lanes(x, f64::cosh)
}
#[inline(always)]
pub fn tanh<V: Vector>(x: V) -> V {
    lanes(x, f64::tanh)
}
#[inline(always)]
pub fn asinh<V: Vector>(x: V) -> V {
    lanes(x, f64::asinh)
}
#[inline(always)]
pub fn acosh<V: Vector>(x: V) -> V {
    lanes(x, f64::acosh)
}
#[inline(always)]
pub fn atanh<V: Vector>(x: V) -> V {
    lanes(x, f64::atanh)
}
#[inline(always)]
pub fn pow<V: Vector>(x: V, y: V) -> V {
    x.zip_lanes(y, |a, b| V::Elem::of_f64(a.to_f64().powf(b.to_f64())))
}
#[inline(always)]
pub fn atan2<V: Vector>(x: V, y: V) -> V {
    x.zip_lanes(y, |a, b| V::Elem::of_f64(a.to_f64().atan2(b.to_f64())))
}
#[inline(always)]
pub fn sigmoid<V: Vector>(x: V) -> V {
    lanes(x, |v| 1.0 / (1.0 + (-v).exp()))
}
#[inline(always)]
pub fn softplus<V: Vector>(x: V) -> V {
    lanes(x, |v| v.max(0.0) + (-v.abs()).exp().ln_1p())
}
#[inline(always)]
pub fn log_sigmoid<V: Vector>(x: V) -> V {
    -softplus(-x)
}
mod c {
    unsafe extern "C" {
        pub safe fn erf(x: f64) -> f64;
        pub safe fn erfc(x: f64) -> f64;
    }
}
#[inline(always)]
pub fn erf<V: Vector>(x: V) -> V {
    lanes(x, |v| c::erf(v))
}
#[inline(always)]
pub fn erfc<V: Vector>(x: V) -> V {
    lanes(x, |v| c::erfc(v))
}
