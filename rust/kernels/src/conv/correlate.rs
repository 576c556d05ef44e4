//! Sliding kernels over images: what a convolution and the gradient of its input have in common.

use super::patches::{Images, PatchLanes, Patches, Planes, copy_runs};
use crate::gemm::{Bias, Epilogue, Operand, Product, Scratch, kernels, product_by_columns};
use crate::pool;
use crate::simd::Float;

/// Most kernel elements (over all channels) for the direct way: the weights of a tile should stay in the first-level
/// cache.
const DIRECT_DEPTH: usize = 1 << 10;
/// Multiply-adds worth a task.
const TASK_WORK: usize = 1 << 17;

/// `planes[image, group, row, position] = bias[group, row] + sum_k weights[group][row, k] * patch[k]`, where the patch
/// of a position has element `k` at `offsets[k]` from its origin.
pub(super) struct Correlation<'a, T> {
    /// Rows (results per position) of a group.
    pub rows: usize,
    pub groups: usize,
    /// Number of images.
    pub count: usize,
    pub images: &'a Images<T>,
    /// Distance between the origins of neighbouring groups, and of neighbouring lines of patches.
    pub group_step: usize,
    pub line_step: usize,
    pub offsets: &'a [usize],
    /// The target, of the first group; its grid is that of the patches.
    pub planes: Planes<T>,
    /// Distance between the targets of neighbouring groups.
    pub group_planes: usize,
    /// An element per row of all groups, or null.
    pub bias: *const T,
}

// SAFETY: the bias is only read; the rest is shareable.
unsafe impl<T> Sync for Correlation<'_, T> {}

