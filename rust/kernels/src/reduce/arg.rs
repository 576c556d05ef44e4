//! Where the greatest and smallest elements are.

use super::driver::{Kernel, WIDTH, reduce};
use super::layout::Reduction;
use crate::array::{Element, View};
use crate::simd::vectorized_fn;
use half::{bf16, f16};
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// An element type with an order in which NaN wins: it counts as greater than everything in a maximum, and as smaller
/// than everything in a minimum, as in torch.
pub trait Ordered: Element {
    /// Not after any element.
    const LOWEST: Self;
    /// Not before any element.
    const HIGHEST: Self;
    /// Whether `self` replaces `other` as a maximum: it is greater, or the first NaN.
    fn is_after(self, other: Self) -> bool;
    /// Whether `self` replaces `other` as a minimum: it is smaller, or the first NaN.
    fn is_before(self, other: Self) -> bool;
}

macro_rules! ordered_integer {
    ($($t:ident),*) => {$(
        impl Ordered for $t {
            const LOWEST: Self = $t::MIN;
            const HIGHEST: Self = $t::MAX;
            #[inline(always)]
            fn is_after(self, other: Self) -> bool {
                self > other
            }
            #[inline(always)]
            fn is_before(self, other: Self) -> bool {
                self < other
            }
        }
    )*};
}
ordered_integer!(i8, u8, i16, i32, i64);

impl Ordered for bool {
    const LOWEST: Self = false;
    const HIGHEST: Self = true;
    #[inline(always)]
    fn is_after(self, other: Self) -> bool {
        self & !other
    }
    #[inline(always)]
    fn is_before(self, other: Self) -> bool {
        !self & other
    }
}

macro_rules! ordered_float {
    ($($t:ident),*) => {$(
        impl Ordered for $t {
            const LOWEST: Self = $t::NEG_INFINITY;
            const HIGHEST: Self = $t::INFINITY;
            #[inline(always)]
            fn is_after(self, other: Self) -> bool {
                // A number that is not <= is greater or NaN; but a NaN stays where it is.
                #[allow(clippy::neg_cmp_op_on_partial_ord)]
                let wins = !(self <= other);
                wins & !other.is_nan()
            }
            #[inline(always)]
            fn is_before(self, other: Self) -> bool {
                #[allow(clippy::neg_cmp_op_on_partial_ord)]
                let wins = !(self >= other);
                wins & !other.is_nan()
            }
        }
    )*};
}
ordered_float!(f32, f64, f16, bf16);

/// The order of a search.
trait Direction: Copy + Send + Sync {
    fn replaces<A: Ordered>(new: A, best: A) -> bool;
}
#[derive(Clone, Copy)]
struct Greatest;
impl Direction for Greatest {
    #[inline(always)]
    fn replaces<A: Ordered>(new: A, best: A) -> bool {
        new.is_after(best)
    }
}
#[derive(Clone, Copy)]
struct Smallest;
impl Direction for Smallest {
    #[inline(always)]
    fn replaces<A: Ordered>(new: A, best: A) -> bool {
        new.is_before(best)
    }
}

struct ArgKernel<A, D> {
    values: *mut A,
    indices: *mut i64,
    direction: PhantomData<D>,
}
// SAFETY: results are stored once each, by whichever thread computed them.
unsafe impl<A: Send, D> Sync for ArgKernel<A, D> {}

/// Independent searches side by side, for the compiler to put into registers.
const CHAINS: usize = 32;

vectorized_fn! {
    /// The element that wins among `n >= 1` adjacent ones (not where it is, which the registers would have to carry).
    ///
    /// # Safety
    /// `x` is valid for reading `n` elements.
    unsafe fn best_of_run<A: Ordered, D: Direction>(x: *const A, n: usize) -> A {
        // SAFETY: all reads are below n.
        unsafe {
            let mut chains = [*x; CHAINS];
            let mut i = 0;
            while i + CHAINS <= n {
                for (k, chain) in chains.iter_mut().enumerate() {
                    let new = *x.add(i + k);
                    *chain = if D::replaces(new, *chain) { new } else { *chain };
                }
                i += CHAINS;
            }
            let rest = (i..n).map(|i| *x.add(i));
            chains.into_iter().chain(rest).fold(*x, |best, new| if D::replaces(new, best) { new } else { best })
        }
    }
}

vectorized_fn! {
    /// The first of `n` adjacent elements that `best`, the winner among them, does not beat.
    ///
    /// # Safety
    /// `x` is valid for reading `n` elements.
    unsafe fn place_in_run<A: Ordered, D: Direction>(x: *const A, n: usize, best: A) -> usize {
        // SAFETY: all reads are below n.
        unsafe {
            let mut i = 0;
            while i + CHAINS <= n {
                let mut is_here = false;
                for k in 0..CHAINS {
                    is_here |= !D::replaces(best, *x.add(i + k));
                }
                if is_here {
                    break;
                }
                i += CHAINS;
            }
            while i + 1 < n && D::replaces(best, *x.add(i)) {
                i += 1;
            }
            i
        }
    }
}

