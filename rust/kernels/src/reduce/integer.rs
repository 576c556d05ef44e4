//! Reductions whose order does not matter: integers, and questions about any elements.

use super::arg::Ordered;
use super::driver::{Kernel, WIDTH, reduce};
use super::layout::Reduction;
use crate::array::{Element, View};
use crate::simd::vectorized_fn;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// A number that sums and products are computed of in `i64`, wrapping around as in torch.
pub trait Integer: Element {
    /// The number, exactly.
    fn to_i64(self) -> i64;
}

macro_rules! integer {
    ($($t:ident),*) => {$(
        impl Integer for $t {
            #[inline(always)]
            fn to_i64(self) -> i64 {
                self.into()
            }
        }
    )*};
}
integer!(i8, u8, i16, i32, i64, bool);

/// A closure that folds an element into a partial result.
trait Step<A, R>: Fn(R, A) -> R + Copy + Send + Sync {}
impl<A, R, F: Fn(R, A) -> R + Copy + Send + Sync> Step<A, R> for F {}

vectorized_fn! {
    /// # Safety
    /// `x` is valid for reading `n` elements at `stride`.
    unsafe fn step_run<A: Copy, R: Copy, F: Step<A, R>>(f: F, x: *const A, n: usize, stride: isize, start: R) -> R {
        let mut total = start;
        // SAFETY: the caller's promise.
        unsafe {
            if stride == 1 {
                for i in 0..n {
                    total = f(total, *x.add(i));
                }
            } else {
                for i in 0..n as isize {
                    total = f(total, *x.offset(i * stride));
                }
            }
        }
        total
    }
}

vectorized_fn! {
    /// # Safety
    /// `x` is valid for reading `cols` elements at `stride`; `totals` holds `cols` initialised partial results.
    unsafe fn step_row<A: Copy, R: Copy, F: Step<A, R>>(f: F, x: *const A, cols: usize, stride: isize, totals: *mut R) {
        // SAFETY: the caller's promise.
        unsafe {
            if stride == 1 {
                for c in 0..cols {
                    *totals.add(c) = f(*totals.add(c), *x.add(c));
                }
            } else {
                for c in 0..cols {
                    *totals.add(c) = f(*totals.add(c), *x.offset(c as isize * stride));
                }
            }
        }
    }
}

struct StepKernel<A, R, O, F, M, E> {
    start: R,
    step: F,
    merge: M,
    finish: E,
    out: *mut O,
    element: PhantomData<fn(A)>,
}
// SAFETY: results are stored once each, by whichever thread computed them.
unsafe impl<A, R: Sync, O: Send, F: Sync, M: Sync, E: Sync> Sync for StepKernel<A, R, O, F, M, E> {}

impl<A, R, O, F, M, E> Kernel for StepKernel<A, R, O, F, M, E>
where
    A: Copy + Send + Sync,
    R: Copy + Send + Sync,
    O: Copy + Send + Sync,
    F: Step<A, R>,
    M: Fn(R, R) -> R + Sync,
    E: Fn(R) -> O + Sync,
{
    type In = A;
    type Acc = R;

    unsafe fn run(&self, x: *const A, n: usize, stride: isize, _: usize, _: usize) -> R {
        // SAFETY: the caller's promise.
        unsafe { step_run(self.step, x, n, stride, self.start) }
    }

    unsafe fn columns(
        &self,
        x: *const A,
        rows: usize,
        row_stride: isize,
        cols: usize,
        col_stride: isize,
        _: usize,
        _: usize,
        _: usize,
        acc: &mut [MaybeUninit<R>; WIDTH],
    ) {
        acc.fill(MaybeUninit::new(self.start));
        for r in 0..rows as isize {
            // SAFETY: the caller's promise; the partial results were set just now.
            unsafe { step_row(self.step, x.offset(r * row_stride), cols, col_stride, acc.as_mut_ptr().cast::<R>()) };
        }
    }

    fn merge(&self, a: R, b: R) -> R {
        (self.merge)(a, b)
    }

    unsafe fn finish(&self, acc: R, output: usize) {
        // SAFETY: there is room for every result.
        unsafe { *self.out.add(output) = (self.finish)(acc) };
    }
}

