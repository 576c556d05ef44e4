//! Every function, in every instruction set and both types, over every binade.

use super::*;
use crate::isa::Isa;
use crate::isa::test_override::for_each_isa;
use crate::simd::simd_fn;

unsafe extern "C" {
    #[link_name = "erf"]
    safe fn c_erf(x: f64) -> f64;
    #[link_name = "erfc"]
    safe fn c_erfc(x: f64) -> f64;
}

/// A function of one number, by name, for the trampoline.
trait Named: Copy + Send + Sync {
    const NAME: &'static str;
    /// The largest error, in ulp, as the function's documentation states it, for f32 and f64. The f64 bound includes
    /// 0.5 ulp for the reference, which is not exact either.
    const ULP: (f64, f64);
    fn apply<V: Vector>(self, x: V) -> V;
    fn reference(x: f64) -> f64;
}

simd_fn! {
    /// Applies `f` to `n` numbers, in place.
    unsafe fn apply_all<T: Float, V, F: Named>(f: F, x: *mut T, n: usize) {
        for i in (0..n).step_by(V::LANES) {
            let rest = (n - i).min(V::LANES);
            // SAFETY: i + rest <= n numbers are valid.
            unsafe { f.apply(V::load_partial(x.add(i), rest)).store_partial(x.add(i), rest) };
        }
    }
}

/// Numbers of every binade, both signs, denormals, and special values.
fn samples<T: Float>() -> Vec<T> {
    let mut all = vec![0.0, f64::INFINITY, f64::NAN];
    let (first, last, per_binade) = if T::IS_F64 { (-1074, 1023, 23) } else { (-149, 127, 211) };
    for e in first..=last {
        // Most functions live between 2^-12 and 2^10.
        let count = if (-12..10).contains(&e) { per_binade * 10 } else { per_binade };
        for i in 0..count {
            // An irrational step, so that mantissas are not round.
            let m = 1.0 + (f64::from(i) * 0.618_033_988_749_894_9).fract();
            all.push(if i == 0 { 1.0 } else { m } * f64::from(e / 2).exp2() * f64::from(e - e / 2).exp2());
        }
    }
    let negative: Vec<f64> = all.iter().map(|x| -x).collect();
    all.extend(negative);
    // Multiples of pi/2, halves, and edges of overflow.
    for k in 0..2000 {
        all.push(f64::from(k) * std::f64::consts::FRAC_PI_2);
        all.push(f64::from(k - 1000) * 0.5);
    }
    for edge in [88.72283, 88.722_84, -87.33655, -103.972_08, 709.782_712_893, -745.133_219_1, 1.0, -1.0, 0.5] {
        for step in -3..=3 {
            let mut x = T::of_f64(edge);
            for _ in 0..i32::abs(step) {
                x = x + x.abs() * T::EPSILON * T::of_f64(0.5 * f64::from(step.signum()));
            }
            all.push(x.to_f64());
        }
    }
    all.into_iter().map(T::of_f64).collect()
}

/// The distance in units of the last place of `want` as a `T`.
fn ulps<T: Float>(got: T, want: f64) -> f64 {
    let rounded = T::of_f64(want);
    if got.to_f64().is_nan() || rounded.to_f64().is_nan() {
        return if got.to_f64().is_nan() && rounded.to_f64().is_nan() { 0.0 } else { f64::INFINITY };
    }
    if got == rounded {
        // Zeros must agree in sign.
        return if got.to_f64().is_sign_negative() == want.is_sign_negative() { 0.0 } else { f64::INFINITY };
    }
    if rounded == T::INFINITY || rounded == T::NEG_INFINITY {
        // Overflow may begin one unit early or late.
        return if got.abs() == T::MAX { 1.0 } else { f64::INFINITY };
    }
    let (smallest, epsilon) = (T::MIN_POSITIVE.to_f64(), T::EPSILON.to_f64());
    let binade = want.abs().max(smallest).log2().floor().exp2();
    (got.to_f64() - want).abs() / (binade * epsilon)
}

fn check_type<T: Float, F: Named>(f: F, isa: Isa, bound: f64) {
    let x = samples::<T>();
    let mut y = x.clone();
    // SAFETY: y holds y.len() numbers.
    unsafe { apply_all::<T, F>(f, y.as_mut_ptr(), y.len()) };
    let mut worst = (0.0, T::of_f64(0.0), T::of_f64(0.0), 0.0);
    for (&x, &y) in x.iter().zip(&y) {
        let want = F::reference(x.to_f64());
        let error = ulps(y, want);
        if error > worst.0 {
            worst = (error, x, y, want);
        }
    }
    let (error, x, y, want) = worst;
    let name = if T::IS_F64 { "f64" } else { "f32" };
    if std::env::var_os("PYNEURO_SHOW_ULP").is_some() {
        eprintln!("{:12} {name} {isa:?}: {error:.3} ulp at {x:e}", F::NAME);
    }
    assert!(error <= bound, "{} {name} {isa:?}: {error} ulp at {x:e}: {y:e}, not {want:e}", F::NAME);
}

