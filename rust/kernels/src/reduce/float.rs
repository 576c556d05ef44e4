//! Reductions of floating-point numbers.

use super::driver::{Kernel, Pairwise, WIDTH, reduce};
use super::layout::Reduction;
use crate::array::{Element, View};
use crate::elementwise::FloatElement;
use crate::math;
use crate::simd::{Float, MAX_LANES, Select, Vector, simd_fn};
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Elements that go into each lane of the running totals before the binary tree begins.
const DEPTH: usize = 32;
/// Elements gathered at a time.
const BLOCK: usize = DEPTH * MAX_LANES;

/// A reduction by an associative operation, of elements that may first be mapped. `shift` is a number that belongs to
/// the result, such as its mean.
pub(crate) trait FloatFold: Copy + Send + Sync {
    /// What folding nothing gives.
    const IDENTITY: f64;
    fn map<V: Vector>(self, x: V, shift: V) -> V;
    fn combine<V: Vector>(self, a: V, b: V) -> V;
}

macro_rules! fold {
    ($(#[$meta:meta])* $name:ident, $identity:expr, |$x:ident, $shift:ident| $map:expr, |$a:ident, $b:ident| $combine:expr) => {
        $(#[$meta])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name;
        impl FloatFold for $name {
            const IDENTITY: f64 = $identity;
            #[inline(always)]
            fn map<V: Vector>(self, $x: V, $shift: V) -> V {
                $map
            }
            #[inline(always)]
            fn combine<V: Vector>(self, $a: V, $b: V) -> V {
                $combine
            }
        }
    };
}
fold!(Sum, 0.0, |x, _shift| x, |a, b| a + b);
fold!(Prod, 1.0, |x, _shift| x, |a, b| a * b);
fold!(Max, f64::NEG_INFINITY, |x, _shift| x, |a, b| a.maximum(b));
fold!(Min, f64::INFINITY, |x, _shift| x, |a, b| a.minimum(b));
fold!(
    /// The sum of squared distances from the shift.
    SumSquares, 0.0, |x, shift| (x - shift) * (x - shift), |a, b| a + b
);
fold!(
    /// The sum of exponentials, relative to the shift.
    SumExp, 0.0, |x, shift| math::exp(x - shift), |a, b| a + b
);

simd_fn! {
    /// Folds `n` contiguous numbers.
    ///
    /// # Safety
    /// `x` is valid for reading `n` numbers.
    pub(crate) unsafe fn fold_run<T: Float, V, F: FloatFold>(f: F, x: *const T, n: usize, shift: T) -> T {
        // SAFETY: the caller's promise, piece by piece.
        unsafe {
            let block = DEPTH * V::LANES;
            if n <= block {
                return fold_block::<V, F>(f, x, n, shift);
            }
            let merge = |a: T, b: T| f.combine(a, b);
            let mut tree = Pairwise::new();
            let mut first = 0;
            while first < n {
                tree.push(fold_block::<V, F>(f, x.add(first), block.min(n - first), shift), merge);
                first += block;
            }
            tree.finish(merge).unwrap_or(T::of_f64(F::IDENTITY))
        }
    }
}

/// Folds a block of contiguous numbers.
///
/// # Safety
/// `x` is valid for reading `n` numbers.
#[inline(always)]
pub(crate) unsafe fn fold_block<V: Vector, F: FloatFold>(f: F, x: *const V::Elem, n: usize, shift: V::Elem) -> V::Elem {
    let identity = V::from_f64(F::IDENTITY);
    let shift = V::splat(shift);
    let mut i = 0;
    // SAFETY: all reads are below n.
    unsafe {
        let mut total = identity;
        if n >= 4 * V::LANES {
            let mut totals = [identity; 4];
            while i + 4 * V::LANES <= n {
                for (k, total) in totals.iter_mut().enumerate() {
                    *total = f.combine(*total, f.map(V::load(x.add(i + k * V::LANES)), shift));
                }
                i += 4 * V::LANES;
            }
            total = f.combine(f.combine(totals[0], totals[1]), f.combine(totals[2], totals[3]));
        }
        while i + V::LANES <= n {
            total = f.combine(total, f.map(V::load(x.add(i)), shift));
            i += V::LANES;
        }
        if i < n {
            let last = f.map(V::load_partial(x.add(i), n - i), shift);
            total = f.combine(total, V::first_lanes(n - i).select(last, identity));
        }
        total.fold(|a, b| f.combine(a, b))
    }
}

simd_fn! {
    /// Folds each of `cols` adjacent columns of `rows` numbers.
    ///
    /// # Safety
    /// `x` is valid for reading `cols` numbers at each of `rows` rows; `shifts` for reading and `out` for writing `cols`.
    unsafe fn fold_columns<T: Float, V, F: FloatFold>(
        f: F, x: *const T, rows: usize, row_stride: isize, cols: usize, shifts: *const T, out: *mut T
    ) {
        let mut c = 0;
        // SAFETY: all accesses are below cols, in rows that exist.
        unsafe {
            while c + 4 * V::LANES <= cols {
                let mut totals = [V::from_f64(F::IDENTITY); 4];
                let mut shift = [V::zero(); 4];
                for (k, shift) in shift.iter_mut().enumerate() {
                    *shift = V::load(shifts.add(c + k * V::LANES));
                }
                for r in 0..rows as isize {
                    let row = x.offset(r * row_stride).add(c);
                    for k in 0..4 {
                        totals[k] = f.combine(totals[k], f.map(V::load(row.add(k * V::LANES)), shift[k]));
                    }
                }
                for (k, total) in totals.into_iter().enumerate() {
                    total.store(out.add(c + k * V::LANES));
                }
                c += 4 * V::LANES;
            }
            while c < cols {
                let n = V::LANES.min(cols - c);
                let shift = V::load_partial(shifts.add(c), n);
                let mut total = V::from_f64(F::IDENTITY);
                for r in 0..rows as isize {
                    total = f.combine(total, f.map(V::load_partial(x.offset(r * row_stride).add(c), n), shift));
                }
                total.store_partial(out.add(c), n);
                c += n;
            }
        }
    }
}

/// A [`FloatFold`] with its operands.
struct FloatKernel<'a, S: FloatElement, F, E> {
    fold: F,
    /// One per result, or none.
    shifts: Option<&'a [S::Compute]>,
    /// Takes a result and its number.
    finish: E,
    element: PhantomData<S>,
}

impl<S: FloatElement, F: FloatFold, E: Fn(S::Compute, usize) + Sync> FloatKernel<'_, S, F, E> {
    fn shift(&self, output: usize) -> S::Compute {
        self.shifts.map_or(S::Compute::of_f64(0.0), |shifts| shifts[output])
    }
}

