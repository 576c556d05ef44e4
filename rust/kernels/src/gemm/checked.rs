//! Matrix products on checked views: what callers without `unsafe` use.

use super::{Bias, Epilogue, Gemm, gemm_batch};
use crate::array::{Element, View, ViewMut};
use crate::simd::Float;

/// `c = a b`, plus a bias per column, then the rectifier if `relu`.
///
/// `a` is `[..., m, k]`, `b` is `[..., k, n]`, `c` is `[..., m, n]` with contiguous rows (last stride 1); the leading
/// dimensions are equal, broadcast ones have stride 0. All other strides are free. `bias` has `n` contiguous elements.
/// `c` must not share memory with the others.
///
/// # Panics
/// When the views do not fit together.
pub fn matmul<T: Float + Element>(
    a: View<'_, T>,
    b: View<'_, T>,
    bias: Option<View<'_, T>>,
    relu: bool,
    c: ViewMut<'_, T>,
) {
    let (rank, shapes) = (c.shape().len(), (a.shape(), b.shape(), c.shape()));
    assert!(
        rank >= 2 && a.shape().len() == rank && b.shape().len() == rank,
        "matmul: operands and result must have the same rank of at least 2, got {shapes:?}"
    );
    let lead = rank - 2;
    let (m, k, n) = (a.shape()[lead], a.shape()[lead + 1], b.shape()[lead + 1]);
    assert!(
        a.shape()[..lead] == c.shape()[..lead]
            && b.shape()[..lead] == c.shape()[..lead]
            && b.shape()[lead] == k
            && c.shape()[lead..] == [m, n],
        "matmul: shapes must fit together, got {shapes:?}"
    );
    assert!(c.strides()[lead + 1] == 1 || n <= 1, "matmul: rows of the result must be contiguous");
    let bias = bias.map_or(Bias::None, |bias| {
        assert!(bias.len() == n && bias.is_contiguous(), "matmul: the bias must have {n} contiguous elements");
        Bias::Columns(bias.ptr())
    });
    let args = Gemm {
        m,
        n,
        k,
        a: a.ptr(),
        a_row: a.strides()[lead],
        a_col: a.strides()[lead + 1],
        b: b.ptr(),
        b_row: b.strides()[lead],
        b_col: b.strides()[lead + 1],
        c: c.ptr(),
        ldc: c.strides()[lead],
        accumulate: false,
        epilogue: Epilogue { bias, relu },
    };
    if c.is_empty() {
        return;
    }
    let strides = [&a.strides()[..lead], &b.strides()[..lead], &c.strides()[..lead]];
    // SAFETY: the views were checked against their buffers and fit together.
    unsafe { over_batches(args, &c.shape()[..lead], strides) }
}

/// Computes the products of all leading indices: the innermost dimension that cannot be merged with its neighbours is
/// one batch, the others are walked.
///
/// # Safety
/// As for [`gemm_batch`], for all the matrices that the shape and strides reach.
unsafe fn over_batches<T: Float>(args: Gemm<T>, shape: &[usize], [a, b, c]: [&[isize]; 3]) {
    let Some((&last, outer)) = shape.split_last() else {
        // SAFETY: as the caller promises.
        return unsafe { gemm_batch(&args, 1, 0, 0, 0) };
    };
    let inner = outer.len();
    // Merge dimensions from the right while the matrices stay equally spaced.
    let (mut count, mut cut) = (last, inner);
    let mut steps = [a[inner], b[inner], c[inner]];
    if last == 1 && cut > 0 {
        steps = [a[cut - 1], b[cut - 1], c[cut - 1]]; // a single matrix has no spacing of its own
        count = shape[cut - 1];
        cut -= 1;
    }
    while cut > 0 && (0..3).all(|i| [a, b, c][i][cut - 1] == steps[i] * count as isize) {
        count *= shape[cut - 1];
        cut -= 1;
    }
    let walked: usize = shape[..cut].iter().product();
    for mut index in 0..walked {
        let mut offsets = [0isize; 3];
        for dim in (0..cut).rev() {
            let position = (index % shape[dim]) as isize;
            index /= shape[dim];
            for (offset, strides) in offsets.iter_mut().zip([a, b, c]) {
                *offset += position * strides[dim];
            }
        }
        let args = Gemm {
            a: args.a.wrapping_offset(offsets[0]),
            b: args.b.wrapping_offset(offsets[1]),
            c: args.c.wrapping_offset(offsets[2]),
            ..args
        };
        // SAFETY: as the caller promises.
        unsafe { gemm_batch(&args, count, steps[0], steps[1], steps[2]) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Buffer;

    /// Products of 3 x 4 by 4 x 5 matrices for batch shapes and strides of every kind, against the definition.
    #[test]
    fn batch_dimensions_merge_or_are_walked() {
        let numbers = Buffer::new(4 * 4096).expect("memory");
        for i in 0..4096u32 {
            numbers.write_bytes(4 * i as usize, &((i % 7) as f32).to_ne_bytes());
        }
        let value = |index: usize| (index % 7) as f32;
        let cases: [(&[usize], &[isize], &[isize]); 7] = [
            (&[], &[], &[]),
            (&[6], &[12], &[20]),
            (&[2, 3], &[36, 12], &[60, 20]),
            (&[2, 3], &[12, 24], &[0, 20]),
            (&[2, 3], &[0, 0], &[20, 40]),
            (&[2, 1], &[12, 999], &[20, 77]),
            (&[2, 3, 2], &[12, 0, 24], &[0, 40, 20]),
        ];
        for (batch, a_lead, b_lead) in cases {
            let shape = |rows: usize, columns: usize| [batch, &[rows, columns]].concat();
            let strides = |lead: &[isize], row: isize| [lead, &[row, 1]].concat();
            let (a_shape, b_shape, c_shape) = (shape(3, 4), shape(4, 5), shape(3, 5));
            let (a_strides, b_strides) = (strides(a_lead, 4), strides(b_lead, 5));
            let mut c_strides = vec![1isize; c_shape.len()];
            for dim in (1..c_shape.len()).rev() {
                c_strides[dim - 1] = c_strides[dim] * c_shape[dim] as isize;
            }
            let total: usize = c_shape.iter().product();
            let out = Buffer::new(4 * total).expect("memory");
            matmul::<f32>(
                numbers.view(&a_shape, &a_strides, 0),
                numbers.view(&b_shape, &b_strides, 0),
                None,
                false,
                out.view_mut(&c_shape, &c_strides, 0),
            );
            let shape = [total];
            let got = out.view::<f32>(&shape, &[1], 0).as_slice().expect("contiguous");
            for matrix in 0..total / 15 {
                let (mut a, mut b, mut rest) = (0, 0, matrix);
                for dim in (0..batch.len()).rev() {
                    a += rest % batch[dim] * a_lead[dim] as usize;
                    b += rest % batch[dim] * b_lead[dim] as usize;
                    rest /= batch[dim];
                }
                for (i, j) in (0..3).flat_map(|i| (0..5).map(move |j| (i, j))) {
                    let want: f32 = (0..4).map(|p| value(a + 4 * i + p) * value(b + 5 * p + j)).sum();
                    assert_eq!(got[matrix * 15 + i * 5 + j], want, "{batch:?} {matrix} {i} {j}");
                }
            }
        }
    }
}