fn steps<A: Element, R: Copy + Send + Sync, O: Element>(
    x: View<'_, A>,
    is_reduced: &[bool],
    out: &mut [O],
    start: R,
    step: impl Fn(R, A) -> R + Copy + Send + Sync,
    merge: impl Fn(R, R) -> R + Sync,
    finish: impl Fn(R) -> O + Sync,
) {
    let layout = Reduction::of(&x, is_reduced, out.len());
    if layout.terms() == 0 {
        out.fill(finish(start));
        return;
    }
    let kernel = StepKernel { start, step, merge, finish, out: out.as_mut_ptr(), element: PhantomData };
    // SAFETY: the view was checked; there is one place per result.
    unsafe { reduce(&kernel, &layout, x.ptr(), false) };
}

/// Sums of integers or `bool`; 0 where there is nothing.
pub fn sum_integer<A: Integer>(x: View<'_, A>, is_reduced: &[bool], out: &mut [i64]) {
    let step = |total: i64, x: A| total.wrapping_add(x.to_i64());
    steps(x, is_reduced, out, 0, step, i64::wrapping_add, |total| total);
}

/// Products of integers or `bool`; 1 where there is nothing.
pub fn prod_integer<A: Integer>(x: View<'_, A>, is_reduced: &[bool], out: &mut [i64]) {
    let step = |total: i64, x: A| total.wrapping_mul(x.to_i64());
    steps(x, is_reduced, out, 1, step, i64::wrapping_mul, |total| total);
}

/// How many elements answer `question` with yes.
pub fn count<A: Element>(
    x: View<'_, A>,
    is_reduced: &[bool],
    out: &mut [i64],
    question: impl Fn(A) -> bool + Copy + Send + Sync,
) {
    let step = |total: i64, x: A| total + i64::from(question(x));
    steps(x, is_reduced, out, 0, step, |a, b| a + b, |total| total);
}

/// Whether any element answers `is_true` with yes; false where there is nothing.
pub fn any<A: Element>(
    x: View<'_, A>,
    is_reduced: &[bool],
    out: &mut [bool],
    is_true: impl Fn(A) -> bool + Copy + Send + Sync,
) {
    steps(x, is_reduced, out, false, |found, x| found | is_true(x), |a, b| a | b, |found| found);
}

/// Whether every element answers `is_true` with yes; true where there is nothing.
pub fn all<A: Element>(
    x: View<'_, A>,
    is_reduced: &[bool],
    out: &mut [bool],
    is_true: impl Fn(A) -> bool + Copy + Send + Sync,
) {
    steps(x, is_reduced, out, true, |found, x| found & is_true(x), |a, b| a & b, |found| found);
}

/// The greatest elements of any ordered type; its lowest value where there is nothing (callers refuse that before). For
/// floating-point numbers [`super::max`] is faster.
pub fn max_ordered<A: Ordered + Element>(x: View<'_, A>, is_reduced: &[bool], out: &mut [A]) {
    let greater = |a: A, b: A| if b.is_after(a) { b } else { a };
    steps(x, is_reduced, out, A::LOWEST, greater, greater, |total| total);
}

/// The smallest elements of any ordered type; its highest value where there is nothing (callers refuse that before). For
/// floating-point numbers [`super::min`] is faster.
pub fn min_ordered<A: Ordered + Element>(x: View<'_, A>, is_reduced: &[bool], out: &mut [A]) {
    let smaller = |a: A, b: A| if b.is_before(a) { b } else { a };
    steps(x, is_reduced, out, A::HIGHEST, smaller, smaller, |total| total);
}
