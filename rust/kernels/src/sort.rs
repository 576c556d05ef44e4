//! Sorting along a dimension, with the permutation.

use std::cmp::Ordering;

/// A total order for sorting; NaN counts as the greatest number.
pub trait SortKey: Copy {
    /// Compares two keys.
    fn order(&self, other: &Self) -> Ordering;
}

macro_rules! int_keys { ($($t:ty),*) => { $(
    impl SortKey for $t {
        #[inline]
        fn order(&self, other: &Self) -> Ordering { self.cmp(other) }
    }
)* } }
int_keys!(bool, u8, i8, i16, i32, i64);

macro_rules! float_keys { ($($t:ty),*) => { $(
    impl SortKey for $t {
        #[inline]
        fn order(&self, other: &Self) -> Ordering {
            self.partial_cmp(other).unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()))
        }
    }
)* } }
float_keys!(f32, f64, half::f16, half::bf16);

/// Sorts every line of `x`, of shape `[outer, n, inner]`, along the middle, and keeps the first `k`.
///
/// Stable: equal keys stay in order, also when the greatest come first. `values` and `indices` have shape
/// `[outer, k, inner]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn sort<T: SortKey>(
    x: &[T],
    [outer, n, inner]: [usize; 3],
    k: usize,
    descending: bool,
    values: &mut [T],
    indices: &mut [i64],
) {
    assert!(k <= n, "sort: at most as many as there are can be kept");
    assert_eq!(x.len(), outer * n * inner, "sort: the input must have the given shape");
    assert!(values.len() == outer * k * inner && indices.len() == values.len(), "sort: the outputs must fit");
    let mut line: Vec<(T, usize)> = Vec::with_capacity(n);
    for o in 0..outer {
        for i in 0..inner {
            line.clear();
            line.extend((0..n).map(|j| (x[(o * n + j) * inner + i], j)));
            // The index breaks ties, so selecting the k first is stable as well.
            let order = |a: &(T, usize), b: &(T, usize)| {
                let by_key = if descending { b.0.order(&a.0) } else { a.0.order(&b.0) };
                by_key.then(a.1.cmp(&b.1))
            };
            if k < n && k > 0 {
                line.select_nth_unstable_by(k - 1, order);
            }
            line[..k].sort_unstable_by(order);
            for (j, &(v, at)) in line[..k].iter().enumerate() {
                let to = (o * k + j) * inner + i;
                (values[to], indices[to]) = (v, at as i64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::sort;

    #[test]
    fn stable_with_nan_greatest() {
        let x = [2.0f32, f32::NAN, 1.0, 2.0];
        let (mut v, mut i) = ([0.0; 4], [0; 4]);
        sort(&x, [1, 4, 1], 4, false, &mut v, &mut i);
        assert_eq!((&v[..3], i), (&[1.0, 2.0, 2.0][..], [2, 0, 3, 1]));
        sort(&x, [1, 4, 1], 4, true, &mut v, &mut i);
        assert_eq!((&v[1..], i), (&[2.0, 2.0, 1.0][..], [1, 0, 3, 2]));
    }

    #[test]
    fn the_first_k_along_the_middle() {
        let x = [5i64, 1, 4, 2, 9, 3];
        let (mut v, mut i) = ([0; 4], [0; 4]);
        sort(&x, [1, 3, 2], 2, true, &mut v, &mut i);
        assert_eq!((v, i), ([9, 3, 5, 2], [2, 2, 0, 1]));
    }
}