impl<S: FloatElement, F: FloatFold, E: Fn(S::Compute, usize) + Sync> Kernel for FloatKernel<'_, S, F, E> {
    type In = S;
    type Acc = S::Compute;

    unsafe fn run(&self, x: *const S, n: usize, stride: isize, _: usize, output: usize) -> S::Compute {
        let (f, shift) = (self.fold, self.shift(output));
        // SAFETY: the caller's promise, piece by piece.
        unsafe {
            if S::IS_DIRECT && stride == 1 {
                return fold_run::<S::Compute, F>(f, x.cast(), n, shift);
            }
            let merge = |a: S::Compute, b: S::Compute| f.combine(a, b);
            let mut tree = Pairwise::new();
            let mut buffer = [const { MaybeUninit::<S::Compute>::uninit() }; BLOCK];
            let mut first = 0;
            while first < n {
                let count = BLOCK.min(n - first);
                for (i, slot) in buffer[..count].iter_mut().enumerate() {
                    slot.write((*x.offset((first + i) as isize * stride)).widen());
                }
                let part = fold_run::<S::Compute, F>(f, buffer.as_ptr().cast(), count, shift);
                if count == n {
                    return part;
                }
                tree.push(part, merge);
                first += count;
            }
            tree.finish(merge).unwrap_or(S::Compute::of_f64(F::IDENTITY))
        }
    }

    unsafe fn columns(
        &self,
        x: *const S,
        rows: usize,
        row_stride: isize,
        cols: usize,
        col_stride: isize,
        _: usize,
        output: usize,
        output_stride: usize,
        acc: &mut [MaybeUninit<S::Compute>; WIDTH],
    ) {
        let mut shifts = [S::Compute::of_f64(0.0); WIDTH];
        if self.shifts.is_some() {
            for (c, shift) in shifts[..cols].iter_mut().enumerate() {
                *shift = self.shift(output + c * output_stride);
            }
        }
        let (f, out) = (self.fold, acc.as_mut_ptr().cast::<S::Compute>());
        // SAFETY: the caller's promise; the buffers hold WIDTH numbers (per row).
        unsafe {
            if S::IS_DIRECT && col_stride == 1 {
                fold_columns::<S::Compute, F>(f, x.cast(), rows, row_stride, cols, shifts.as_ptr(), out);
                return;
            }
            // Gathered rows, a few at a time.
            const GATHERED: usize = 8;
            let mut buffer = [const { MaybeUninit::<S::Compute>::uninit() }; GATHERED * WIDTH];
            let mut part = [S::Compute::of_f64(0.0); WIDTH];
            let mut first = 0;
            while first < rows {
                let count = GATHERED.min(rows - first);
                for r in 0..count {
                    let row = x.offset((first + r) as isize * row_stride);
                    for c in 0..cols {
                        buffer[r * WIDTH + c].write((*row.offset(c as isize * col_stride)).widen());
                    }
                }
                let target = if first == 0 { out } else { part.as_mut_ptr() };
                let rows_at = buffer.as_ptr().cast();
                fold_columns::<S::Compute, F>(f, rows_at, count, WIDTH as isize, cols, shifts.as_ptr(), target);
                if first > 0 {
                    for (c, &part) in part[..cols].iter().enumerate() {
                        *out.add(c) = f.combine(*out.add(c), part);
                    }
                }
                first += count;
            }
        }
    }

    #[inline(always)]
    fn merge(&self, a: S::Compute, b: S::Compute) -> S::Compute {
        self.fold.combine(a, b)
    }

    #[inline(always)]
    unsafe fn finish(&self, acc: S::Compute, output: usize) {
        (self.finish)(acc, output);
    }
}

