//! Operands of a product and their packed form.
//!
//! A packed panel holds `width` lanes (rows of A or columns of B) for a range of depths, depth by depth, so that a tile
//! kernel reads it front to back. Anything that can write such panels can be multiplied: a strided matrix, or the
//! columns of an image that a convolution sees.

use crate::simd::{Float, simd_fn};

/// One side of a product: "lanes" are the rows of A or the columns of B, "depth" is the dimension summed over.
pub(crate) trait Operand<T>: Sync {
    /// The strided matrix behind it, if it is one.
    fn strided(&self) -> Option<Strided<T>> {
        None
    }

    /// Depths to pack of one panel before going on to the next: few where neighbouring panels share memory pages.
    fn depths_at_once(&self) -> usize {
        usize::MAX
    }

    /// Writes lanes `lane..lane + lanes` at depths `depth..depth + depths` to `out[d * width + l]`, and zero to the
    /// lanes from `lanes` up to `width`.
    ///
    /// # Safety
    /// The ranges lie inside the operand; `out` is valid for `depths * width` writes; `lanes <= width`.
    unsafe fn pack(&self, lane: usize, lanes: usize, depth: usize, depths: usize, width: usize, out: *mut T);
}

/// A matrix with arbitrary strides (in elements, zero and negative included).
#[derive(Clone, Copy)]
pub(crate) struct Strided<T> {
    pub data: *const T,
    /// From one lane to the next.
    pub lane: isize,
    /// From one depth to the next.
    pub depth: isize,
}

// SAFETY: the matrix is only read while a product runs, and whoever asked for the product promised it is readable.
unsafe impl<T> Sync for Strided<T> {}
// SAFETY: as above.
unsafe impl<T> Send for Strided<T> {}

impl<T> Strided<T> {
    /// Address of an element.
    #[inline(always)]
    pub(crate) fn at(&self, lane: usize, depth: usize) -> *const T {
        self.data.wrapping_offset(lane as isize * self.lane + depth as isize * self.depth)
    }
}

impl<T: Float> Operand<T> for Strided<T> {
    fn strided(&self) -> Option<Strided<T>> {
        Some(*self)
    }

    fn depths_at_once(&self) -> usize {
        if self.depth.unsigned_abs() > self.lane.unsigned_abs() { 64 } else { usize::MAX }
    }

    unsafe fn pack(&self, lane: usize, lanes: usize, depth: usize, depths: usize, width: usize, out: *mut T) {
        let from = self.at(lane, depth);
        // SAFETY: the ranges lie inside the matrix and `out` holds the panel, by the contract.
        unsafe {
            if self.lane == 1 {
                copy_rows(from, self.depth, lanes, depths, width, out);
            } else if self.depth == 1 {
                let row = |l: usize| from.wrapping_offset(l as isize * self.lane);
                super::transpose::transpose(row, lanes, depths, width, width, out);
            } else {
                gather(from, self.lane, self.depth, lanes, depths, width, out);
            }
        }
    }
}

simd_fn! {
    /// Copies lanes that are contiguous in memory.
    ///
    /// # Safety
    /// `from` is readable for `depths` rows of `lanes`, `out` writable for `depths * width`, `lanes <= width`.
    pub(crate) unsafe fn copy_rows<T: Float, V>(
        from: *const T, step: isize, lanes: usize, depths: usize, width: usize, out: *mut T,
    ) {
        // SAFETY: rows and panel are as long as the contract says; partial accesses cover the rest of a row.
        unsafe {
            for d in 0..depths {
                let row = from.offset(d as isize * step);
                let to = out.add(d * width);
                let mut l = 0;
                while l + V::LANES <= lanes {
                    V::load(row.add(l)).store(to.add(l));
                    l += V::LANES;
                }
                while l < width {
                    let some = V::load_partial(row.add(l.min(lanes)), lanes.saturating_sub(l).min(V::LANES));
                    some.store_partial(to.add(l), V::LANES.min(width - l));
                    l += V::LANES;
                }
            }
        }
    }
}

/// Packs any strides, element by element.
///
/// # Safety
/// `from` is readable for `lanes` x `depths`, `out` writable for `depths * width`, `lanes <= width`.
unsafe fn gather<T: Float>(
    from: *const T,
    lane: isize,
    step: isize,
    lanes: usize,
    depths: usize,
    width: usize,
    out: *mut T,
) {
    for d in 0..depths {
        for l in 0..width {
            // SAFETY: `l < lanes` and `d < depths` stay inside the matrix; the panel holds `depths * width`.
            unsafe {
                let value = if l < lanes { *from.offset(l as isize * lane + d as isize * step) } else { T::default() };
                *out.add(d * width + l) = value;
            }
        }
    }
}
