//! Matrix products.
//!
//! [`gemm`] computes `C = A B` for matrices with any strides, with an epilogue applied while the results are in
//! registers; [`gemm_batch`] does so for many matrices at once.

pub mod checked;
mod columns;
mod driver;
mod pack;
mod probe;
mod tile;
mod transpose;
mod vector;

#[cfg(test)]
mod tests;

pub use probe::{bandwidth, fma_peak};

use crate::pool;
use crate::simd::Float;
pub(crate) use columns::product_by_columns;
pub(crate) use driver::{Product, Scratch, Target, product};
pub(crate) use pack::{Operand, Strided, copy_rows};
pub(crate) use tile::{MAX_ROWS, Tail, kernels};
pub(crate) use transpose::transpose;

use driver::ColumnMajor;
pub(crate) use driver::RowMajor;

/// A bias added to a product.
#[derive(Clone, Copy, Debug)]
pub enum Bias<T> {
    /// Nothing.
    None,
    /// `bias[j]` to every element of column `j` (a linear layer's bias).
    Columns(*const T),
    /// `bias[i]` to every element of row `i` (a convolution's bias).
    Rows(*const T),
}

/// What is done to the elements of a product before they are stored: the bias first, then the rectifier.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<T> {
    /// Added to the product.
    pub bias: Bias<T>,
    /// Whether negative results become zero (NaN stays NaN).
    pub relu: bool,
}

// SAFETY: a plain address; the bias behind it is only read.
unsafe impl<T> Sync for Epilogue<T> {}
// SAFETY: as above.
unsafe impl<T> Send for Epilogue<T> {}

impl<T> Epilogue<T> {
    /// Stores the product as it is.
    pub const NONE: Self = Epilogue { bias: Bias::None, relu: false };
}

/// A product `C[m, n] = A[m, k] B[k, n]`, with strides in elements.
#[derive(Clone, Copy, Debug)]
pub struct Gemm<T> {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Element (0, 0) of A.
    pub a: *const T,
    /// From one row of A to the next; any value, zero and negative included.
    pub a_row: isize,
    /// From one column of A to the next; any value.
    pub a_col: isize,
    /// Element (0, 0) of B.
    pub b: *const T,
    /// From one row of B to the next; any value.
    pub b_row: isize,
    /// From one column of B to the next; any value.
    pub b_col: isize,
    /// Element (0, 0) of C, whose rows are contiguous.
    pub c: *mut T,
    /// From one row of C to the next.
    pub ldc: isize,
    /// Whether to add to what C holds instead of overwriting it.
    pub accumulate: bool,
    /// Applied after the product (and what C held) is summed.
    pub epilogue: Epilogue<T>,
}

// SAFETY: plain numbers and addresses; the safety contract of `gemm` says who may use what they point to.
unsafe impl<T> Sync for Gemm<T> {}
// SAFETY: as above.
unsafe impl<T> Send for Gemm<T> {}

/// Computes one product, on all threads if it is large.
///
/// The result does not depend on the number of threads. With `k == 0` the product is zero.
///
/// # Safety
/// A and B are readable, and C is readable (when accumulating) and writable, at all their elements; the bias is readable for its
/// `n` or `m` elements. C overlaps neither itself nor the others, and nobody else uses it meanwhile.
pub unsafe fn gemm<T: Float>(args: &Gemm<T>) {
    // SAFETY: passed on unchanged.
    unsafe { gemm_on(args, true) }
}

/// As [`gemm`], on the calling thread alone unless `parallel`.
///
/// # Safety
/// As for [`gemm`].
unsafe fn gemm_on<T: Float>(args: &Gemm<T>, parallel: bool) {
    let &Gemm { m, n, k, accumulate, epilogue, .. } = args;
    if m == 0 || n == 0 {
        return;
    }
    let a = Strided { data: args.a, lane: args.a_row, depth: args.a_col };
    let b = Strided { data: args.b, lane: args.b_col, depth: args.b_row };
    // SAFETY: the views describe the same matrices as `args`.
    unsafe {
        if vector::try_gemv(args, parallel) {
            return;
        }
        if transposing_c_pays(args) {
            let c = ColumnMajor { data: args.c, column: args.ldc };
            let bias = match epilogue.bias {
                Bias::None => Bias::None,
                Bias::Columns(bias) => Bias::Rows(bias),
                Bias::Rows(bias) => Bias::Columns(bias),
            };
            let epilogue = Epilogue { bias, ..epilogue };
            product(&Product { m: n, n: m, k, a: &b, b: &a, c: &c, accumulate, epilogue, parallel });
        } else {
            let c = RowMajor { data: args.c, row: args.ldc };
            product(&Product { m, n, k, a: &a, b: &b, c: &c, accumulate, epilogue, parallel });
        }
    }
}

/// Whether to compute the transposed product: when the columns of B are not contiguous (a linear layer's weight) it
/// would have to be transposed into panels; if A is much smaller, transposing A and the result costs less.
fn transposing_c_pays<T>(args: &Gemm<T>) -> bool {
    let &Gemm { m, n, k, .. } = args;
    args.b_col != 1 && n >= 2 * m && k >= 32
}

/// Computes `batch` products of the same shape; matrix `i` of an operand starts `i` batch strides (in elements, zero
/// allowed for A and B) after the first. Small products are shared out whole among the threads.
///
/// # Safety
/// As for [`gemm`], for every matrix of the batch; the matrices of C do not overlap.
pub unsafe fn gemm_batch<T: Float>(args: &Gemm<T>, batch: usize, a_batch: isize, b_batch: isize, c_batch: isize) {
    let &Gemm { m, n, k, .. } = args;
    let rows_continue = a_batch == m as isize * args.a_row && c_batch == m as isize * args.ldc;
    if b_batch == 0 && rows_continue && !matches!(args.epilogue.bias, Bias::Rows(_)) {
        // One B for all, and the rows of A and C run on: a single tall product.
        // SAFETY: the same elements.
        return unsafe { gemm(&Gemm { m: m * batch, ..*args }) };
    }
    let matrix = |index: usize| {
        let index = index as isize;
        Gemm {
            a: args.a.wrapping_offset(index * a_batch),
            b: args.b.wrapping_offset(index * b_batch),
            c: args.c.wrapping_offset(index * c_batch),
            ..*args
        }
    };
    let work = m.saturating_mul(n).saturating_mul(k).max(1);
    let total = work.saturating_mul(batch);
    if batch > 1 && (batch >= 4 * pool::num_threads() || work < (1 << 24)) && total >= (1 << 18) {
        let grain = ((1 << 17) / work).max(1);
        pool::chunked(batch, grain, |range| {
            for index in range {
                // SAFETY: the matrices of the batch are disjoint in C.
                unsafe { gemm_on(&matrix(index), false) };
            }
        });
    } else {
        for index in 0..batch {
            // SAFETY: as the caller promises for each matrix.
            unsafe { gemm(&matrix(index)) };
        }
    }
}
