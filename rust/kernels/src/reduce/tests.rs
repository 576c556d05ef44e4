//! Reductions against a loop over indices, in every instruction set.

use super::*;
use crate::array::{Buffer, Element, View};
use crate::elementwise::FloatElement;
use crate::isa::test_override::for_each_isa;
use crate::simd::Float;
use half::{bf16, f16};

/// A strided view over its own memory, with the elements of each result in row-major order.
struct Case<T> {
    buffer: Buffer,
    shape: Vec<usize>,
    strides: Vec<isize>,
    offset: usize,
    groups: Vec<Vec<T>>,
}

impl<T: Element> Case<T> {
    fn new(shape: &[usize], strides: &[isize], is_reduced: &[bool], value: impl Fn(usize) -> T) -> Self {
        let lowest: isize = shape.iter().zip(strides).map(|(&n, &s)| (s * (n.max(1) as isize - 1)).min(0)).sum();
        let highest: isize = shape.iter().zip(strides).map(|(&n, &s)| (s * (n.max(1) as isize - 1)).max(0)).sum();
        let offset = lowest.unsigned_abs();
        let elements: Vec<T> = (0..offset + highest.unsigned_abs() + 1).map(value).collect();
        let buffer = Buffer::new(elements.len() * size_of::<T>()).expect("memory for a test");
        // SAFETY: elements are plain data.
        let bytes = unsafe { std::slice::from_raw_parts(elements.as_ptr().cast::<u8>(), size_of_val(&elements[..])) };
        buffer.write_bytes(0, bytes);
        let outputs: usize = shape.iter().zip(is_reduced).filter(|(_, r)| !**r).map(|(n, _)| n).product();
        let mut groups = vec![Vec::new(); outputs];
        let total: usize = shape.iter().product();
        for linear in 0..total {
            let (mut rest, mut at, mut output, mut scale) = (linear, offset as isize, 0, 1);
            for d in (0..shape.len()).rev() {
                let i = rest % shape[d];
                rest /= shape[d];
                at += i as isize * strides[d];
                if !is_reduced[d] {
                    output += i * scale;
                    scale *= shape[d];
                }
            }
            groups[output].push(elements[usize::try_from(at).expect("inside the buffer")]);
        }
        Case { buffer, shape: shape.to_vec(), strides: strides.to_vec(), offset, groups }
    }

    fn view(&self) -> View<'_, T> {
        self.buffer.view(&self.shape, &self.strides, self.offset)
    }

    fn outputs(&self) -> usize {
        self.groups.len()
    }
}

fn row_major(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; shape.len()];
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d] * shape[d].max(1) as isize;
    }
    strides
}

