//! The strided loops against a loop over indices, in every instruction set.

use super::*;
use crate::isa::test_override::for_each_isa;
use crate::simd::Float;
use half::{bf16, f16};

#[derive(Clone, Copy)]
struct Negate;
impl UnaryFn for Negate {
    #[inline(always)]
    fn apply<V: Vector>(self, x: V) -> V {
        -x
    }
}
#[derive(Clone, Copy)]
struct Subtract;
impl BinaryFn for Subtract {
    #[inline(always)]
    fn apply<V: Vector>(self, x: V, y: V) -> V {
        x - y
    }
}
#[derive(Clone, Copy)]
struct MulSub;
impl TernaryFn for MulSub {
    #[inline(always)]
    fn apply<V: Vector>(self, x: V, y: V, z: V) -> V {
        x * y - z
    }
}
#[derive(Clone, Copy)]
struct Less;
impl CompareFn for Less {
    #[inline(always)]
    fn apply<V: Vector>(self, x: V, y: V) -> V::Mask {
        x.lt(y)
    }
}
#[derive(Clone, Copy)]
struct IsNegative;
impl PredicateFn for IsNegative {
    #[inline(always)]
    fn apply<V: Vector>(self, x: V) -> V::Mask {
        x.lt(V::zero())
    }
}

fn value<T: FloatElement>(i: usize, seed: usize) -> T {
    // Small integers: exact in every type, so that results can be compared for equality.
    T::narrow(T::Compute::of_f64(((i * 7 + seed * 13) % 17) as f64 - 8.0))
}

fn get<T: FloatElement>(x: T) -> f64 {
    x.widen().to_f64()
}

/// Row-major strides.
fn contiguous(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; shape.len()];
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d] * shape[d] as isize;
    }
    strides
}

/// The element offset of each index of `shape`, in row-major order.
fn offsets(shape: &[usize], strides: &[isize]) -> Vec<usize> {
    let mut all = vec![0isize];
    for d in 0..shape.len() {
        all = all.iter().flat_map(|&at| (0..shape[d] as isize).map(move |i| at + i * strides[d])).collect();
    }
    all.into_iter().map(|at| usize::try_from(at).expect("strides of the tests stay inside the buffer")).collect()
}

/// Runs every kind of loop on `shape` and compares with indices.
fn check<T: FloatElement>(shape: &[usize], so: &[isize], sx: &[isize], sy: &[isize], sz: &[isize]) {
    let at = [so, sx, sy, sz].map(|strides| offsets(shape, strides));
    let n = at[0].len();
    let room = at.iter().flatten().max().map_or(1, |&last| last + 5);
    let x: Vec<T> = (0..room).map(|i| value(i, 1)).collect();
    let y: Vec<T> = (0..room).map(|i| value(i, 2)).collect();
    let z: Vec<T> = (0..room).map(|i| value(i, 3)).collect();
    let untouched = get(value::<T>(0, 9));
    let run = |name: &str, f: &dyn Fn(*mut T), want: &dyn Fn(f64, f64, f64) -> f64| {
        let mut out = vec![value::<T>(0, 9); room];
        f(out.as_mut_ptr());
        let mut expected = vec![untouched; room];
        for i in 0..n {
            expected[at[0][i]] = want(get(x[at[1][i]]), get(y[at[2][i]]), get(z[at[3][i]]));
        }
        let got: Vec<f64> = out.into_iter().map(get).collect();
        assert!(got == expected, "{name} {shape:?} {so:?} {sx:?} {sy:?} {sz:?}");
    };
    let run_bool = |name: &str, f: &dyn Fn(*mut bool), want: &dyn Fn(f64, f64) -> bool| {
        let mut out = vec![false; room];
        f(out.as_mut_ptr());
        let mut expected = vec![false; room];
        for i in 0..n {
            expected[at[0][i]] = want(get(x[at[1][i]]), get(y[at[2][i]]));
        }
        assert!(out == expected, "{name} {shape:?} {so:?} {sx:?} {sy:?}");
    };
    let (px, py, pz) = (x.as_ptr(), y.as_ptr(), z.as_ptr());
    let (g2, g3, g4) =
        (Geometry::new(shape, [so, sx]), Geometry::new(shape, [so, sx, sy]), Geometry::new(shape, [so, sx, sy, sz]));
    // SAFETY: every offset is below `room`; outputs are buffers of their own.
    unsafe {
        run("unary", &|out| unary(Negate, &g2, px, out), &|a, _, _| -a);
        run("binary", &|out| binary(Subtract, &g3, px, py, out), &|a, b, _| a - b);
        run("ternary", &|out| ternary(MulSub, &g4, px, py, pz, out), &|a, b, c| a * b - c);
        run("map1", &|out| map1(|a: T| a, &g2, px, out), &|a, _, _| a);
        let add = |a: T, b: T| T::narrow(a.widen() + b.widen());
        run("map2", &|out| map2(add, &g3, px, py, out), &|a, b, _| a + b);
        let clamp = |a: T, b: T, c: T| if get(a) < get(b) { b } else { c };
        run("map3", &|out| map3(clamp, &g4, px, py, pz, out), &|a, b, c| if a < b { b } else { c });
        run_bool("compare", &|out| compare(Less, &g3, px, py, out), &|a, b| a < b);
        run_bool("predicate", &|out| predicate(IsNegative, &g2, px, out), &|a, _| a < 0.0);
    }
}

