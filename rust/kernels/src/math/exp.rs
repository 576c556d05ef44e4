//! Exponentials, and what is made of one exponential.

use super::{log1p, pick, poly};
use crate::simd::{Select, Vector};

/// `(n, r)` with `x = n ln 2 + r`, `n` integral and `|r| <= ln 2 / 2`.
#[inline(always)]
fn reduce<V: Vector>(x: V) -> (V, V) {
    let n = (x * V::from_f64(std::f64::consts::LOG2_E)).round();
    // ln 2 in two parts; the first step is exact.
    let r = (-n).mul_add(pick!(V, 0.6931471824645996, std::f64::consts::LN_2), x);
    (n, (-n).mul_add(pick!(V, -1.9046542121259336e-09, 2.3190468138462996e-17), r))
}

/// `e^r - 1` for `|r| <= ln 2 / 2`.
#[inline(always)]
fn expm1_reduced<V: Vector>(r: V) -> V {
    let q = poly!(V, r,
    f32: [0.5, 0.16666667, 0.04166624, 0.008333286, 0.0013948593, 0.00019907585],
    f64: [
        0.5, 0.16666666666666677, 0.0416666666666667, 0.008333333333321615, 0.0013888888888866783,
        0.0001984126988615871, 2.480158736064944e-05, 2.755724418185878e-06, 2.7557242690401485e-07,
        2.5109044884005526e-08, 2.0924462078268075e-09,
    ]);
    (r * r).mul_add(q, r)
}

/// `e^x * 2^shift`.
#[inline(always)]
pub(super) fn exp_scaled<V: Vector>(x: V, shift: f64) -> V {
    // Beyond these the result is 0 or infinity; without the limits `r` would be inf - inf. NaN passes through,
    // because `max` and `min` give their second operand.
    let x = pick!(V, -106.0, -748.0).max(x);
    let x = pick!(V, 90.5, 712.0).min(x);
    let (n, r) = reduce(x);
    (V::from_f64(1.0) + expm1_reduced(r)).scale2(n + V::from_f64(shift))
}

/// `e^x`. At most 1 ulp.
#[inline(always)]
pub fn exp<V: Vector>(x: V) -> V {
    exp_scaled(x, 0.0)
}

/// `2^x`. At most 1 ulp, exact for integers.
#[inline(always)]
pub fn exp2<V: Vector>(x: V) -> V {
    let x = pick!(V, -152.0, -1080.0).max(x);
    let x = pick!(V, 129.0, 1025.0).min(x);
    let n = x.round();
    let r = x - n;
    let p = poly!(V, r,
    f32: [0.69314724, 0.2402265, 0.055502973, 0.009618031, 0.0013410031, 0.00015469758],
    f64: [
        std::f64::consts::LN_2, 0.2402265069591013, 0.05550410866482008, 0.009618129107594067, 0.00133335581467751,
        0.0001540353045718661, 1.5252733492823402e-05, 1.321543524205914e-06, 1.0178199635906054e-07,
        7.073790634852487e-09, 4.4347706894168096e-10,
    ]);
    r.mul_add(p, V::from_f64(1.0)).scale2(n)
}

/// `e^x - 1`, accurate near 0. At most 2 ulp.
#[inline(always)]
pub fn expm1<V: Vector>(x: V) -> V {
    // Below the lower limit the result is -1 to the last bit.
    let clamped = pick!(V, 90.5, 712.0).min(pick!(V, -18.0, -40.0).max(x));
    let (n, r) = reduce(clamped);
    let q = expm1_reduced(r);
    // 2^n (q + (1 - 2^-n)); for large n the 2^-n no longer counts, and must not become denormal.
    let t = (-n.min(V::from_f64(64.0))).pow2();
    let y = (q + (V::from_f64(1.0) - t)).scale2(n);
    // Keeps the sign of zero.
    x.eq(V::zero()).select(x, y)
}

/// `1 / (1 + e^-x)`, accurate in both tails. At most 2.5 ulp.
#[inline(always)]
pub fn sigmoid<V: Vector>(x: V) -> V {
    let one = V::from_f64(1.0);
    let e = exp(-x.abs());
    x.lt(V::zero()).select(e, one) / (one + e)
}

/// `log(sigmoid(x))`, without overflow or cancellation. At most 3 ulp.
#[inline(always)]
pub fn log_sigmoid<V: Vector>(x: V) -> V {
    -softplus(-x)
}

/// `log(1 + e^x)`, without overflow or cancellation. At most 3 ulp.
#[inline(always)]
pub fn softplus<V: Vector>(x: V) -> V {
    V::zero().max(x) + log1p(exp(-x.abs()))
}
