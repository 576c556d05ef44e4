//! Trigonometric functions and their inverses.

use super::{half_pi, none, pick, poly};
use crate::simd::{Float, Select, Vector};

/// The largest argument that [`reduce`] takes: below it the first product of the reduction is exact.
#[inline(always)]
fn limit<V: Vector>() -> V {
    pick!(V, 1e5, 1e6)
}

/// `(r, k)` with `x = r + (k + 4 m) pi/2`, `|r| <= pi/4` and `k` one of 0, 1, 2, 3.
#[inline(always)]
fn reduce<V: Vector>(x: V) -> (V, V) {
    let n = (x * V::from_f64(std::f64::consts::FRAC_2_PI)).round();
    let (c1, c2, c3) = half_pi!(V);
    let r = (-n).mul_add(c3, (-n).mul_add(c2, (-n).mul_add(c1, x)));
    (r, n - V::from_f64(4.0) * (n * V::from_f64(0.25)).floor())
}

/// `sin(r)` for `|r| <= pi/4`.
#[inline(always)]
fn sin_reduced<V: Vector>(r: V) -> V {
    let z = r * r;
    let p = poly!(V, z,
    f32: [-0.16666655, 0.008332099, -0.0001950363],
    f64: [
        -0.1666666666666664, 0.008333333333323624, -0.00019841269830109135, 2.7557313638603615e-06,
        -2.505073239418497e-08, 1.5894580575115024e-10,
    ]);
    (r * z).mul_add(p, r)
}

/// `cos(r)` for `|r| <= pi/4`.
#[inline(always)]
fn cos_reduced<V: Vector>(r: V) -> V {
    let z = r * r;
    let p = poly!(V, z,
    f32: [0.041666646, -0.0013887364, 2.4438092e-05],
    f64: [
        0.0416666666666666, -0.0013888888888874066, 2.4801587289444193e-05, -2.755731434084061e-07,
        2.0875721645903587e-09, -1.1359560383806763e-11,
    ]);
    // 1 - z/2 is rounded once; what it lost goes into the small part.
    let half = z * V::from_f64(0.5);
    let one = V::from_f64(1.0);
    let w = one - half;
    w + (z * z).mul_add(p, (one - w) - half)
}

/// `sin(x)`. At most 1.5 ulp for `|x| <= 1e5` (`f32`) or `1e6` (`f64`); above, lane by lane through the standard library.
#[inline(always)]
pub fn sin<V: Vector>(x: V) -> V {
    if !none(x.abs().gt(limit())) {
        return x.map_lanes(|x| V::Elem::of_f64(x.to_f64().sin()));
    }
    let (r, k) = reduce(x);
    let is_odd = k.eq(V::from_f64(1.0)) | k.eq(V::from_f64(3.0));
    let y = is_odd.select(cos_reduced(r), sin_reduced(r));
    let y = k.ge(V::from_f64(2.0)).select(-y, y);
    // Keeps the sign of zero.
    x.eq(V::zero()).select(x, y)
}

/// `cos(x)`. At most 1.5 ulp for `|x| <= 1e5` (`f32`) or `1e6` (`f64`); above, lane by lane through the standard library.
#[inline(always)]
pub fn cos<V: Vector>(x: V) -> V {
    if !none(x.abs().gt(limit())) {
        return x.map_lanes(|x| V::Elem::of_f64(x.to_f64().cos()));
    }
    let (r, k) = reduce(x);
    let (one, two) = (V::from_f64(1.0), V::from_f64(2.0));
    let is_odd = k.eq(one) | k.eq(V::from_f64(3.0));
    let y = is_odd.select(sin_reduced(r), cos_reduced(r));
    (k.eq(one) | k.eq(two)).select(-y, y)
}

/// `tan(x)`. At most 3 ulp for `|x| <= 1e5` (`f32`) or `1e6` (`f64`); above, lane by lane through the standard library.
#[inline(always)]
pub fn tan<V: Vector>(x: V) -> V {
    if !none(x.abs().gt(limit())) {
        return x.map_lanes(|x| V::Elem::of_f64(x.to_f64().tan()));
    }
    let (r, k) = reduce(x);
    let is_odd = k.eq(V::from_f64(1.0)) | k.eq(V::from_f64(3.0));
    let (s, c) = (sin_reduced(r), cos_reduced(r));
    let y = is_odd.select(-c, s) / is_odd.select(s, c);
    // Keeps the sign of zero.
    x.eq(V::zero()).select(x, y)
}

/// `atan(t) - t` for `|t| <= tan(pi/8)`.
#[inline(always)]
fn atan_reduced<V: Vector>(t: V) -> V {
    let z = t * t;
    let p = poly!(V, z,
    f32: [-0.33333316, 0.19998485, -0.14243768, 0.1059537, -0.06081768],
    f64: [
        -0.333333333333332, 0.19999999999953777, -0.1428571428021611, 0.11111110784440696, -0.09090897785669579,
        0.07692060702087898, -0.06663109425577031, 0.058479269689976784, -0.05039467015761708,
        0.03806848479085499, -0.017911281540851018,
    ]);
    t * z * p
}

