//! Every register type against the one-lane oracle.

use super::*;
use crate::isa::test_override::for_each_isa;

/// Numbers around every edge that the operations have.
fn samples<T: Float>() -> Vec<T> {
    let mut all = vec![0.0, 0.5, 0.75, 1.0, 1.5, 2.5, 3.5, 7.25, 1e-30, 1e30, 8_388_607.5, 4_503_599_627_370_495.5];
    all.extend([T::MIN_POSITIVE, T::MAX, T::EPSILON, T::INFINITY].map(T::to_f64));
    all.push(T::MIN_POSITIVE.to_f64() * T::EPSILON.to_f64()); // the smallest denormal
    all.push(T::MIN_POSITIVE.to_f64() * 0.3);
    let negative: Vec<_> = all.iter().map(|x| -x).collect();
    all.extend(negative);
    all.push(f64::NAN);
    all.into_iter().map(T::of_f64).collect()
}

fn same<T: Float>(a: T, b: T) -> bool {
    (a.to_f64().is_nan() && b.to_f64().is_nan()) || (a == b && a.is_sign_negative() == b.is_sign_negative())
}

simd_fn! {
    unsafe fn check_arithmetic<T: Float, V>(isa: crate::isa::Isa) {
        let numbers = samples::<T>();
        for &a in &numbers {
            for &b in &numbers {
                let (x, y) = (V::splat(a), V::splat(b));
                let results = [
                    ("add", x + y, a + b), ("sub", x - y, a - b), ("mul", x * y, a * b), ("div", x / y, a / b),
                    ("min", x.min(y), a.min(b)), ("max", x.max(y), a.max(b)),
                    ("minimum", x.minimum(y), a.minimum(b)), ("maximum", x.maximum(y), a.maximum(b)),
                    ("copysign", x.copysign(y), a.copysign(b)), ("neg", -x, -a), ("abs", x.abs(), a.abs()),
                    ("sqrt", x.sqrt(), a.sqrt()), ("floor", x.floor(), a.floor()), ("ceil", x.ceil(), a.ceil()),
                    ("round", x.round(), a.round()), ("trunc", x.trunc(), a.trunc()),
                    ("select", x.lt(y).select(x, y), if a < b { a } else { b }),
                ];
                for (name, got, want) in results {
                    for lane in 0..V::LANES {
                        assert!(same(got.to_lanes()[lane], want), "{isa:?} {name}({a}, {b}) = {:?}, not {want}", got);
                    }
                }
                let answers = [
                    ("eq", x.eq(y), a == b), ("ne", x.ne(y), a != b), ("lt", x.lt(y), a < b), ("le", x.le(y), a <= b),
                    ("gt", x.gt(y), a > b), ("ge", x.ge(y), a >= b), ("is_nan", x.is_nan(), a.to_f64().is_nan()),
                    ("sign", x.is_sign_negative(), a.is_sign_negative()),
                ];
                for (name, got, want) in answers {
                    assert_eq!((got.any(), got.all(), (!got).any()), (want, want, !want), "{isa:?} {name}({a}, {b})");
                }
            }
        }
    }
}

simd_fn! {
    unsafe fn check_exponents<T: Float, V>(isa: crate::isa::Isa) {
        for &a in samples::<T>().iter().filter(|&&a| a > T::of_f64(0.0) && a < T::INFINITY) {
            let (m, e) = V::splat(a).frexp();
            let (m, e) = (m.reduce_maximum().to_f64(), e.reduce_maximum().to_f64());
            assert!((0.75..1.5).contains(&m), "{isa:?} frexp({a}) mantissa {m}");
            // In two steps, because 2^-1074 is not the quotient of two normal numbers.
            assert_eq!(m * (e / 2.0).floor().exp2() * (e - (e / 2.0).floor()).exp2(), a.to_f64(), "{isa:?} frexp({a})");
        }
        let (low, high) = if T::IS_F64 { (-1080, 1030) } else { (-155, 134) };
        for n in low..=high {
            for m in [0.75, 1.0, 1.3, -1.49] {
                let m = T::of_f64(m);
                // f64 holds every f32 result exactly; for f64 itself the rounding of the last product is the oracle's.
                let half = f64::from(n / 2).exp2();
                let want = T::of_f64(m.to_f64() * half * f64::from(n - n / 2).exp2());
                let got = V::splat(m).scale2(V::from_f64(n.into())).reduce_minimum();
                assert!(same(got, want), "{isa:?} scale2({m}, {n}) = {got}, not {want}");
            }
        }
        for n in (low / 2)..(high / 2) {
            let got = V::from_f64(n.into()).pow2().reduce_minimum();
            assert_eq!(got.to_f64(), f64::from(n).exp2(), "{isa:?} pow2({n})");
        }
        let saturated = [(1e9, f64::INFINITY), (-1e9, 0.0)];
        for (n, want) in saturated {
            assert_eq!(V::from_f64(1.0).scale2(V::from_f64(n)).reduce_minimum().to_f64(), want, "{isa:?} scale2 by {n}");
        }
    }
}

