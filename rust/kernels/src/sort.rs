//! Sorting along a dimension, with the permutation.
//!
//! Keys become unsigned integers that have their order, with the position in the low bits: comparing two is then one
//! instruction, ties fall to the earlier element, and any sorting algorithm is a stable one.

use crate::array::Element;
use crate::pool;
use crate::rows::{GRAIN, Shared};
use half::{bf16, f16};

/// An element with a total order, in which NaN counts as the greatest number and -0 equals 0.
pub trait SortKey: Element {
    /// An integer wide enough for the key and a position.
    type Packed: Copy + Ord + Default + Send;
    /// The key, in reverse order if `descending`, above the position.
    fn pack(self, position: usize, descending: bool) -> Self::Packed;
    /// The position in the low bits.
    fn position(packed: Self::Packed) -> usize;
}

/// Keys of up to 32 bits share a word with their position; `$bits` gives a `u32` in the order of the keys.
macro_rules! narrow_keys {
    ($($t:ty: |$x:ident| $bits:expr;)*) => {$(
        impl SortKey for $t {
            type Packed = u64;
            #[inline(always)]
            fn pack(self, position: usize, descending: bool) -> u64 {
                let $x = self;
                let key: u32 = $bits;
                u64::from(if descending { !key } else { key }) << 32 | position as u64
            }
            #[inline(always)]
            fn position(packed: u64) -> usize {
                packed as u32 as usize
            }
        }
    )*};
}

macro_rules! wide_keys {
    ($($t:ty: |$x:ident| $bits:expr;)*) => {$(
        impl SortKey for $t {
            type Packed = u128;
            #[inline(always)]
            fn pack(self, position: usize, descending: bool) -> u128 {
                let $x = self;
                let key: u64 = $bits;
                u128::from(if descending { !key } else { key }) << 64 | position as u128
            }
            #[inline(always)]
            fn position(packed: u128) -> usize {
                packed as u64 as usize
            }
        }
    )*};
}

narrow_keys! {
    bool: |x| x.into();
    u8: |x| x.into();
    i8: |x| (i32::from(x) ^ i32::MIN).cast_unsigned();
    i16: |x| (i32::from(x) ^ i32::MIN).cast_unsigned();
    i32: |x| (x ^ i32::MIN).cast_unsigned();
    f32: |x| float_bits(x);
    f16: |x| float_bits(x.to_f32());
    bf16: |x| float_bits(x.to_f32());
}
wide_keys! {
    i64: |x| (x ^ i64::MIN).cast_unsigned();
    f64: |x| {
        // As `float_bits`.
        let bits = (x + 0.0).to_bits().cast_signed();
        let ordered = (bits ^ ((bits >> 63) & i64::MAX) ^ i64::MIN).cast_unsigned();
        if x.is_nan() { u64::MAX } else { ordered }
    };
}

/// Bits in the order of the numbers: negative ones have all bits turned, others the sign bit. Adding 0 makes 0 of -0.
#[inline(always)]
fn float_bits(x: f32) -> u32 {
    let bits = (x + 0.0).to_bits().cast_signed();
    let ordered = (bits ^ ((bits >> 31) & i32::MAX) ^ i32::MIN).cast_unsigned();
    if x.is_nan() { u32::MAX } else { ordered }
}

