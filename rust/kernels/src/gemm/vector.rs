//! Products with a few vectors: up to eight rows times a matrix, or a matrix times up to eight columns. They live on
//! memory bandwidth, so the matrix is read once, front to back, where it lies.

// Iterator adaptors would put arrays of registers into memory.
#![allow(clippy::needless_range_loop)]

use super::{Bias, Gemm, transpose};
use crate::pool;
use crate::simd::{Float, MAX_LANES, Vector, simd_fn};

/// Matrix elements worth a task of their own.
const TASK: usize = 1 << 15;
/// Most vectors multiplied by dot products. Each costs the sum over a register's lanes at the end, so the depth must
/// make up for it.
const MOST: usize = 8;
const LEAST_DEPTH: usize = 48;

/// `y[v, i] = sum_k M[i, k] x[v, k]`: the form all cases reduce to.
struct MatVec<T> {
    k: usize,
    matrix: *const T,
    row: isize,
    step: isize,
    /// The vectors: how many, where, and how far apart. Each is contiguous.
    vectors: usize,
    x: *const T,
    x_row: isize,
    y: *mut T,
    y_row: isize,
    y_step: isize,
    bias: *const T,
    bias_row: isize,
    bias_step: isize,
    accumulate: bool,
    relu: bool,
}

// SAFETY: addresses of what the caller of `gemv` lent us; tasks write disjoint parts of y.
unsafe impl<T> Sync for MatVec<T> {}

/// Columns added at a time, and to how long a stretch of y, which should stay in the first-level cache.
const AT_ONCE: usize = 8;
const STRETCH: usize = 4096;

/// How a product fits the kernels here.
enum Fit {
    No,
    /// The few vectors are rows of A, or else columns of B.
    Dots {
        rows: bool,
    },
    /// One row of A, and B with contiguous rows.
    Sums,
}

fn fit<T>(args: &Gemm<T>) -> Fit {
    let &Gemm { m, n, k, .. } = args;
    let contiguous = k > 0 && args.a_col == 1 && args.b_row == 1;
    let few = |count: usize| count == 1 || (count <= MOST && k >= LEAST_DEPTH);
    if contiguous && few(m) && m <= n {
        Fit::Dots { rows: true }
    } else if contiguous && few(n) {
        Fit::Dots { rows: false }
    } else if m == 1 && k > 0 && args.a_col == 1 && args.b_col == 1 {
        Fit::Sums
    } else {
        Fit::No
    }
}

/// Computes the product if one of the kernels here fits it; returns whether it did.
///
/// # Safety
/// As for [`super::gemm`].
pub(super) unsafe fn try_gemv<T: Float>(args: &Gemm<T>, parallel: bool) -> bool {
    let (of_rows, dots) = match fit(args) {
        Fit::No => return false,
        Fit::Dots { rows } => (rows, true),
        Fit::Sums => (true, false),
    };
    let &Gemm { m, n, k, accumulate, .. } = args;
    let (bias, by_column, by_row) = match args.epilogue.bias {
        Bias::None => (std::ptr::null(), 0, 0),
        Bias::Columns(bias) => (bias, 1, 0),
        Bias::Rows(bias) => (bias, 0, 1),
    };
    let relu = args.epilogue.relu;
    let problem = if of_rows {
        MatVec {
            k,
            matrix: args.b,
            row: args.b_col,
            step: args.b_row,
            vectors: m,
            x: args.a,
            x_row: args.a_row,
            y: args.c,
            y_row: args.ldc,
            y_step: 1,
            bias,
            bias_row: by_row,
            bias_step: by_column,
            accumulate,
            relu,
        }
    } else {
        MatVec {
            k,
            matrix: args.a,
            row: args.a_row,
            step: args.a_col,
            vectors: n,
            x: args.b,
            x_row: args.b_col,
            y: args.c,
            y_row: 1,
            y_step: args.ldc,
            bias,
            bias_row: by_column,
            bias_step: by_row,
            accumulate,
            relu,
        }
    };
    let rows = if of_rows { n } else { m };
    let part = |range: std::ops::Range<usize>| {
        // SAFETY: rows `range` of the problem, which tasks have to themselves.
        unsafe {
            if dots {
                dot_rows::<T>(&problem, range.start, range.end);
            } else {
                add_columns::<T>(&problem, range.start, range.end);
            }
        }
    };
    if parallel && rows * k * problem.vectors > 4 * TASK {
        pool::chunked(rows, (TASK / k).clamp(1, rows).next_multiple_of(64), part);
    } else {
        part(0..rows);
    }
    true
}

impl<T: Float> MatVec<T> {
    /// Stores one finished sum.
    ///
    /// # Safety
    /// Row `i` and vector `v` exist.
    #[inline(always)]
    unsafe fn finish(&self, i: usize, v: usize, sum: T) {
        let (i, v) = (i as isize, v as isize);
        // SAFETY: as the caller promises.
        unsafe {
            let y = self.y.offset(i * self.y_step + v * self.y_row);
            let mut sum = if self.accumulate { *y + sum } else { sum };
            if !self.bias.is_null() {
                sum = sum + *self.bias.offset(i * self.bias_step + v * self.bias_row);
            }
            *y = if self.relu { T::default().max(sum) } else { sum };
        }
    }
}