vectorized_fn! {
    /// Searches each of `WIDTH` or fewer columns. Positions count from the first row; they are few, so that they are as
    /// wide as most elements and share their masks.
    ///
    /// # Safety
    /// `x` is valid for reading at these sizes and strides.
    unsafe fn best_of_columns<A: Ordered, D: Direction>(
        x: *const A, rows: usize, row_stride: isize, cols: usize, col_stride: isize,
        best: &mut [A; WIDTH], place: &mut [u32; WIDTH]
    ) {
        // SAFETY: all reads are in rows and columns that exist.
        unsafe {
            for (c, best) in best[..cols].iter_mut().enumerate() {
                *best = *x.offset(c as isize * col_stride);
            }
            for r in 1..rows {
                let row = x.offset(r as isize * row_stride);
                if col_stride == 1 && cols == WIDTH {
                    for c in 0..WIDTH {
                        let new = *row.add(c);
                        let wins = D::replaces(new, best[c]);
                        best[c] = if wins { new } else { best[c] };
                        place[c] = if wins { r as u32 } else { place[c] };
                    }
                } else {
                    for c in 0..cols {
                        let new = *row.offset(c as isize * col_stride);
                        let wins = D::replaces(new, best[c]);
                        best[c] = if wins { new } else { best[c] };
                        place[c] = if wins { r as u32 } else { place[c] };
                    }
                }
            }
        }
    }
}

impl<A: Ordered, D: Direction> Kernel for ArgKernel<A, D> {
    type In = A;
    type Acc = (A, i64);

    unsafe fn run(&self, x: *const A, n: usize, stride: isize, first: usize, _: usize) -> (A, i64) {
        // SAFETY: the caller's promise: reads stay below n.
        unsafe {
            if stride == 1 {
                let best = best_of_run::<A, D>(x, n);
                return (best, (first + place_in_run::<A, D>(x, n, best)) as i64);
            }
            let (mut best, mut place) = (*x, 0);
            for i in 1..n {
                let new = *x.offset(i as isize * stride);
                if D::replaces(new, best) {
                    (best, place) = (new, i);
                }
            }
            (best, (first + place) as i64)
        }
    }

    unsafe fn columns(
        &self,
        x: *const A,
        rows: usize,
        row_stride: isize,
        cols: usize,
        col_stride: isize,
        first: usize,
        _: usize,
        _: usize,
        acc: &mut [MaybeUninit<(A, i64)>; WIDTH],
    ) {
        // SAFETY: the caller's promise; there is a first element.
        let (mut best, mut place) = (unsafe { [*x; WIDTH] }, [0u32; WIDTH]);
        // SAFETY: the caller's promise.
        unsafe { best_of_columns::<A, D>(x, rows, row_stride, cols, col_stride, &mut best, &mut place) };
        for c in 0..cols {
            acc[c].write((best[c], (first + place[c] as usize) as i64));
        }
    }

    fn merge(&self, a: (A, i64), b: (A, i64)) -> (A, i64) {
        // Ties go to the earlier one.
        if D::replaces(b.0, a.0) { b } else { a }
    }

    unsafe fn finish(&self, (value, index): (A, i64), output: usize) {
        // SAFETY: there is room for every result.
        unsafe {
            *self.indices.add(output) = index;
            if !self.values.is_null() {
                *self.values.add(output) = value;
            }
        }
    }
}

fn search<A: Ordered, D: Direction>(
    x: View<'_, A>,
    is_reduced: &[bool],
    values: Option<&mut [A]>,
    indices: &mut [i64],
) {
    let layout = Reduction::of(&x, is_reduced, indices.len());
    if let Some(values) = &values {
        assert_eq!(values.len(), indices.len(), "argmax, argmin: one place per value");
    }
    assert!(layout.terms() > 0 || indices.is_empty(), "argmax, argmin: nothing to search");
    let values = values.map_or(std::ptr::null_mut(), <[A]>::as_mut_ptr);
    let kernel = ArgKernel::<A, D> { values, indices: indices.as_mut_ptr(), direction: PhantomData };
    // SAFETY: the view was checked; there is one place per result.
    unsafe { reduce(&kernel, &layout, x.ptr(), true) }
}

/// The first positions of the greatest elements (of the first NaN, if there is one), counted in row-major order of the
/// reduced dimensions; and the elements themselves, if `values` is given.
///
/// # Panics
/// When a slice does not fit the view, or there is nothing to search.
pub fn argmax<A: Ordered>(x: View<'_, A>, is_reduced: &[bool], values: Option<&mut [A]>, indices: &mut [i64]) {
    search::<A, Greatest>(x, is_reduced, values, indices);
}

/// The first positions of the smallest elements (of the first NaN, if there is one): see [`argmax`].
///
/// # Panics
/// As [`argmax`].
pub fn argmin<A: Ordered>(x: View<'_, A>, is_reduced: &[bool], values: Option<&mut [A]>, indices: &mut [i64]) {
    search::<A, Smallest>(x, is_reduced, values, indices);
}