/// A raw pointer for the pool's threads, each of which stores its own results.
struct Output<O>(*mut O);
// SAFETY: results are stored once each, by whichever thread computed them.
unsafe impl<O: Send> Sync for Output<O> {}
impl<O> Output<O> {
    /// # Safety
    /// `index` is inside, and no other thread touches it.
    #[inline(always)]
    unsafe fn set(&self, index: usize, value: O) {
        // SAFETY: the caller's promise.
        unsafe { *self.0.add(index) = value };
    }
}

/// Folds and stores `finish(result)`.
///
/// # Safety
/// `x` is valid for reading at every element of the layout, `out` for writing every result.
pub(crate) unsafe fn fold_into<S: FloatElement, O: Copy + Send + Sync, F: FloatFold>(
    fold: F,
    layout: &Reduction,
    shifts: Option<&[S::Compute]>,
    x: *const S,
    out: *mut O,
    finish: impl Fn(S::Compute, usize) -> O + Sync,
) {
    let out = Output(out);
    if layout.terms() == 0 {
        for i in 0..layout.outputs() {
            // SAFETY: there is room for every result.
            unsafe { out.set(i, finish(S::Compute::of_f64(F::IDENTITY), i)) };
        }
        return;
    }
    let finish = |acc, i| {
        // SAFETY: there is room for every result.
        unsafe { out.set(i, finish(acc, i)) }
    };
    let kernel = FloatKernel::<S, _, _> { fold, shifts, finish, element: PhantomData };
    // SAFETY: the caller's promise.
    unsafe { reduce(&kernel, layout, x, false) };
}

/// Folds and stores `narrow(finish(result))`.
fn fold_view<S: FloatElement + Element, F: FloatFold>(
    fold: F,
    x: View<'_, S>,
    is_reduced: &[bool],
    out: &mut [S],
    finish: impl Fn(S::Compute) -> S::Compute + Sync,
) {
    let layout = Reduction::of(&x, is_reduced, out.len());
    // SAFETY: the view was checked; there is one place per result.
    unsafe { fold_into(fold, &layout, None, x.ptr(), out.as_mut_ptr(), |total, _| S::narrow(finish(total))) }
}

