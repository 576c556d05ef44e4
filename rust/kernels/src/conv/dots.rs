//! The gradient of few weights: every weight is the dot product of lines of the output gradient with lines of the
//! input, so nothing is packed; a block of weights has its sums in registers while the images stream by.

// Iterator adaptors would put arrays of registers into memory.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use super::patches::Patches;
use crate::gemm::transpose;
use crate::simd::{Float, MAX_LANES, Vector, simd_fn};

/// Rows (output channels) and taps (elements of a patch) of a block: 20 sums leave registers for their factors.
const ROWS: usize = 4;
const TAPS: usize = 5;
/// Most weights of a group.
const MOST: usize = 2048;
/// Bytes of images that the blocks pass over in turn, which should stay in the second-level cache.
const IMAGES: usize = 256 << 10;

/// A sum over images of `gradient[row] * patch[tap]` for every pair of row and tap.
pub(super) struct LineDots<'a, T> {
    pub patches: Patches<'a, T>,
    /// The output gradient of the first image and row, and the distances between images and rows.
    pub gradient: *const T,
    pub image: usize,
    pub row: usize,
    pub rows: usize,
}

/// Whether this beats the matrix product for a group with `rows` x `taps` weights and lines of `per_line` positions.
pub(super) fn pays(rows: usize, taps: usize, per_line: usize, lanes: usize) -> bool {
    // Cycles per register of positions: those that partly filled registers and blocks cost, and those that packing does.
    let filled = per_line as f64 / per_line.next_multiple_of(lanes) as f64;
    let blocks = (rows * taps.next_multiple_of(TAPS)) as f64;
    rows * taps <= MOST && 1.15 * blocks / filled - (rows * taps) as f64 <= 10.0 * (rows + taps) as f64
}

impl<T: Float> LineDots<'_, T> {
    /// Sums over images `range` into `dw`, row by row.
    ///
    /// # Safety
    /// Images, output gradient and `dw` are valid for all that the sum reads and writes; nobody else uses `dw`.
    pub(super) unsafe fn sum(&self, range: Range<usize>, dw: *mut T, accumulate: bool) {
        let taps = self.patches.offsets.len();
        let positions = self.patches.lines * self.patches.per_line;
        let at_once = (IMAGES / ((taps + self.rows) * positions * size_of::<T>()).max(1)).max(1);
        if !accumulate {
            // SAFETY: all of it is ours.
            unsafe { std::slice::from_raw_parts_mut(dw, self.rows * taps).fill(T::default()) };
        }
        for first in range.clone().step_by(at_once) {
            let images = first..range.end.min(first + at_once);
            for row in (0..self.rows).step_by(ROWS) {
                for tap in (0..taps).step_by(TAPS) {
                    // SAFETY: rows and taps exist.
                    unsafe { block::<T>(self, images.clone(), row, tap, dw) };
                }
            }
        }
    }
}

simd_fn! {
    /// Adds the sums of one block, which starts at (`row`, `tap`), to `dw`.
    ///
    /// # Safety
    /// As for [`LineDots::sum`].
    unsafe fn block<T: Float, V>(dots: &LineDots<'_, T>, images: Range<usize>, row: usize, tap: usize, dw: *mut T) {
        // SAFETY: passed on unchanged.
        unsafe {
            match (dots.rows - row).min(ROWS) {
                1 => rows::<T, V, 1>(dots, images, row, tap, dw),
                2 => rows::<T, V, 2>(dots, images, row, tap, dw),
                3 => rows::<T, V, 3>(dots, images, row, tap, dw),
                _ => rows::<T, V, ROWS>(dots, images, row, tap, dw),
            }
        }
    }
}

/// # Safety
/// As for [`LineDots::sum`]; rows `row..row + R` exist, and tap `tap`.
#[inline(always)]
unsafe fn rows<T: Float, V: Vector<Elem = T>, const R: usize>(
    dots: &LineDots<'_, T>,
    images: Range<usize>,
    row: usize,
    tap: usize,
    dw: *mut T,
) {
    let &LineDots { ref patches, gradient, .. } = dots;
    let count = patches.offsets.len();
    // Taps behind the last one repeat it; their sums are not used.
    let mut offsets = [0; TAPS];
    for t in 0..TAPS {
        offsets[t] = patches.offsets[(tap + t).min(count - 1)];
    }
    let mut sums = [[V::zero(); TAPS]; R];
    for image in images {
        for line in 0..patches.lines {
            let from = patches
                .images
                .data
                .wrapping_add(patches.start + image * patches.images.image + line * patches.line_step);
            let to = gradient.wrapping_add(image * dots.image + row * dots.row + line * patches.per_line);
            let mut x = 0;
            // SAFETY: positions below `per_line` of lines that exist.
            unsafe {
                while x + V::LANES <= patches.per_line {
                    let mut gradients = [V::zero(); R];
                    for r in 0..R {
                        gradients[r] = V::load(to.add(r * dots.row + x));
                    }
                    for t in 0..TAPS {
                        let seen = V::load(from.add(offsets[t] + x));
                        for r in 0..R {
                            sums[r][t] = seen.mul_add(gradients[r], sums[r][t]);
                        }
                    }
                    x += V::LANES;
                }
                if x < patches.per_line {
                    let rest = patches.per_line - x;
                    let mut gradients = [V::zero(); R];
                    for r in 0..R {
                        gradients[r] = V::load_partial(to.add(r * dots.row + x), rest);
                    }
                    for t in 0..TAPS {
                        let seen = V::load_partial(from.add(offsets[t] + x), rest);
                        for r in 0..R {
                            sums[r][t] = seen.mul_add(gradients[r], sums[r][t]);
                        }
                    }
                }
            }
        }
    }
    // Sum over lanes: as columns of the transposed registers, all at once.
    let mut lanes = [T::default(); ROWS * TAPS * MAX_LANES];
    let mut turned = [T::default(); ROWS * TAPS * MAX_LANES];
    let mut totals = [T::default(); ROWS * TAPS];
    // SAFETY: the arrays hold all the registers; rows and taps below `count` exist.
    unsafe {
        for r in 0..R {
            for t in 0..TAPS {
                sums[r][t].store(lanes.as_mut_ptr().add((r * TAPS + t) * V::LANES));
            }
        }
        let register = |l: usize| lanes.as_ptr().wrapping_add(l * V::LANES);
        transpose(register, R * TAPS, V::LANES, R * TAPS, R * TAPS, turned.as_mut_ptr());
        for lane in 0..V::LANES {
            for i in 0..R * TAPS {
                totals[i] = totals[i] + turned[lane * R * TAPS + i];
            }
        }
        for r in 0..R {
            for t in 0..TAPS.min(count - tap) {
                let to = dw.add((row + r) * count + tap + t);
                *to = *to + totals[r * TAPS + t];
            }
        }
    }
}
