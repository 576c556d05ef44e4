//! Products with a vector: one row times a matrix, or a matrix times one column. They live on memory bandwidth.

use super::{Bias, Gemm};
use crate::pool;
use crate::simd::{Float, Vector, simd_fn};

/// Matrix elements worth a task of their own.
const TASK: usize = 1 << 15;

/// `y[i] = sum_k M[i, k] x[k]` in the form both cases reduce to.
struct MatVec<T> {
    k: usize,
    matrix: *const T,
    row: isize,
    step: isize,
    x: *const T,
    y: *mut T,
    y_step: isize,
}

// SAFETY: addresses of what the caller of `gemv` lent us; tasks write disjoint parts of y.
unsafe impl<T> Sync for MatVec<T> {}

/// Whether one of the kernels here fits: one side is a contiguous vector, the matrix is contiguous in one direction.
pub(super) fn applies<T>(args: &Gemm<T>) -> bool {
    let (x_step, row, step) = match (args.m, args.n) {
        (1, _) => (args.a_col, args.b_col, args.b_row),
        (_, 1) => (args.b_row, args.a_row, args.a_col),
        _ => return false,
    };
    args.k > 0 && x_step == 1 && (step == 1 || (row == 1 && args.m == 1))
}

/// # Safety
/// As for [`super::gemm`], and [`applies`] holds.
pub(super) unsafe fn gemv<T: Float>(args: &Gemm<T>, parallel: bool) {
    let (rows, k) = (args.m.max(args.n), args.k);
    let problem = if args.m == 1 {
        MatVec { k, matrix: args.b, row: args.b_col, step: args.b_row, x: args.a, y: args.c, y_step: 1 }
    } else {
        MatVec { k, matrix: args.a, row: args.a_row, step: args.a_col, x: args.b, y: args.c, y_step: args.ldc }
    };
    let dots = problem.step == 1;
    let (bias, bias_step) = match (args.epilogue.bias, args.m == 1) {
        (Bias::None, _) => (std::ptr::null(), 0),
        (Bias::Columns(bias), true) | (Bias::Rows(bias), false) => (bias, 1),
        (Bias::Columns(bias) | Bias::Rows(bias), _) => (bias, 0),
    };
    let (accumulate, relu) = (args.accumulate, args.epilogue.relu);
    let bias = Shared(bias);
    let part = |range: std::ops::Range<usize>| {
        let (problem, bias) = (&problem, bias.get());
        // SAFETY: rows `range` of the problem, which tasks have to themselves.
        unsafe {
            if dots {
                dot_rows::<T>(problem, range.start, range.end, accumulate);
            } else {
                add_columns::<T>(problem, range.start, range.end, accumulate);
            }
            if bias_step >= 0 && (!bias.is_null() || relu) {
                for i in range {
                    let y = problem.y.offset(i as isize * problem.y_step);
                    let sum = if bias.is_null() { *y } else { *y + *bias.add(i * bias_step as usize) };
                    *y = if relu { T::default().max(sum) } else { sum };
                }
            }
        }
    };
    if parallel && rows * k > 2 * TASK {
        pool::chunked(rows, (TASK / k).clamp(1, rows).next_multiple_of(64), part);
    } else {
        part(0..rows);
    }
}

struct Shared<T>(*const T);
// SAFETY: a bias is only read.
unsafe impl<T> Sync for Shared<T> {}
impl<T> Shared<T> {
    fn get(&self) -> *const T {
        self.0
    }
}

simd_fn! {
    /// Dot products of contiguous rows with x, four rows at a time.
    ///
    /// # Safety
    /// Rows `start..end` exist; nobody else writes their results.
    unsafe fn dot_rows<T: Float, V>(problem: &MatVec<T>, start: usize, end: usize, accumulate: bool) {
        let mut i = start;
        while i < end {
            // SAFETY: rows `i..i + 4` exist.
            unsafe {
                if i + 4 <= end {
                    dots::<T, V, 4>(problem, i, accumulate);
                    i += 4;
                } else {
                    dots::<T, V, 1>(problem, i, accumulate);
                    i += 1;
                }
            }
        }
    }
}