fn check_all<T: FloatElement>() {
    // Every length around the lanes and the block, by every combination of contiguous, strided, broadcast.
    for n in (0..=35).chain([63, 64, 65, 255, 256, 257, 300]) {
        for (so, sx, sy, sz) in [(1, 1, 1, 1), (1, 1, 0, 1), (1, 0, 3, 1), (2, 1, 1, 0), (1, 2, 1, 5), (3, 0, 0, 0)] {
            check::<T>(&[n], &[so], &[sx], &[sy], &[sz]);
        }
    }
    for shape in [vec![3, 5], vec![2, 17, 33], vec![20, 70], vec![4, 1, 3, 9]] {
        let strides = contiguous(&shape);
        let mut transposed: Vec<isize> = contiguous(&shape.iter().rev().copied().collect::<Vec<_>>());
        transposed.reverse();
        let row: Vec<isize> = (0..shape.len()).map(|d| isize::from(d + 1 == shape.len())).collect();
        let mut column = strides.clone();
        column[shape.len() - 1] = 0;
        check::<T>(&shape, &strides, &strides, &row, &column);
        check::<T>(&shape, &strides, &transposed, &column, &row);
        check::<T>(&shape, &transposed, &strides, &transposed, &transposed);
        check::<T>(&shape, &strides, &column, &strides, &transposed);
    }
}

#[test]
fn loops_agree_with_indices() {
    for_each_isa(|_| {
        check_all::<f32>();
        check_all::<f64>();
        check_all::<f16>();
        check_all::<bf16>();
    });
}

#[test]
fn large_loops_are_split_without_gaps() {
    // Above the grain, so that tiles are handed to the pool.
    check::<f32>(&[100_003], &[1], &[1], &[0], &[1]);
    check::<f32>(&[300, 401], &[401, 1], &[1, 300], &[401, 1], &[0, 1]);
    check::<f64>(&[50_021, 3], &[3, 1], &[3, 1], &[0, 1], &[1, 0]);
    check::<f16>(&[3, 40_001], &[40_001, 1], &[40_001, 1], &[1, 0], &[0, 1]);
}

#[test]
fn output_may_be_the_input() {
    let mut x: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    let p = x.as_mut_ptr();
    // SAFETY: 1000 numbers, read and written at the same places.
    unsafe { binary(Subtract, &Geometry::new(&[500], [&[2], &[2], &[2]]), p, p, p) };
    for (i, &got) in x.iter().enumerate() {
        assert_eq!(got, if i % 2 == 0 { 0.0 } else { i as f32 });
    }
}

#[test]
fn maps_convert_between_types() {
    let x: Vec<i64> = (-500..500).collect();
    let mut floats = vec![0.0f32; 1000];
    let mut bytes = vec![0u8; 1000];
    // SAFETY: 1000 elements on both sides.
    unsafe {
        map1(|a: i64| a as f32, &Geometry::contiguous(1000), x.as_ptr(), floats.as_mut_ptr());
        map2(
            |a: i64, b: f32| u8::from(a > 3 && b < 7.0),
            &Geometry::contiguous(1000),
            x.as_ptr(),
            floats.as_ptr(),
            bytes.as_mut_ptr(),
        );
    }
    for (i, &a) in x.iter().enumerate() {
        assert_eq!((floats[i], bytes[i]), (a as f32, u8::from(a > 3 && a < 7)));
    }
}
