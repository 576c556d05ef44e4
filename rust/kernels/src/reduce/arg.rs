//! Where the greatest and smallest elements are.

use super::driver::{Kernel, WIDTH, reduce};
use super::layout::Reduction;
use crate::array::{Element, View};
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

/// Elements searched at a time: first only for the best value, which vectorises, then for its place.
const BLOCK: usize = 256;

impl<A: Ordered, D: Direction> Kernel for ArgKernel<A, D> {
    type In = A;
    type Acc = (A, i64);

    unsafe fn run(&self, x: *const A, n: usize, stride: isize, first: usize, _: usize) -> (A, i64) {
        // SAFETY: the caller's promise: reads stay below n.
        unsafe {
            let at = |i: usize| *x.offset(i as isize * stride);
            let (mut best, mut place) = (at(0), 0);
            let mut start = 0;
            while start < n {
                let end = n.min(start + BLOCK);
                // Independent chains, so that the comparison of one element does not wait for the last.
                let mut chains = [best; 8];
                let mut i = start;
                while i + 8 <= end {
                    for (k, chain) in chains.iter_mut().enumerate() {
                        let new = at(i + k);
                        *chain = if D::replaces(new, *chain) { new } else { *chain };
                    }
                    i += 8;
                }
                let has_better =
                    chains.iter().any(|&chain| D::replaces(chain, best)) || (i..end).any(|i| D::replaces(at(i), best));
                if has_better {
                    for i in start..end {
                        if D::replaces(at(i), best) {
                            (best, place) = (at(i), i);
                        }
                    }
                }
                start = end;
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
        // SAFETY: the caller's promise: reads stay inside rows and cols.
        unsafe {
            let mut best = [*x; WIDTH];
            let mut place = [first as i64; WIDTH];
            for (c, best) in best[..cols].iter_mut().enumerate() {
                *best = *x.offset(c as isize * col_stride);
            }
            for r in 1..rows {
                let row = x.offset(r as isize * row_stride);
                for c in 0..cols {
                    let new = *row.offset(c as isize * col_stride);
                    let wins = D::replaces(new, best[c]);
                    best[c] = if wins { new } else { best[c] };
                    place[c] = if wins { (first + r) as i64 } else { place[c] };
                }
            }
            for c in 0..cols {
                acc[c].write((best[c], place[c]));
            }
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