simd_fn! {
    unsafe fn check_memory<T: Float, V>(isa: crate::isa::Isa) {
        let numbers: Vec<T> = (0..40).map(|i| T::of_f64(f64::from(i) + 1.0)).collect();
        for n in 0..=V::LANES {
            // SAFETY: 40 numbers lie in each array, and at most 3 + 16 are touched.
            unsafe {
                let x = V::load_partial(numbers.as_ptr().add(3), n);
                let lanes = x.to_lanes();
                for lane in 0..V::LANES {
                    let want = if lane < n { numbers[3 + lane] } else { T::of_f64(0.0) };
                    assert_eq!(lanes[lane], want, "{isa:?} load_partial {n}, lane {lane}");
                }
                let mut out = vec![T::of_f64(-1.0); 40];
                V::load(numbers.as_ptr()).store_partial(out.as_mut_ptr().add(1), n);
                for i in 0..40 {
                    let want = if (1..=n).contains(&i) { numbers[i - 1] } else { T::of_f64(-1.0) };
                    assert_eq!(out[i], want, "{isa:?} store_partial {n} at {i}");
                }
                let mask = V::load(numbers.as_ptr()).gt(V::from_f64(3.0));
                let mut bools = [true; 40];
                mask.store_partial(bools.as_mut_ptr(), n);
                for (i, &got) in bools.iter().enumerate() {
                    assert_eq!(got, i >= n || i >= 3, "{isa:?} mask store_partial {n} at {i}");
                }
                mask.store(bools.as_mut_ptr());
                for (i, &got) in bools.iter().enumerate().take(V::LANES) {
                    assert_eq!(got, i >= 3, "{isa:?} mask store at {i}");
                }
            }
        }
        // SAFETY: 40 numbers are more than any register holds.
        let x = unsafe { V::load(numbers.as_ptr()) };
        let lanes = V::LANES as f64;
        assert_eq!(x.reduce_add().to_f64(), lanes * (lanes + 1.0) / 2.0);
        assert_eq!(V::from_f64(2.0).reduce_mul().to_f64(), lanes.exp2());
        assert_eq!(x.first().to_f64(), 1.0);
        // Folding visits every lane: one NaN anywhere is found.
        for lane in 0..V::LANES {
            let mut with_nan = x.to_lanes();
            with_nan[lane] = T::NAN;
            // SAFETY: the array holds MAX_LANES numbers.
            let with_nan = unsafe { V::load(with_nan.as_ptr()) };
            assert!(with_nan.reduce_maximum().to_f64().is_nan() && with_nan.reduce_minimum().to_f64().is_nan());
        }
        let [low, high] = x.to_double();
        let doubled = V::of_double([low + low, high + high]).to_lanes();
        for (lane, x) in doubled.iter().enumerate().take(V::LANES) {
            assert_eq!(x.to_f64(), 2.0 * (lane as f64 + 1.0), "{isa:?} conversion to f64 and back");
        }
        for n in 0..=V::LANES {
            let mask = V::first_lanes(n);
            let marked = mask.select(V::from_f64(1.0), V::zero()).reduce_add();
            assert_eq!((marked.to_f64(), mask.all()), (n as f64, n == V::LANES));
        }
        assert_eq!((x.reduce_maximum().to_f64(), x.reduce_minimum().to_f64()), (lanes, 1.0));
        assert_eq!(x.map_lanes(|a| a + a).reduce_maximum().to_f64(), 2.0 * lanes);
        assert_eq!(x.zip_lanes(x, |a, b| a * b).reduce_maximum().to_f64(), lanes * lanes);
        let fused = V::splat(T::of_f64(1.0) + T::EPSILON);
        let error = fused.mul_add(fused, -(fused * fused)).reduce_maximum();
        assert_eq!(error, T::EPSILON * T::EPSILON, "{isa:?} mul_add must round once");
    }
}

#[test]
fn registers_agree_with_one_lane() {
    for_each_isa(|isa| {
        // SAFETY: these functions touch only memory of their own.
        unsafe {
            check_arithmetic::<f32>(isa);
            check_arithmetic::<f64>(isa);
            check_exponents::<f32>(isa);
            check_exponents::<f64>(isa);
            check_memory::<f32>(isa);
            check_memory::<f64>(isa);
        }
    });
}
