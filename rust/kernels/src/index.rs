//! Reading and writing at positions given by integers.
//!
//! Indices are `i64` and were checked by [`out_of_range`] before; every kernel is deterministic, because elements that
//! may meet in one place are always added by one thread, in order.

use crate::array::{Element, View};
use crate::pool;

/// Elements per task.
const GRAIN: usize = 16 * 1024;

/// The first index outside `0..len`.
pub fn out_of_range(index: &[i64], len: usize) -> Option<i64> {
    index.iter().copied().find(|&i| i < 0 || i as u64 >= len as u64)
}

/// A pointer that tasks share; each writes its own part.
#[derive(Clone, Copy)]
struct Shared<T>(*mut T);
// SAFETY: the kernels below hand every task a part of its own.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn at(self, i: usize) -> *mut T {
        self.0.wrapping_add(i)
    }
}

/// `out[o, j, :] = x[o, index[j], :]` for `x` of shape `[outer, n, inner]`.
///
/// # Panics
/// When the lengths do not fit; an index outside `0..n` panics too.
pub fn index_select<T: Element>(x: &[T], [outer, n, inner]: [usize; 3], index: &[i64], out: &mut [T]) {
    assert_eq!(x.len(), outer * n * inner, "index_select: the input must have the given shape");
    assert_eq!(out.len(), outer * index.len() * inner, "index_select: the output must fit the index");
    if out.is_empty() {
        return;
    }
    let rows = outer * index.len();
    let target = Shared(out.as_mut_ptr());
    pool::chunked(rows, (GRAIN / inner).max(1), |range| {
        for row in range {
            let (o, j) = (row / index.len(), row % index.len());
            let from = (o * n + index[j] as usize) * inner;
            let source = &x[from..from + inner];
            // SAFETY: row `row` of the output belongs to this task and has `inner` elements.
            unsafe { std::ptr::copy_nonoverlapping(source.as_ptr(), target.at(row * inner), inner) }
        }
    });
}

/// `out[o, index[j], :] += source[o, j, :]` for `out` of shape `[outer, n, inner]`.
///
/// # Panics
/// When the lengths do not fit; an index outside `0..n` panics too.
pub fn index_add<T: Element>(
    out: &mut [T],
    [outer, n, inner]: [usize; 3],
    index: &[i64],
    source: &[T],
    add: impl Fn(T, T) -> T + Copy + Send + Sync,
) {
    assert_eq!(out.len(), outer * n * inner, "index_add: the output must have the given shape");
    assert_eq!(source.len(), outer * index.len() * inner, "index_add: the source must fit the index");
    assert!(out_of_range(index, n).is_none(), "index_add: indices must be in range");
    if source.is_empty() {
        return;
    }
    let target = Shared(out.as_mut_ptr());
    // Columns are shared out, so that all rows that meet in one place are added by one task, in order.
    let width = (GRAIN / index.len()).clamp(16, inner.max(16));
    let strips = inner.div_ceil(width);
    pool::parallel_for(outer * strips, &|task| {
        let (o, strip) = (task / strips, task % strips);
        let (first, last) = (strip * width, ((strip + 1) * width).min(inner));
        for (j, &i) in index.iter().enumerate() {
            let from = &source[(o * index.len() + j) * inner..][first..last];
            let to = (o * n + i as usize) * inner + first;
            for (c, &v) in from.iter().enumerate() {
                // SAFETY: `i` is in range, so the place lies in `out`; these columns belong to this task.
                unsafe { *target.at(to + c) = add(*target.at(to + c), v) }
            }
        }
    });
}

/// Walks the lines of an index tensor along `dim`: calls `f` with the position of the line in the index tensor and in a
/// tensor with `strides`, both without the step along `dim`.
fn lines(shape: &[usize], dim: usize, strides: &[isize], mut f: impl FnMut(usize, isize)) {
    let mut at = vec![0usize; shape.len()];
    let inner: usize = shape[dim + 1..].iter().product();
    let n = shape[dim];
    let total: usize = shape.iter().enumerate().filter(|&(d, _)| d != dim).map(|(_, &n)| n).product();
    for line in 0..total {
        let position = (line / inner) * inner * n + line % inner;
        let offset =
            at.iter().zip(strides).enumerate().filter(|&(d, _)| d != dim).map(|(_, (&i, &s))| i as isize * s).sum();
        f(position, offset);
        for d in (0..shape.len()).rev().filter(|&d| d != dim) {
            at[d] += 1;
            if at[d] < shape[d] {
                break;
            }
            at[d] = 0;
        }
    }
}

/// `out[.., j, ..] = x[.., index[.., j, ..], ..]` along `dim`; `index` and `out` are contiguous, of `shape`, which may be
/// shorter than `x` in the other dimensions.
///
/// # Panics
/// When the shapes do not fit or an index is out of range.
pub fn gather<T: Element>(x: View<'_, T>, dim: usize, index: &[i64], shape: &[usize], out: &mut [T]) {
    check("gather", x.shape(), dim, index, shape, out.len());
    if out.is_empty() {
        return;
    }
    let step = shape[dim + 1..].iter().product::<usize>();
    let (ptr, along) = (x.ptr(), x.strides()[dim]);
    lines(shape, dim, x.strides(), |position, offset| {
        for j in 0..shape[dim] {
            let at = position + j * step;
            // SAFETY: `check` saw that every coordinate is inside the checked view `x`.
            out[at] = unsafe { *ptr.wrapping_offset(offset + index[at] as isize * along) };
        }
    });
}