/// # Safety
/// Rows `first..first + R` exist; nobody else writes their results.
#[inline(always)]
unsafe fn dots<T: Float, V: Vector<Elem = T>, const R: usize>(problem: &MatVec<T>, first: usize, accumulate: bool) {
    // Two sums per row hide the latency of the additions.
    let mut sums = [[V::zero(); 2]; R];
    let &MatVec { k, x, .. } = problem;
    let row = |r: usize| problem.matrix.wrapping_offset((first + r) as isize * problem.row);
    let mut p = 0;
    // SAFETY: reads stay below k in rows that exist.
    unsafe {
        while p + 2 * V::LANES <= k {
            let (x0, x1) = (V::load(x.add(p)), V::load(x.add(p + V::LANES)));
            for (r, sum) in sums.iter_mut().enumerate() {
                sum[0] = V::load(row(r).add(p)).mul_add(x0, sum[0]);
                sum[1] = V::load(row(r).add(p + V::LANES)).mul_add(x1, sum[1]);
            }
            p += 2 * V::LANES;
        }
        while p < k {
            let count = V::LANES.min(k - p);
            let x0 = V::load_partial(x.add(p), count);
            for (r, sum) in sums.iter_mut().enumerate() {
                sum[0] = V::load_partial(row(r).add(p), count).mul_add(x0, sum[0]);
            }
            p += count;
        }
        for (r, sum) in sums.iter().enumerate() {
            let y = problem.y.offset((first + r) as isize * problem.y_step);
            let total = (sum[0] + sum[1]).reduce_add();
            *y = if accumulate { *y + total } else { total };
        }
    }
}

simd_fn! {
    /// Sums of columns scaled by x, where the elements of a column are contiguous and so is y: four columns are added
    /// to a stretch of y at a time.
    ///
    /// # Safety
    /// Rows `start..end` exist; nobody else writes their results.
    unsafe fn add_columns<T: Float, V>(problem: &MatVec<T>, start: usize, end: usize, accumulate: bool) {
        // A stretch of y that stays in the first-level cache while the columns stream by.
        let stretch = 4096;
        let mut from = start;
        while from < end {
            let to = end.min(from + stretch);
            let mut p = 0;
            while p < problem.k {
                let keep = accumulate || p > 0;
                // SAFETY: columns `p..` below k and rows `from..to` exist.
                unsafe {
                    if p + 8 <= problem.k {
                        add::<T, V, 8>(problem, p, from, to, keep);
                        p += 8;
                    } else {
                        add::<T, V, 1>(problem, p, from, to, keep);
                        p += 1;
                    }
                }
            }
            from = to;
        }
    }
}

/// # Safety
/// Columns `p..p + K` and rows `from..to` exist; nobody else writes their results.
#[inline(always)]
unsafe fn add<T: Float, V: Vector<Elem = T>, const K: usize>(
    problem: &MatVec<T>,
    p: usize,
    from: usize,
    to: usize,
    keep: bool,
) {
    let column = |d: usize| problem.matrix.wrapping_offset((p + d) as isize * problem.step);
    let mut x = [V::zero(); K];
    for (d, x) in x.iter_mut().enumerate() {
        // SAFETY: `p + d < k`.
        *x = V::splat(unsafe { *problem.x.add(p + d) });
    }
    let mut i = from;
    // SAFETY: reads and writes stay in rows `from..to`.
    unsafe {
        while i + V::LANES <= to {
            let y = problem.y.add(i);
            let mut sum = if keep { V::load(y) } else { V::zero() };
            for (d, &x) in x.iter().enumerate() {
                sum = V::load(column(d).add(i)).mul_add(x, sum);
            }
            sum.store(y);
            i += V::LANES;
        }
        if i < to {
            let (y, count) = (problem.y.add(i), to - i);
            let mut sum = if keep { V::load_partial(y, count) } else { V::zero() };
            for (d, &x) in x.iter().enumerate() {
                sum = V::load_partial(column(d).add(i), count).mul_add(x, sum);
            }
            sum.store_partial(y, count);
        }
    }
}