simd_fn! {
    /// Dot products of contiguous rows with the vectors, up to 16 at a time.
    ///
    /// # Safety
    /// Rows `start..end` exist; nobody else writes their results.
    unsafe fn dot_rows<T: Float, V>(problem: &MatVec<T>, start: usize, end: usize) {
        let mut i = start;
        while i < end {
            let step = if i + 4 <= end { 4 } else { 1 };
            let mut v = 0;
            while v < problem.vectors {
                let some = (problem.vectors - v).min(4);
                // SAFETY: rows `i..i + step` and vectors `v..v + some` exist.
                unsafe {
                    match (step, some) {
                        (4, 1) => dots::<T, V, 4, 1>(problem, i, v),
                        (4, 2) => dots::<T, V, 4, 2>(problem, i, v),
                        (4, 3) => dots::<T, V, 4, 3>(problem, i, v),
                        (4, _) => dots::<T, V, 4, 4>(problem, i, v),
                        (_, 1) => dots::<T, V, 1, 1>(problem, i, v),
                        (_, 2) => dots::<T, V, 1, 2>(problem, i, v),
                        (_, 3) => dots::<T, V, 1, 3>(problem, i, v),
                        (_, _) => dots::<T, V, 1, 4>(problem, i, v),
                    }
                }
                v += some;
            }
            i += step;
        }
    }
}

/// # Safety
/// Rows `first..first + R` and vectors `vector..vector + N` exist; nobody else writes their results.
#[inline(always)]
unsafe fn dots<T: Float, V: Vector<Elem = T>, const R: usize, const N: usize>(
    problem: &MatVec<T>,
    first: usize,
    vector: usize,
) {
    let k = problem.k;
    let row = |r: usize| problem.matrix.wrapping_offset((first + r) as isize * problem.row);
    let x = |v: usize| problem.x.wrapping_offset((vector + v) as isize * problem.x_row);
    let mut sums = [[V::zero(); N]; R];
    let mut p = 0;
    // SAFETY: reads stay below k in rows and vectors that exist.
    unsafe {
        while p + V::LANES <= k {
            let mut xs = [V::zero(); N];
            for v in 0..N {
                xs[v] = V::load(x(v).add(p));
            }
            for r in 0..R {
                let values = V::load(row(r).add(p));
                for v in 0..N {
                    sums[r][v] = values.mul_add(xs[v], sums[r][v]);
                }
            }
            p += V::LANES;
        }
        if p < k {
            let mut xs = [V::zero(); N];
            for v in 0..N {
                xs[v] = V::load_partial(x(v).add(p), k - p);
            }
            for r in 0..R {
                let values = V::load_partial(row(r).add(p), k - p);
                for v in 0..N {
                    sums[r][v] = values.mul_add(xs[v], sums[r][v]);
                }
            }
        }
    }
    // Sum over lanes: as columns of the transposed registers, all at once.
    let mut lanes = [T::default(); 16 * MAX_LANES];
    let mut turned = [T::default(); 16 * MAX_LANES];
    // SAFETY: up to 16 registers fit both arrays; the rows and vectors exist.
    unsafe {
        for r in 0..R {
            for v in 0..N {
                sums[r][v].store(lanes.as_mut_ptr().add((r * N + v) * V::LANES));
            }
        }
        let register = |l: usize| lanes.as_ptr().wrapping_add(l * V::LANES);
        transpose(register, R * N, V::LANES, R * N, R * N, turned.as_mut_ptr());
        let mut totals = [T::default(); 16];
        for lane in turned.chunks_exact(R * N).take(V::LANES) {
            for (total, &value) in totals.iter_mut().zip(lane) {
                *total = *total + value;
            }
        }
        for r in 0..R {
            for v in 0..N {
                problem.finish(first + r, vector + v, totals[r * N + v]);
            }
        }
    }
}

simd_fn! {
    /// Sums of columns scaled by x, where the elements of a column are contiguous and so is y: several columns are
    /// added to a stretch of y at a time.
    ///
    /// # Safety
    /// Rows `start..end` exist; nobody else writes their results.
    unsafe fn add_columns<T: Float, V>(problem: &MatVec<T>, start: usize, end: usize) {
        let mut from = start;
        while from < end {
            let to = end.min(from + STRETCH);
            let mut p = 0;
            while p < problem.k {
                let keep = problem.accumulate || p > 0;
                // SAFETY: columns `p..` below k and rows `from..to` exist.
                unsafe {
                    if p + AT_ONCE <= problem.k {
                        add::<T, V, AT_ONCE>(problem, p, from, to, keep);
                        p += AT_ONCE;
                    } else {
                        add::<T, V, 1>(problem, p, from, to, keep);
                        p += 1;
                    }
                }
            }
            if problem.relu || !problem.bias.is_null() {
                for i in from..to {
                    // SAFETY: row `i` exists. Its sum is complete, so nothing is left to accumulate.
                    unsafe {
                        let complete = *problem.y.add(i);
                        MatVec { accumulate: false, ..*problem }.finish(i, 0, complete);
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