/// Sorts every line of `x`, of shape `[outer, n, inner]`, along the middle, and keeps the first `k`.
///
/// Stable: equal keys stay in order, also when the greatest come first. `values` and `indices` have shape
/// `[outer, k, inner]`.
///
/// # Panics
/// When the lengths do not fit, or a line is longer than 2^32.
pub fn sort<T: SortKey>(
    x: &[T],
    [outer, n, inner]: [usize; 3],
    k: usize,
    descending: bool,
    values: &mut [T],
    indices: &mut [i64],
) {
    assert!(k <= n, "sort: at most as many as there are can be kept");
    assert!(u32::try_from(n).is_ok(), "sort: lines of at most 2^32 - 1 elements, got {n}");
    assert_eq!(x.len(), outer * n * inner, "sort: the input must have the given shape");
    assert!(values.len() == outer * k * inner && indices.len() == values.len(), "sort: the outputs must fit");
    if values.is_empty() {
        return;
    }
    let (values, indices) = (Shared::new(values), Shared::new(indices));
    // Sorting costs some ten times as much per element as an addition.
    pool::chunked(outer * inner, (GRAIN / 16 / n).max(1), |lines| {
        let mut keys = vec![T::Packed::default(); n];
        for line in lines {
            let (o, i) = (line / inner, line % inner);
            for (j, key) in keys.iter_mut().enumerate() {
                *key = x[(o * n + j) * inner + i].pack(j, descending);
            }
            if k < n {
                keys.select_nth_unstable(k - 1);
            }
            keys[..k].sort_unstable();
            for (j, &key) in keys[..k].iter().enumerate() {
                let (from, to) = (T::position(key), (o * k + j) * inner + i);
                // SAFETY: `to` is one of this line's places in the outputs, whose lengths were checked.
                unsafe {
                    *values.at(to) = x[(o * n + from) * inner + i];
                    *indices.at(to) = from as i64;
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Ordering;

    #[test]
    fn stable_with_nan_greatest() {
        let x = [2.0f32, f32::NAN, 1.0, 2.0];
        let (mut v, mut i) = ([0.0; 4], [0; 4]);
        sort(&x, [1, 4, 1], 4, false, &mut v, &mut i);
        assert_eq!((&v[..3], i), (&[1.0, 2.0, 2.0][..], [2, 0, 3, 1]));
        sort(&x, [1, 4, 1], 4, true, &mut v, &mut i);
        assert_eq!((&v[1..], i), (&[2.0, 2.0, 1.0][..], [1, 0, 3, 2]));
        // Zeros of either sign and NaNs of either sign are equal among themselves, and keep their bits.
        let x = [-f64::NAN, 0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        let (mut v, mut i) = ([0.0; 6], [0; 6]);
        sort(&x, [1, 6, 1], 6, false, &mut v, &mut i);
        assert_eq!(i, [5, 1, 2, 4, 0, 3]);
        assert!(v[2].is_sign_negative() && v[4].is_nan());
    }

    #[test]
    fn the_first_k_along_the_middle() {
        let x = [5i64, 1, 4, 2, 9, 3];
        let (mut v, mut i) = ([0; 4], [0; 4]);
        sort(&x, [1, 3, 2], 2, true, &mut v, &mut i);
        assert_eq!((v, i), ([9, 3, 5, 2], [2, 2, 0, 1]));
        sort(&x, [1, 3, 2], 0, true, &mut [], &mut []);
    }

    fn check<T: SortKey>(x: &[T], shape: [usize; 3], compare: impl Fn(T, T) -> Ordering) {
        let [outer, n, inner] = shape;
        for descending in [false, true] {
            for k in [1, n / 2, n].into_iter().filter(|&k| k > 0) {
                let (mut v, mut at) = (vec![x[0]; outer * k * inner], vec![0; outer * k * inner]);
                sort(x, shape, k, descending, &mut v, &mut at);
                for line in 0..outer * inner {
                    let (o, i) = (line / inner, line % inner);
                    let mut want: Vec<usize> = (0..n).collect();
                    let key = |j: usize| x[(o * n + j) * inner + i];
                    want.sort_by(|&a, &b| if descending { compare(key(b), key(a)) } else { compare(key(a), key(b)) });
                    for (j, &want) in want[..k].iter().enumerate() {
                        let to = (o * k + j) * inner + i;
                        assert_eq!(at[to], want as i64, "line {line}, place {j} of {k}");
                        assert!(compare(v[to], key(want)) == Ordering::Equal);
                    }
                }
            }
        }
    }

    #[test]
    fn every_type_agrees_with_the_standard_sort() {
        let noise = |i: usize| ((i * 2_654_435_761) >> 7) % 4001;
        for shape in [[1, 1, 1], [3, 50, 1], [2, 33, 5], [1, 5000, 1], [70, 100, 3]] {
            let len = shape.iter().product();
            let ints: Vec<i64> = (0..len).map(|i| noise(i) as i64 - 2000).collect();
            check(&ints, shape, |a, b| a.cmp(&b));
            check(&ints.iter().map(|&x| x as i32).collect::<Vec<_>>(), shape, |a, b| a.cmp(&b));
            check(&ints.iter().map(|&x| x as i16).collect::<Vec<_>>(), shape, |a, b| a.cmp(&b));
            check(&ints.iter().map(|&x| x as i8).collect::<Vec<_>>(), shape, |a, b| a.cmp(&b));
            check(&ints.iter().map(|&x| x as u8).collect::<Vec<_>>(), shape, |a, b| a.cmp(&b));
            check(&ints.iter().map(|&x| x > 0).collect::<Vec<_>>(), shape, |a, b| a.cmp(&b));
            check(&ints.iter().map(|&x| x as f32 * 0.37).collect::<Vec<_>>(), shape, |a, b| a.total_cmp(&b));
            check(&ints.iter().map(|&x| x as f64 * 1e200).collect::<Vec<_>>(), shape, |a, b| a.total_cmp(&b));
            check(&ints.iter().map(|&x| f16::from_f32(x as f32)).collect::<Vec<_>>(), shape, |a, b| a.total_cmp(&b));
            check(&ints.iter().map(|&x| bf16::from_f32(x as f32)).collect::<Vec<_>>(), shape, |a, b| a.total_cmp(&b));
        }
    }
}