/// `out[.., index[.., j, ..], ..] = f(old, source[.., j, ..])` along `dim`; all contiguous, `index` and `source` of
/// `shape`, which may be shorter than `out_shape`. Later elements win, or are combined in order.
///
/// # Panics
/// When the shapes do not fit or an index is out of range.
pub fn scatter<T: Element>(
    out: &mut [T],
    out_shape: &[usize],
    dim: usize,
    index: &[i64],
    shape: &[usize],
    source: &[T],
    f: impl Fn(T, T) -> T,
) {
    check("scatter", out_shape, dim, index, shape, source.len());
    let mut strides = vec![1isize; out_shape.len()];
    for d in (1..out_shape.len()).rev() {
        strides[d - 1] = strides[d] * out_shape[d] as isize;
    }
    let step = shape[dim + 1..].iter().product::<usize>();
    if source.is_empty() {
        return;
    }
    lines(shape, dim, &strides, |position, offset| {
        for j in 0..shape[dim] {
            let at = position + j * step;
            let to = (offset + index[at] as isize * strides[dim]) as usize;
            out[to] = f(out[to], source[at]);
        }
    });
}

fn check(op: &str, full: &[usize], dim: usize, index: &[i64], shape: &[usize], len: usize) {
    let fits = full.len() == shape.len() && shape.iter().zip(full).enumerate().all(|(d, (a, b))| d == dim || a <= b);
    assert!(fits && dim < full.len(), "{op}: index shape {shape:?} must fit {full:?}");
    let n: usize = shape.iter().product();
    assert!(index.len() == n && len == n, "{op}: as many elements as indices are required");
    assert!(out_of_range(index, full[dim]).is_none(), "{op}: indices must be in range");
}

/// Positions of the true elements, row by row: `out[i]` are the coordinates of the `i`-th.
pub fn nonzero(mask: &[bool], shape: &[usize]) -> Vec<i64> {
    let mut out = Vec::new();
    for (flat, _) in mask.iter().enumerate().filter(|&(_, &m)| m) {
        let (at, mut rest) = (out.len(), flat);
        out.resize(at + shape.len(), 0);
        for d in (0..shape.len()).rev() {
            out[at + d] = (rest % shape[d]) as i64;
            rest /= shape[d];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selecting_and_adding_rows() {
        let x: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let mut out = vec![0.0; 2 * 2 * 4];
        index_select(&x, [2, 3, 4], &[2, 0], &mut out);
        assert_eq!(out, [8., 9., 10., 11., 0., 1., 2., 3., 20., 21., 22., 23., 12., 13., 14., 15.]);
        let mut sum = vec![0.0; 24];
        index_add(&mut sum, [2, 3, 4], &[1, 1], &out, |a, b| a + b);
        assert_eq!(sum[4..8], [8., 10., 12., 14.]);
        assert_eq!(sum[0..4], [0.0; 4]);
    }

    #[test]
    fn many_rows_meet_in_order_on_any_number_of_threads() {
        let index: Vec<i64> = (0..5000).map(|i| (i * 7) % 13).collect();
        let source: Vec<f32> = (0..5000 * 40).map(|i| ((i * 37) % 101) as f32 * 0.1).collect();
        let mut out = vec![0.0f32; 13 * 40];
        index_add(&mut out, [1, 13, 40], &index, &source, |a, b| a + b);
        let mut expected = vec![0.0f32; 13 * 40];
        for (j, &i) in index.iter().enumerate() {
            for c in 0..40 {
                expected[i as usize * 40 + c] += source[j * 40 + c];
            }
        }
        assert_eq!(out, expected);
    }

    #[test]
    fn scatter_undoes_gather() {
        let x: Vec<f64> = (0..12).map(f64::from).collect();
        let index = [2, 0, 1, 1, 3, 0];
        let buffer = crate::array::Buffer::new(96).expect("small");
        let (shape, strides) = ([3usize, 4], [4isize, 1]);
        buffer.view_mut::<f64>(&shape, &strides, 0).into_slice().expect("contiguous").copy_from_slice(&x);
        let mut out = vec![0.0; 6];
        gather(buffer.view::<f64>(&shape, &strides, 0), 1, &index, &[3, 2], &mut out);
        assert_eq!(out, [2., 0., 5., 5., 11., 8.]);
        let mut back = vec![0.0; 12];
        scatter(&mut back, &[3, 4], 1, &index, &[3, 2], &out, |old, new| old + new);
        assert_eq!(back, [0., 0., 2., 0., 0., 10., 0., 0., 8., 0., 0., 11.]);
    }

    #[test]
    fn bad_indices_are_found() {
        assert_eq!(out_of_range(&[0, 4, 5], 5), Some(5));
        assert_eq!(out_of_range(&[0, -1], 5), Some(-1));
        assert_eq!(out_of_range(&[0, 4], 5), None);
    }

    #[test]
    fn coordinates_of_true_elements() {
        assert_eq!(nonzero(&[false, true, false, true], &[2, 2]), [0, 1, 1, 1]);
    }
}