/// `atan(n / d)` for `n, d >= 0`, not both 0, not both infinite.
#[inline(always)]
fn atan_ratio<V: Vector>(n: V, d: V) -> V {
    // Three ranges, each turned onto |t| <= tan(pi/8): n/d, (n-d)/(n+d) + pi/4, -d/n + pi/2.
    let (high, low, _) = half_pi!(V);
    let is_middle = n.gt(d * V::from_f64(std::f64::consts::SQRT_2 - 1.0));
    let is_steep = n.gt(d * V::from_f64(std::f64::consts::SQRT_2 + 1.0));
    let top = is_steep.select(-d, is_middle.select(n - d, n));
    let bottom = is_steep.select(n, is_middle.select(n + d, d));
    let half = V::from_f64(0.5);
    let turn = |whole: V| is_steep.select(whole, is_middle.select(whole * half, V::zero()));
    let t = top / bottom;
    turn(high) + (t + (atan_reduced(t) + turn(low)))
}

/// `atan(x)`. At most 2 ulp.
#[inline(always)]
pub fn atan<V: Vector>(x: V) -> V {
    atan_ratio(x.abs(), V::from_f64(1.0)).copysign(x)
}

/// The angle of the point `(x, y)`, in `(-pi, pi]`, signed zeros and infinities as in C. At most 3 ulp.
#[inline(always)]
pub fn atan2<V: Vector>(y: V, x: V) -> V {
    let (one, infinity) = (V::from_f64(1.0), V::splat(V::Elem::INFINITY));
    // Infinite and zero points have the angle of finite ones; a quarter keeps their sums finite.
    let (n, d) = (y.abs() * V::from_f64(0.25), x.abs() * V::from_f64(0.25));
    // ... but the smallest numbers must not be divided away.
    let is_tiny = n.maximum(d).lt(one);
    let (n, d) = (is_tiny.select(y.abs(), n), is_tiny.select(x.abs(), d));
    let both_infinite = n.eq(infinity) & d.eq(infinity);
    let both_zero = n.eq(V::zero()) & d.eq(V::zero());
    let n = both_infinite.select(one, n);
    let d = (both_infinite | both_zero).select(one, d);
    let angle = atan_ratio(n, d);
    let (high, low, _) = half_pi!(V);
    let two = V::from_f64(2.0);
    let turned = high * two - (angle - low * two);
    x.is_sign_negative().select(turned, angle).copysign(y)
}

/// `asin(t) - t` for `|t| <= 1/2`.
#[inline(always)]
fn asin_reduced<V: Vector>(t: V, z: V) -> V {
    let p = poly!(V, z,
    f32: [0.1666666, 0.07500512, 0.044515476, 0.031819776, 0.014393951, 0.03757797],
    f64: [
        0.16666666666665375, 0.0750000000034477, 0.04464285682199266, 0.03038195939496723, 0.022371751947918482,
        0.01735979550983678, 0.013884351576338489, 0.01217493622892129, 0.006503541220600561, 0.019594296127861958,
        -0.0163266373796702, 0.03198165950622203,
    ]);
    t * z * p
}

/// `(s, c, r)` for `1/2 < a <= 1`: `s = sqrt((1 - a)/2)`, `c` what its rounding lost, `r = asin(s) - s`.
#[inline(always)]
fn half_angle<V: Vector>(a: V) -> (V, V, V) {
    let z = (V::from_f64(1.0) - a) * V::from_f64(0.5);
    let s = z.sqrt();
    let c = (-s).mul_add(s, z) / (s + s);
    (s, s.eq(V::zero()).select(V::zero(), c), asin_reduced(s, z))
}

/// `asin(x)`, NaN outside `[-1, 1]`. At most 1.5 ulp.
#[inline(always)]
pub fn asin<V: Vector>(x: V) -> V {
    let a = x.abs();
    let small = a + asin_reduced(a, a * a);
    let (s, c, r) = half_angle(a);
    let (high, low, _) = half_pi!(V);
    let two = V::from_f64(2.0);
    // pi/2 - 2 (s + c + r)
    let large = high - two.mul_add(s, two * (c + r) - low);
    a.gt(V::from_f64(0.5)).select(large, small).copysign(x)
}

/// `acos(x)`, NaN outside `[-1, 1]`. At most 1.5 ulp.
#[inline(always)]
pub fn acos<V: Vector>(x: V) -> V {
    let a = x.abs();
    let (high, low, _) = half_pi!(V);
    let two = V::from_f64(2.0);
    let middle = high - (x - (low - asin_reduced(x, x * x)));
    let (s, c, r) = half_angle(a);
    let near = two * (s + (c + r));
    let far = two * (high - (s + (c + r - low)));
    a.gt(V::from_f64(0.5)).select(x.lt(V::zero()).select(far, near), middle)
}