macro_rules! function_tests {
    ($($name:ident: $single:literal, $double:literal, $reference:expr;)*) => {$(
        #[test]
        fn $name() {
            #[derive(Clone, Copy)]
            struct Function;
            impl Named for Function {
                const NAME: &'static str = stringify!($name);
                const ULP: (f64, f64) = ($single, $double);
                #[inline(always)]
                fn apply<V: Vector>(self, x: V) -> V {
                    super::$name(x)
                }
                fn reference(x: f64) -> f64 {
                    let f: fn(f64) -> f64 = $reference;
                    f(x)
                }
            }
            for_each_isa(|isa| {
                check_type::<f32, Function>(Function, isa, Function::ULP.0);
                check_type::<f64, Function>(Function, isa, Function::ULP.1);
            });
        }
    )*};
}

function_tests! {
    exp: 1.0, 1.5, f64::exp;
    exp2: 1.0, 1.5, f64::exp2;
    expm1: 2.0, 2.5, f64::exp_m1;
    log: 1.0, 1.5, f64::ln;
    log2: 2.0, 2.5, f64::log2;
    log10: 2.0, 2.5, f64::log10;
    log1p: 2.0, 2.5, f64::ln_1p;
    sin: 1.5, 2.0, f64::sin;
    cos: 1.5, 2.0, f64::cos;
    tan: 3.0, 3.5, f64::tan;
    asin: 1.5, 2.0, f64::asin;
    acos: 1.5, 2.0, f64::acos;
    atan: 2.0, 2.5, f64::atan;
    sinh: 3.0, 3.5, f64::sinh;
    cosh: 2.0, 2.5, f64::cosh;
    tanh: 2.5, 3.0, f64::tanh;
    asinh: 3.5, 4.0, |x| c_asinh(x);
    acosh: 3.5, 4.0, |x| c_acosh(x);
    atanh: 3.5, 4.0, |x| c_atanh(x);
    sigmoid: 2.5, 3.0, |x| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) };
    softplus: 3.0, 3.5, |x| if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() };
    log_sigmoid: 3.0, 3.5, |x| -if x < 0.0 { -x + x.exp().ln_1p() } else { (-x).exp().ln_1p() };
    erf: 2.0, 2.5, |x| c_erf(x);
    erfc: 4.0, 4.5, |x| c_erfc(x);
    rsqrt: 1.5, 2.0, |x| 1.0 / x.sqrt();
}

unsafe extern "C" {
    // std computes these by short formulas that are less accurate than the functions under test.
    #[link_name = "asinh"]
    safe fn c_asinh(x: f64) -> f64;
    #[link_name = "acosh"]
    safe fn c_acosh(x: f64) -> f64;
    #[link_name = "atanh"]
    safe fn c_atanh(x: f64) -> f64;
}

simd_fn! {
    unsafe fn check_two_arguments<T: Float, V>(isa: Isa) {
        let mut numbers: Vec<f64> = vec![0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 7.25, 100.0, 1e-3, 1e-35, 1e30, f64::INFINITY];
        numbers.extend([T::MAX.to_f64(), T::MIN_POSITIVE.to_f64(), T::MIN_POSITIVE.to_f64() * T::EPSILON.to_f64()]);
        numbers.extend((0..40).map(|i| (f64::from(i) * 0.713 - 9.0).exp()));
        let negative: Vec<f64> = numbers.iter().map(|x| -x).collect();
        numbers.extend(negative);
        numbers.push(f64::NAN);
        for &a in &numbers {
            for &b in &numbers {
                let (a, b) = (T::of_f64(a), T::of_f64(b));
                let (x, y) = (V::splat(a), V::splat(b));
                let python_mod = |a: f64, b: f64| {
                    let r = a % b;
                    if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
                };
                let results = [
                    ("atan2", atan2(x, y), a.to_f64().atan2(b.to_f64()), if T::IS_F64 { 3.5 } else { 3.0 }),
                    ("pow", pow(x, y), a.to_f64().powf(b.to_f64()), 1.0),
                    ("fmod", fmod(x, y), a.to_f64() % b.to_f64(), 0.0),
                    ("remainder", remainder(x, y), python_mod(a.to_f64(), b.to_f64()), 0.5),
                ];
                for (name, got, want, bound) in results {
                    let got = got.to_lanes()[V::LANES - 1];
                    let error = ulps(got, want);
                    assert!(error <= bound, "{name}({a:e}, {b:e}) {isa:?}: {error} ulp: {got:e}, not {want:e}");
                }
            }
        }
    }
}

#[test]
fn two_arguments() {
    for_each_isa(|isa| {
        // SAFETY: touches only memory of its own.
        unsafe {
            check_two_arguments::<f32>(isa);
            check_two_arguments::<f64>(isa);
        }
    });
}

#[test]
fn sign_and_finiteness() {
    for (x, want) in [(3.0f64, 1.0), (-2.0, -1.0), (0.0, 0.0), (f64::INFINITY, 1.0), (f64::NEG_INFINITY, -1.0)] {
        assert_eq!(sign(x), want);
        assert_eq!(is_finite(x), x.is_finite());
    }
    assert!(sign(f32::NAN).is_nan() && !is_finite(f32::NAN) && is_finite(f32::MAX));
    assert!(sign(-0.0f32).is_sign_negative());
}
