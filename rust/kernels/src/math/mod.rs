//! Elementary functions over [`Vector`] lanes, for `f32` and `f64`.
//!
//! Each states its largest error in units in the last place (ulp), as found by the tests over every binade, for both
//! types and every instruction set. Infinities, NaN, signed zeros and denormals behave as in C's `math.h`. Polynomials
//! are minimax fits made for these argument ranges.

use crate::simd::{Float, Mask, Select, Vector};

mod erf;
mod exp;
mod hyperbolic;
mod log;
mod trig;

#[cfg(test)]
mod tests;

pub use erf::{erf, erfc};
pub use exp::{exp, exp2, expm1, log_sigmoid, sigmoid, softplus};
pub use hyperbolic::{acosh, asinh, atanh, cosh, sinh, tanh};
pub use log::{log, log1p, log2, log10};
pub use trig::{acos, asin, atan, atan2, cos, sin, tan};

/// A constant of its own for each lane type: `pick!(V, f32 value, f64 value)`.
macro_rules! pick {
    ($V:ident, $single:expr, $double:expr) => {
        $V::from_f64(if <$V::Elem as $crate::simd::Float>::IS_F64 { $double } else { $single })
    };
}
use pick;

/// `c0 + x (c1 + x (c2 + ...))` by fused multiply-adds.
macro_rules! horner {
    ($V:ident, $x:expr, [$c:expr $(,)?]) => { $V::from_f64($c) };
    ($V:ident, $x:expr, [$c:expr, $($rest:expr),+ $(,)?]) => {
        $crate::math::horner!($V, $x, [$($rest),+]).mul_add($x, $V::from_f64($c))
    };
}
use horner;

/// A polynomial with coefficients of its own for each lane type, lowest power first.
macro_rules! poly {
    ($V:ident, $x:expr, f32: $single:tt, f64: $double:tt $(,)?) => {
        if <$V::Elem as $crate::simd::Float>::IS_F64 {
            $crate::math::horner!($V, $x, $double)
        } else {
            $crate::math::horner!($V, $x, $single)
        }
    };
}
use poly;

/// pi/2 to three times the precision of the lane type.
macro_rules! half_pi {
    ($V:ident) => {
        (
            $crate::math::pick!($V, 1.5707963705062866, std::f64::consts::FRAC_PI_2),
            $crate::math::pick!($V, -4.371138828673793e-08, 6.123233995736766e-17),
            $crate::math::pick!($V, -1.7151245100058819e-15, -1.4973849048591698e-33),
        )
    };
}
use half_pi;

/// `x` to the power `y`. At most 1 ulp. Special cases as in C: `pow(x, 0)` and `pow(1, y)` are 1 even for NaN; a
/// negative finite `x` needs an integral `y`.
#[inline(always)]
pub fn pow<V: Vector>(x: V, y: V) -> V {
    if V::Elem::IS_F64 {
        // A logarithm of twice the precision would be needed: lane by lane through the standard library.
        return x.zip_lanes(y, |x, y| V::Elem::of_f64(x.to_f64().powf(y.to_f64())));
    }
    let (one, zero) = (V::from_f64(1.0), V::zero());
    let ([a0, a1], [y0, y1]) = (x.abs().to_double(), y.to_double());
    // The logarithm's error of 2 ulp in f64, times an exponent of at most 150, is nothing in f32.
    let magnitude = V::of_double([exp2(y0 * log2(a0)), exp2(y1 * log2(a1))]);
    let half = y * V::from_f64(0.5);
    let is_integral = y.trunc().eq(y);
    let is_odd = is_integral & half.trunc().ne(half);
    let signed = (is_odd & x.is_sign_negative()).select(-magnitude, magnitude);
    let is_finite_negative = x.lt(zero) & x.gt(V::splat(V::Elem::NEG_INFINITY));
    let result = (is_finite_negative & !is_integral & y.eq(y)).select(V::splat(V::Elem::NAN), signed);
    let is_one = x.eq(one) | y.eq(zero) | (x.eq(-one) & y.abs().eq(V::splat(V::Elem::INFINITY)));
    is_one.select(one, result)
}

/// `1 / sqrt(x)`. At most 1.5 ulp.
#[inline(always)]
pub fn rsqrt<V: Vector>(x: V) -> V {
    V::from_f64(1.0) / x.sqrt()
}

/// -1, 0 or 1 by the sign of `x`; zero and NaN stay themselves.
#[inline(always)]
pub fn sign<V: Vector>(x: V) -> V {
    (x.lt(V::zero()) | x.gt(V::zero())).select(V::from_f64(1.0).copysign(x), x)
}

/// Where `x` is neither infinite nor NaN.
#[inline(always)]
pub fn is_finite<V: Vector>(x: V) -> V::Mask {
    x.abs().le(V::splat(V::Elem::MAX))
}

/// The remainder of `x / y` with the sign of `y`, as Python's `%`: `x - y * floor(x / y)`, computed lane by lane.
#[inline(always)]
pub fn remainder<V: Vector>(x: V, y: V) -> V {
    x.zip_lanes(y, |x, y| {
        let (x, y) = (x.to_f64(), y.to_f64());
        let r = x % y;
        V::Elem::of_f64(if r != 0.0 && (r < 0.0) != (y < 0.0) { r + y } else { r })
    })
}

/// The remainder of `x / y` with the sign of `x`, as C's `fmod`, computed lane by lane. Exact.
#[inline(always)]
pub fn fmod<V: Vector>(x: V, y: V) -> V {
    x.zip_lanes(y, |x, y| V::Elem::of_f64(x.to_f64() % y.to_f64()))
}

/// Whether a mask is false in every lane.
#[inline(always)]
fn none(mask: impl Mask) -> bool {
    !mask.any()
}