type Layout = (Vec<usize>, Vec<isize>, Vec<bool>);
type Reduce<'a, T> = &'a dyn Fn(View<'_, T>, &[bool], &mut [T]);

/// Shapes, strides and reduced dimensions that reach every path of the driver.
fn layouts() -> Vec<Layout> {
    let mut all = Vec::new();
    let mut add = |shape: &[usize], strides: Option<&[isize]>, reduced: &[bool]| {
        all.push((shape.to_vec(), strides.map_or_else(|| row_major(shape), <[isize]>::to_vec), reduced.to_vec()));
    };
    for n in (1..40).chain([63, 64, 65, 127, 128, 129, 511, 512, 513, 1025, 1600]) {
        add(&[n], None, &[true]);
        add(&[n], Some(&[3]), &[true]);
        add(&[n], Some(&[-1]), &[true]);
        add(&[3, n], None, &[false, true]);
        add(&[n, 3], None, &[true, false]);
        add(&[40, n], None, &[true, false]);
    }
    for (a, b, c) in [(2, 3, 4), (5, 33, 7), (20, 5, 70), (3, 130, 66), (70, 2, 3)] {
        for mask in 0..8 {
            let reduced = [mask & 1 != 0, mask & 2 != 0, mask & 4 != 0];
            add(&[a, b, c], None, &reduced);
            let (a_, b_, c_) = (a as isize, b as isize, c as isize);
            add(&[a, b, c], Some(&[1, a_, a_ * b_]), &reduced);
            add(&[a, b, c], Some(&[c_ * 2, a_ * c_ * 2, 2]), &reduced);
            add(&[a, b, c], Some(&[0, c_, 1]), &reduced);
            add(&[a, b, c], Some(&[b_ * c_, -c_, 1]), &reduced);
        }
    }
    add(&[], Some(&[]), &[]);
    add(&[4, 0], None, &[true, false]);
    add(&[2, 1, 3, 1, 5], None, &[false, true, true, false, false]);
    all
}

/// Layouts large enough for several tasks.
fn large_layouts() -> Vec<Layout> {
    let mut all = Vec::new();
    for (shape, reduced) in [
        (vec![300_007], vec![true]),
        (vec![3, 150_001], vec![false, true]),
        (vec![100_003, 3], vec![true, false]),
        (vec![5000, 70], vec![true, false]),
        (vec![700, 3, 100], vec![true, false, true]),
        (vec![40, 5003], vec![false, true]),
        (vec![40_000, 7], vec![false, true]),
    ] {
        all.push((shape.clone(), row_major(&shape), reduced));
    }
    all
}

fn small_integer<T: FloatElement>(i: usize) -> T {
    T::narrow(T::Compute::of_f64(((i * 7 + i / 13) % 5) as f64 - 2.0))
}

fn get<T: FloatElement>(x: T) -> f64 {
    x.widen().to_f64()
}

fn check_floats<T: FloatElement + Element>(layouts: &[Layout], check_sums: bool) {
    for (shape, strides, reduced) in layouts {
        let case = Case::<T>::new(shape, strides, reduced, small_integer);
        let run = |name: &str, f: Reduce<'_, T>, want: &dyn Fn(&[f64]) -> f64| {
            let mut out = vec![T::narrow(T::Compute::of_f64(77.0)); case.outputs()];
            f(case.view(), reduced, &mut out);
            for (i, group) in case.groups.iter().enumerate() {
                let group: Vec<f64> = group.iter().map(|&x| get(x)).collect();
                let (got, want) = (get(out[i]), get(T::narrow(T::Compute::of_f64(want(&group)))));
                assert!(got == want, "{name} {shape:?} {strides:?} {reduced:?} result {i}: {got}, not {want}");
            }
        };
        if check_sums {
            run("sum", &|x, r, out| sum(x, r, out), &|g| g.iter().sum());
            run("sum_squares", &|x, r, out| sum_squares(x, r, out), &|g| g.iter().map(|x| x * x).sum());
        }
        if case.groups.iter().any(Vec::is_empty) {
            continue;
        }
        run("max", &|x, r, out| max(x, r, out), &|g| g.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        run("min", &|x, r, out| min(x, r, out), &|g| g.iter().copied().fold(f64::INFINITY, f64::min));
    }
}

#[test]
fn exact_results_agree_with_indices() {
    for_each_isa(|_| {
        check_floats::<f32>(&layouts(), true);
        check_floats::<f64>(&layouts(), true);
        check_floats::<f16>(&layouts(), true);
        check_floats::<bf16>(&layouts(), true);
    });
    check_floats::<f32>(&large_layouts(), true);
    check_floats::<f64>(&large_layouts(), true);
    // Sums of so many halves are rounded, which the oracle's f64 is not.
    check_floats::<f16>(&large_layouts(), false);
}

fn noise(i: usize) -> f64 {
    ((i as f64 * 0.618_033_988_749).fract() - 0.5) * 4.0
}

#[test]
fn rounded_results_are_close() {
    for_each_isa(|isa| {
        let large = if isa == crate::isa::Isa::Scalar { Vec::new() } else { large_layouts() };
        for (shape, strides, reduced) in layouts().iter().chain(&large) {
            let case = Case::<f32>::new(shape, strides, reduced, |i| noise(i) as f32);
            let n = case.outputs();
            let (mut m, mut v, mut l, mut p) = (vec![0f32; n], vec![0f32; n], vec![0f32; n], vec![0f32; n]);
            mean(case.view(), reduced, &mut m);
            var(case.view(), reduced, 1.0, &mut v);
            logsumexp(case.view(), reduced, &mut l);
            prod(case.view(), reduced, &mut p);
            for (i, group) in case.groups.iter().enumerate() {
                let g: Vec<f64> = group.iter().map(|&x| x.into()).collect();
                let count = g.len() as f64;
                let average = g.iter().sum::<f64>() / count;
                let close = |name: &str, got: f32, want: f64, scale: f64| {
                    let error = (f64::from(got) - want).abs();
                    let is_same = error <= 4e-7 * scale || want.is_nan() && got.is_nan() || f64::from(got) == want;
                    assert!(is_same, "{name} {isa:?} {shape:?} {strides:?} {reduced:?}: {got}, not {want}");
                };
                close("mean", m[i], average, 2.0);
                let spread = g.iter().map(|x| (x - average).powi(2)).sum::<f64>() / (count - 1.0);
                if count > 1.0 {
                    close("var", v[i], spread, 4.0 + spread);
                } else {
                    assert!(v[i].is_nan());
                }
                close("logsumexp", l[i], g.iter().map(|x| x.exp()).sum::<f64>().ln(), 2.0 + count.ln());
                let product: f64 = g.iter().product();
                if count < 30.0 && product.abs() > 1e-30 {
                    close("prod", p[i], product, product.abs() * count);
                }
            }
        }
    });
}

#[test]
fn sums_do_not_lose_small_terms() {
    // Ten million times 0.1 in one running f32 total would be off by 1 %.
    let n = 10_000_000;
    let case = Case::<f32>::new(&[n], &[1], &[true], |_| 0.1);
    let mut out = [0.0];
    sum(case.view(), &[true], &mut out);
    assert!((f64::from(out[0]) - f64::from(0.1f32) * n as f64).abs() < 0.2, "{}", out[0]);
}

#[test]
fn results_do_not_depend_on_threads() {
    let threads = crate::pool::num_threads();
    for (shape, strides, reduced) in large_layouts() {
        let case = Case::<f32>::new(&shape, &strides, &reduced, |i| noise(i) as f32);
        let mut results = [1, 2, 3].map(|n| {
            crate::pool::set_num_threads(n);
            let mut out = vec![0f32; case.outputs()];
            sum(case.view(), &reduced, &mut out);
            out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        });
        results.sort();
        assert_eq!(results[0], results[2], "{shape:?} {reduced:?}");
    }
    crate::pool::set_num_threads(threads);
}

#[test]
fn nan_wins_and_infinities_survive() {
    for_each_isa(|_| {
        for n in [1, 5, 16, 17, 64, 100, 600] {
            for place in [0, n / 2, n - 1] {
                let with = |special: f32| {
                    Case::<f32>::new(&[n], &[1], &[true], |i| if i == place { special } else { noise(i) as f32 })
                };
                let mut out = [0f32];
                let mut index = [0i64];
                let nan = with(f32::NAN);
                max(nan.view(), &[true], &mut out);
                assert!(out[0].is_nan(), "max, NaN at {place} of {n}");
                min(nan.view(), &[true], &mut out);
                assert!(out[0].is_nan(), "min, NaN at {place} of {n}");
                argmax(nan.view(), &[true], Some(&mut out), &mut index);
                assert!(out[0].is_nan() && index[0] == place as i64);
                argmin(nan.view(), &[true], None, &mut index);
                assert_eq!(index[0], place as i64);
                logsumexp(nan.view(), &[true], &mut out);
                assert!(out[0].is_nan());
                logsumexp(with(f32::INFINITY).view(), &[true], &mut out);
                assert_eq!(out[0], f32::INFINITY);
                let nothing = Case::<f32>::new(&[n], &[1], &[true], |_| f32::NEG_INFINITY);
                logsumexp(nothing.view(), &[true], &mut out);
                assert_eq!(out[0], f32::NEG_INFINITY);
                argmax(nothing.view(), &[true], None, &mut index);
                assert_eq!(index[0], 0);
            }
        }
    });
}

fn check_ordered<T: Ordered + std::fmt::Debug>(layouts: &[Layout], value: impl Fn(usize) -> T + Copy) {
    for (shape, strides, reduced) in layouts {
        let case = Case::<T>::new(shape, strides, reduced, value);
        if case.groups.iter().any(Vec::is_empty) || case.groups.is_empty() {
            continue;
        }
        let n = case.outputs();
        let (mut values, mut indices) = (vec![value(0); n], vec![-1i64; n]);
        for smallest in [false, true] {
            if smallest {
                argmin(case.view(), reduced, Some(&mut values), &mut indices);
            } else {
                argmax(case.view(), reduced, Some(&mut values), &mut indices);
            }
            let mut again = vec![value(0); n];
            if smallest {
                min_ordered(case.view(), reduced, &mut again);
            } else {
                max_ordered(case.view(), reduced, &mut again);
            }
            for (i, group) in case.groups.iter().enumerate() {
                let mut best = 0;
                for (k, &x) in group.iter().enumerate() {
                    if if smallest { x.is_before(group[best]) } else { x.is_after(group[best]) } {
                        best = k;
                    }
                }
                let context = format!("{shape:?} {strides:?} {reduced:?} smallest {smallest} result {i}");
                assert_eq!(indices[i], best as i64, "{context}");
                assert!(values[i] == group[best] && again[i] == group[best], "{context}");
            }
        }
    }
}

#[test]
fn searches_agree_with_indices() {
    let (small, large) = (layouts(), large_layouts());
    for_each_isa(|_| {
        check_ordered(&small, |i| ((i * 31 + i / 7) % 23) as i64 - 11);
        check_ordered(&small, |i| ((i * 31 + i / 7) % 97) as f32 - 48.0);
    });
    check_ordered(&large, |i| ((i * 31 + i / 7) % 23) as u8);
    check_ordered(&large, |i| ((i * 31 + i / 7) % 97) as f32 - 48.0);
    check_ordered(&small, |i| i % 3 == 1);
    check_ordered(&small, |i| f16::from_f32(((i * 31) % 29) as f32));
}

#[test]
fn integers_and_questions() {
    for (shape, strides, reduced) in layouts().iter().chain(&large_layouts()) {
        let case = Case::<i32>::new(shape, strides, reduced, |i| ((i * 17 + i / 5) % 1000) as i32 - 300);
        let n = case.outputs();
        let (mut sums, mut products, mut positives) = (vec![0i64; n], vec![0i64; n], vec![0i64; n]);
        let (mut some, mut every) = (vec![false; n], vec![false; n]);
        sum_integer(case.view(), reduced, &mut sums);
        prod_integer(case.view(), reduced, &mut products);
        count(case.view(), reduced, &mut positives, |x| x > 0);
        any(case.view(), reduced, &mut some, |x| x == 699);
        all(case.view(), reduced, &mut every, |x| x != 699);
        for (i, group) in case.groups.iter().enumerate() {
            let context = format!("{shape:?} {strides:?} {reduced:?} result {i}");
            assert_eq!(sums[i], group.iter().map(|&x| i64::from(x)).sum::<i64>(), "{context}");
            let product = group.iter().fold(1i64, |a, &x| a.wrapping_mul(x.into()));
            assert_eq!(products[i], product, "{context}");
            assert_eq!(positives[i], group.iter().filter(|&&x| x > 0).count() as i64, "{context}");
            assert_eq!(some[i], group.contains(&699), "{context}");
            assert_eq!(every[i], !group.contains(&699), "{context}");
        }
    }
}

#[test]
fn nothing_gives_the_identity() {
    let case = Case::<f32>::new(&[3, 0], &[0, 1], &[false, true], |_| 1.0);
    let (mut out, mut integers) = ([9f32; 3], [9i64; 3]);
    sum(case.view(), &[false, true], &mut out);
    assert_eq!(out, [0.0; 3]);
    prod(case.view(), &[false, true], &mut out);
    assert_eq!(out, [1.0; 3]);
    mean(case.view(), &[false, true], &mut out);
    assert!(out.iter().all(|x| x.is_nan()));
    logsumexp(case.view(), &[false, true], &mut out);
    assert_eq!(out, [f32::NEG_INFINITY; 3]);
    let case = Case::<bool>::new(&[3, 0], &[0, 1], &[false, true], |_| true);
    sum_integer(case.view(), &[false, true], &mut integers);
    assert_eq!(integers, [0; 3]);
    let mut answers = [true; 3];
    any(case.view(), &[false, true], &mut answers, |x| x);
    assert_eq!(answers, [false; 3]);
    all(case.view(), &[false, true], &mut answers, |x| x);
    assert_eq!(answers, [true; 3]);
}
