//! What the row kernels (softmax, norms, losses, optimizers) have in common: loops over lanes with a partial end, sums
//! along a row, and a pointer that tasks share.

use crate::simd::Vector;

/// Elements per task.
pub(crate) const GRAIN: usize = 16 * 1024;

/// Terms added in each lane of a running total before it joins the next one: keeps the error of long sums small.
pub(crate) const SUM_DEPTH: usize = 64;

/// A pointer that tasks share; each uses its own part of the memory.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(*mut T);
// SAFETY: the kernels hand every task a part of its own.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn new(slice: &mut [T]) -> Self {
        Shared(slice.as_mut_ptr())
    }

    /// For memory that is only read.
    pub(crate) fn new_const(p: *const T) -> Self {
        Shared(p.cast_mut())
    }

    /// The address of element `i`.
    #[inline(always)]
    pub(crate) fn at(self, i: usize) -> *mut T {
        self.0.wrapping_add(i)
    }
}

/// Loads `n <= LANES` numbers. In a loop over full registers `n` is the constant `LANES`, and the choice disappears.
///
/// # Safety
/// `p` is valid for reading `n` numbers.
#[inline(always)]
pub(crate) unsafe fn load<V: Vector>(p: *const V::Elem, n: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe { if n == V::LANES { V::load(p) } else { V::load_partial(p, n) } }
}

/// Stores the first `n <= LANES` numbers.
///
/// # Safety
/// `p` is valid for writing `n` numbers.
#[inline(always)]
pub(crate) unsafe fn store<V: Vector>(x: V, p: *mut V::Elem, n: usize) {
    // SAFETY: the caller's promise.
    unsafe { if n == V::LANES { x.store(p) } else { x.store_partial(p, n) } }
}

/// `for_lanes!(V, n, |i, len| body)`: the body for every register of `n` numbers; `len` is less than `LANES` in the last
/// one only.
macro_rules! for_lanes {
    ($V:ident, $n:expr, |$i:ident, $len:ident| $body:block) => {{
        let n: usize = $n;
        let mut $i = 0usize;
        while $i + $V::LANES <= n {
            let $len = $V::LANES;
            $body
            $i += $V::LANES;
        }
        if $i < n {
            let $len = n - $i;
            $body
        }
    }};
}
pub(crate) use for_lanes;

/// `sum_lanes!(V, n, |i, len| term)`: the sum over all lanes of a register of terms for every register of `n` numbers.
macro_rules! sum_lanes {
    ($V:ident, $n:expr, |$i:ident, $len:ident| $term:expr) => {{
        let n: usize = $n;
        let mut total = $V::zero();
        let mut start = 0usize;
        while start < n {
            let end = n.min(start + $crate::rows::SUM_DEPTH * $V::LANES);
            let mut part = $V::zero();
            let mut $i = start;
            while $i + $V::LANES <= end {
                let $len = $V::LANES;
                part = part + $term;
                $i += $V::LANES;
            }
            if $i < end {
                let $len = end - $i;
                part = part + $crate::simd::Select::select($V::first_lanes($len), $term, $V::zero());
            }
            total = total + part;
            start = end;
        }
        total.reduce_add()
    }};
}
pub(crate) use sum_lanes;

/// The greatest of `n` numbers, NaN if any is NaN.
///
/// # Safety
/// `x` is valid for reading `n` numbers.
#[inline(always)]
pub(crate) unsafe fn maximum<V: Vector>(x: *const V::Elem, n: usize) -> V::Elem {
    use crate::simd::{Float, Select};
    let lowest = V::splat(V::Elem::NEG_INFINITY);
    let mut greatest = lowest;
    for_lanes!(V, n, |i, len| {
        // SAFETY: i + len <= n.
        let part: V = unsafe { load(x.add(i), len) };
        let part = if len == V::LANES { part } else { V::first_lanes(len).select(part, lowest) };
        greatest = greatest.maximum(part);
    });
    greatest.reduce_maximum()
}