impl<T: Float> Correlation<'_, T> {
    /// Computes it, with the given weights for each group.
    ///
    /// # Safety
    /// All that the fields describe exists, the targets overlap nothing that is read, and nobody else uses them.
    pub(super) unsafe fn run<A: Operand<T>>(self, weights: impl Fn(usize) -> A + Sync) {
        if self.rows == 0 || self.count == 0 {
            return;
        }
        // SAFETY: as the caller promises.
        unsafe {
            if self.direct_pays() {
                self.run_direct(weights);
            } else {
                self.run_packed(weights);
            }
        }
    }

    /// One matrix product per group, its right side packed from the patches.
    ///
    /// # Safety
    /// As for `run`.
    unsafe fn run_packed<A: Operand<T>>(&self, weights: impl Fn(usize) -> A) {
        for group in 0..self.groups {
            let patches = PatchLanes::new(Patches {
                images: self.images,
                start: group * self.group_step,
                line_step: self.line_step,
                lines: self.planes.lines,
                per_line: self.planes.per_line,
                offsets: self.offsets,
            });
            let bias = match self.bias.is_null() {
                true => Bias::None,
                false => Bias::Rows(self.bias.wrapping_add(group * self.rows)),
            };
            // SAFETY: operands and target are this group's parts of what the caller promises.
            unsafe {
                product_by_columns(&Product {
                    m: self.rows,
                    n: self.count * self.planes.lines * self.planes.per_line,
                    k: self.offsets.len(),
                    a: &weights(group),
                    b: &patches,
                    c: &self.planes.shifted(group * self.group_planes),
                    accumulate: false,
                    epilogue: Epilogue { bias, relu: false },
                    parallel: true,
                });
            }
        }
    }

    /// Positions of an image from the first to the last, where the ends of the lines of the image count too.
    fn span(&self) -> usize {
        (self.planes.lines - 1) * self.line_step + self.planes.per_line
    }

    /// Whether to compute positions where they lie in the image, those between its lines included, instead of packing
    /// the patches: with few rows, copying them takes longer than using them.
    fn direct_pays(&self) -> bool {
        let kernels = kernels::<T>();
        let depth = self.offsets.len();
        if self.line_step != self.images.line || depth == 0 || depth > DIRECT_DEPTH {
            return false;
        }
        // Cycles per two vectors of results, roughly: two per depth and row; those of copying the pieces of lines that
        // make a panel; those of storing a tile, which the direct way does in pieces. Packing also starts anew for
        // every group.
        let (width, rows) = (2 * kernels.lanes, self.rows);
        let valid = self.planes.lines * self.planes.per_line;
        let lanes = self.span().next_multiple_of(kernels.lanes);
        let pieces = 1 + width / self.planes.per_line + kernels.lanes.min(self.planes.per_line) / kernels.lanes;
        let packed = depth * (2 * rows + 4 + 2 * pieces) + 4 * rows + if self.groups > 1 { 60 } else { 0 };
        let direct = depth * 2 * rows.max(2) * lanes / valid + rows * (pieces + 1) * 8 + 60;
        direct < packed
    }

    /// One pass over the positions of every image, without any copy of patches.
    ///
    /// # Safety
    /// As for `run`, and `direct_pays`.
    unsafe fn run_direct<A: Operand<T>>(&self, weights: impl Fn(usize) -> A + Sync) {
        let kernels = kernels::<T>();
        let (rows, depth) = (self.rows, self.offsets.len());
        let panels = rows.div_ceil(kernels.rows);
        let rows_of = |panel: usize| (panel * rows / panels, (panel + 1) * rows / panels - panel * rows / panels);
        let packed = Scratch::<T>::new(self.groups * rows * depth);
        for group in 0..self.groups {
            let weights = weights(group);
            for panel in 0..panels {
                let (row, count) = rows_of(panel);
                // SAFETY: rows and depth of the weights; every panel has its own place.
                unsafe { weights.pack(row, count, 0, depth, count, packed.at((group * rows + row) * depth)) };
            }
        }
        let reach = self.offsets.iter().copied().max().unwrap_or(0);
        let (span, most) = (self.span(), 2 * kernels.lanes);
        let jobs = self.count * self.groups;
        let grain = TASK_WORK.div_ceil(rows * depth * span);
        pool::chunked(jobs, grain, |range| {
            let edge = Scratch::<T>::new(depth * most);
            let tile = Scratch::<T>::new(kernels.rows * most);
            for job in range {
                let (image, group) = (job / self.groups, job % self.groups);
                let origin = self.images.data.wrapping_add(image * self.images.image + group * self.group_step);
                let target = self.planes.shifted(image * self.planes.image + group * self.group_planes);
                for start in (0..span).step_by(most) {
                    let vectors = if span - start > kernels.lanes { 2 } else { 1 };
                    let width = vectors * kernels.lanes;
                    let from = origin.wrapping_add(start);
                    let in_place = from.wrapping_add(reach + width) <= self.images.end;
                    if !in_place {
                        // Whole vectors would leave the images: these few positions are packed after all.
                        let runs = [(from, width.min(span - start))];
                        // SAFETY: positions inside the span exist with all their offsets; the memory is ours.
                        unsafe {
                            let end = self.images.end;
                            copy_runs(&runs, self.offsets, reach, runs[0].1, width, end, edge.at(0));
                        }
                    }
                    for panel in 0..panels {
                        let (row, count) = rows_of(panel);
                        let a = packed.at((group * rows + row) * depth).cast_const();
                        let bias = match self.bias.is_null() {
                            true => std::ptr::null(),
                            false => self.bias.wrapping_add(group * rows + row),
                        };
                        // SAFETY: the panel is packed; the positions are readable (see above); the tile is ours.
                        unsafe {
                            if in_place {
                                let multiply = kernels.offset_tile(count, vectors);
                                multiply(self.offsets, a, from, tile.at(0), bias);
                            } else {
                                let multiply = kernels.tile(count, vectors);
                                let (step, line) = (count as isize, width as isize);
                                let tail = crate::gemm::Tail { row_bias: bias, ..crate::gemm::Tail::PLAIN };
                                let b = edge.at(0).cast_const();
                                multiply(depth, a, 1, step, b, line, tile.at(0), line, width, &tail);
                            }
                            let end = span.min(start + width);
                            target.store_span(tile.at(0), width, start..end, self.line_step, row, count);
                        }
                    }
                }
            }
        });
    }
}