/// Sums over the dimensions marked in `is_reduced`; 0 where there is nothing.
///
/// # Panics
/// Like every function of this module, when `is_reduced` or `out` does not fit the view.
pub fn sum<S: FloatElement + Element>(x: View<'_, S>, is_reduced: &[bool], out: &mut [S]) {
    fold_view(Sum, x, is_reduced, out, |total| total);
}

/// Means; NaN where there is nothing.
pub fn mean<S: FloatElement + Element>(x: View<'_, S>, is_reduced: &[bool], out: &mut [S]) {
    let n = S::Compute::of_f64(terms(&x, is_reduced) as f64);
    fold_view(Sum, x, is_reduced, out, |total| total / n);
}

/// Products; 1 where there is nothing.
pub fn prod<S: FloatElement + Element>(x: View<'_, S>, is_reduced: &[bool], out: &mut [S]) {
    fold_view(Prod, x, is_reduced, out, |total| total);
}

/// The greatest elements, NaN if any is NaN; minus infinity where there is nothing (callers refuse that before).
pub fn max<S: FloatElement + Element>(x: View<'_, S>, is_reduced: &[bool], out: &mut [S]) {
    fold_view(Max, x, is_reduced, out, |total| total);
}

/// The smallest elements, NaN if any is NaN; infinity where there is nothing (callers refuse that before).
pub fn min<S: FloatElement + Element>(x: View<'_, S>, is_reduced: &[bool], out: &mut [S]) {
    fold_view(Min, x, is_reduced, out, |total| total);
}

/// Sums of squares.
pub fn sum_squares<S: FloatElement + Element>(x: View<'_, S>, is_reduced: &[bool], out: &mut [S]) {
    fold_view(SumSquares, x, is_reduced, out, |total| total);
}

/// How many elements make one result.
fn terms<S: Element>(x: &View<'_, S>, is_reduced: &[bool]) -> usize {
    x.shape().iter().zip(is_reduced).filter(|&(_, &reduced)| reduced).map(|(&size, _)| size).product()
}

/// Variances: squared distances from the mean, added and divided by `n - correction`. The mean is found first, in a pass
/// of its own, so that no difference of large numbers is taken. As in torch, NaN or infinity when the divisor is not
/// positive.
pub fn var<S: FloatElement + Element>(x: View<'_, S>, is_reduced: &[bool], correction: f64, out: &mut [S]) {
    let layout = Reduction::of(&x, is_reduced, out.len());
    let mut means = vec![S::Compute::of_f64(0.0); layout.outputs()];
    let n = S::Compute::of_f64(layout.terms() as f64);
    let divisor = S::Compute::of_f64((layout.terms() as f64 - correction).max(0.0));
    let (x, out) = (x.ptr(), out.as_mut_ptr());
    // SAFETY: the view was checked; there is one place per result, and a mean.
    unsafe {
        fold_into(Sum, &layout, None, x, means.as_mut_ptr(), |total, _| total / n);
        fold_into(SumSquares, &layout, Some(&means), x, out, |total, _| S::narrow(total / divisor));
    }
}

/// `log(sum(exp(x)))`, without overflow; minus infinity where there is nothing.
pub fn logsumexp<S: FloatElement + Element>(x: View<'_, S>, is_reduced: &[bool], out: &mut [S]) {
    let layout = Reduction::of(&x, is_reduced, out.len());
    let zero = S::Compute::of_f64(0.0);
    let mut greatest = vec![zero; layout.outputs()];
    // An infinite shift would give inf - inf; without one the exponentials are 0, infinite or NaN as they should be.
    let finite = |m: S::Compute, _| if math::is_finite(m) { m } else { zero };
    let (x, out) = (x.ptr(), out.as_mut_ptr());
    // SAFETY: the view was checked; there is one place per result, and a maximum.
    unsafe {
        fold_into(Max, &layout, None, x, greatest.as_mut_ptr(), finite);
        fold_into(SumExp, &layout, Some(&greatest), x, out, |total, i| S::narrow(math::log(total) + greatest[i]));
    }
}
