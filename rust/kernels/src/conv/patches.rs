//! Images as operands of a matrix product.

use std::ops::Range;

use crate::alloc;
use crate::gemm::{Operand, Target, transpose};
use crate::pool;
use crate::simd::{Float, simd_fn};

/// Bytes of images copied at one time: the copy should still be in the last-level cache when the product reads it.
const COPY_BYTES: usize = 16 << 20;
/// Elements that may be read behind the last one of a copy, so that whole vectors can be loaded anywhere.
const SLACK: usize = 64;

/// Where an image copy lies in the coordinates of the original, along one axis: position `i` of residue class `r` is
/// the original's `i * stride + r - before`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// Length of the original.
    pub length: usize,
    /// Zeros in front (negative: elements left out).
    pub before: isize,
    /// Length with the zeros on both sides.
    pub padded: usize,
    /// Number of residue classes that are kept apart.
    pub stride: usize,
}

impl Axis {
    /// Positions of a residue class.
    fn class(&self) -> usize {
        self.padded.div_ceil(self.stride)
    }

    /// Length of the copy.
    pub(super) fn copied(&self) -> usize {
        self.class() * self.stride
    }

    /// Where position `p` of the padded axis lies in the copy.
    pub(super) fn offset(&self, p: usize) -> usize {
        p % self.stride * self.class() + p / self.stride
    }

    fn is_identity(&self) -> bool {
        self.before == 0 && self.padded == self.length && self.stride == 1
    }
}

/// Some images in patch-friendly form: the caller's own memory if it is already, else a copy.
pub(super) struct Images<T> {
    data: *const T,
    /// One past the last element that may be read.
    end: *const T,
    /// Distances between images, channels and lines.
    pub image: usize,
    pub channel: usize,
    pub line: usize,
    owned: Option<(std::ptr::NonNull<u8>, usize)>,
}

// SAFETY: the images are only read once they are made.
unsafe impl<T> Sync for Images<T> {}

impl<T> Drop for Images<T> {
    fn drop(&mut self) {
        if let Some((data, bytes)) = self.owned {
            // SAFETY: allocated with this size in `new`, and nobody holds it longer than `self`.
            unsafe { alloc::free(data, bytes) };
        }
    }
}

/// How many of `batch` images of `elements` elements each are worth copying at one time.
pub(super) fn images_at_once<T>(batch: usize, elements: usize) -> usize {
    (COPY_BYTES / (elements * size_of::<T>()).max(1)).clamp(1, batch.max(1))
}

impl<T: Float> Images<T> {
    /// Prepares images `range` of a contiguous batch with `channels` channels.
    ///
    /// # Safety
    /// `source` is readable for all images up to the end of the range, and stays so while the result lives.
    ///
    /// # Panics
    /// When the system has no memory for the copy.
    pub(super) unsafe fn new(
        source: *const T,
        range: Range<usize>,
        channels: usize,
        rows: Axis,
        columns: Axis,
    ) -> Self {
        let plane = rows.length * columns.length;
        let first = source.wrapping_add(range.start * channels * plane);
        if columns.is_identity() && rows.before == 0 && rows.padded <= rows.length {
            let end = first.wrapping_add(range.len() * channels * plane);
            let line = columns.length;
            return Images { data: first, end, image: channels * plane, channel: plane, line, owned: None };
        }
        let line = columns.copied();
        let channel = rows.padded * line;
        let elements = range.len() * channels * channel + SLACK;
        let bytes = elements * size_of::<T>();
        let block = alloc::alloc(bytes).expect("convolution: memory for padded images");
        let copy = Copy { from: first, to: block.as_ptr().cast::<T>(), plane, channel };
        let planes = range.len() * channels;
        let grain = (1usize << 14).div_ceil(channel.max(1));
        pool::chunked(planes, grain, |planes| {
            for index in planes {
                // SAFETY: plane `index` of the source exists, and every plane has its own place in the copy.
                unsafe { copy.plane(index, rows, columns) };
            }
        });
        // SAFETY: the slack lies inside the allocation.
        unsafe { block.as_ptr().add(bytes - SLACK * size_of::<T>()).write_bytes(0, SLACK * size_of::<T>()) };
        let data = copy.to.cast_const();
        let owned = Some((block, bytes));
        Images { data, end: data.wrapping_add(elements), image: channels * channel, channel, line, owned }
    }
}

/// A copy in the making.
struct Copy<T> {
    from: *const T,
    to: *mut T,
    plane: usize,
    channel: usize,
}

// SAFETY: threads read the source and write disjoint planes.
unsafe impl<T> Sync for Copy<T> {}

impl<T: Float> Copy<T> {
    /// # Safety
    /// Plane `index` exists in both, and nobody else writes it.
    unsafe fn plane(&self, index: usize, rows: Axis, columns: Axis) {
        let from = self.from.wrapping_add(index * self.plane);
        let to = self.to.wrapping_add(index * self.channel);
        let line = columns.copied();
        for y in 0..rows.padded {
            let source_y = y as isize - rows.before;
            let to = to.wrapping_add(y * line);
            // SAFETY: line `y` of the copy, and line `source_y` of the source where it exists.
            unsafe {
                if source_y < 0 || source_y >= rows.length as isize {
                    std::slice::from_raw_parts_mut(to, line).fill(T::default());
                } else {
                    copy_line(from.wrapping_add(source_y as usize * columns.length), to, columns);
                }
            }
        }
    }
}

/// # Safety
/// `from` is readable for `columns.length`, `to` writable for `columns.copied()`.
unsafe fn copy_line<T: Float>(from: *const T, to: *mut T, columns: Axis) {
    let Axis { length, before, stride, .. } = columns;
    let class = columns.class();
    for r in 0..stride {
        // Positions `i` with 0 <= i * stride + r - before < length.
        let shift = before - r as isize;
        let first = shift.max(0).cast_unsigned().div_ceil(stride).min(class);
        let last = (length as isize + shift).max(0).cast_unsigned().div_ceil(stride).clamp(first, class);
        // SAFETY: class `r` of the line; sources are inside the line by the choice of `first` and `last`.
        unsafe {
            let to = std::slice::from_raw_parts_mut(to.add(r * class), class);
            to[..first].fill(T::default());
            to[last..].fill(T::default());
            if first == last {
                continue;
            }
            let start = from.offset((first * stride) as isize - shift);
            if stride == 1 {
                std::ptr::copy_nonoverlapping(start, to.as_mut_ptr().add(first), last - first);
            } else {
                for (i, value) in to[first..last].iter_mut().enumerate() {
                    *value = *start.add(i * stride);
                }
            }
        }
    }
}

/// The patches of some images: patch `(image, y, x)` has its origin at `image * image_step + y * line_step + x`, and
/// its elements at fixed offsets from there.
pub(super) struct Patches<'a, T> {
    pub images: &'a Images<T>,
    /// Added to every origin: where the channels of a group begin.
    pub start: usize,
    /// Distance between the origins of neighbouring lines of patches.
    pub line_step: usize,
    /// Lines of patches in an image, and patches in a line.
    pub lines: usize,
    pub per_line: usize,
    /// Offset of each element of a patch.
    pub offsets: Vec<usize>,
}

impl<T> Patches<'_, T> {
    /// The runs of patches `range` that are contiguous in memory: (origin of the first, length).
    fn runs(&self, range: Range<usize>) -> impl Iterator<Item = (*const T, usize)> + '_ {
        let mut line = range.start / self.per_line;
        let (mut image, mut x) = (line / self.lines, range.start % self.per_line);
        line %= self.lines;
        let mut left = range.len();
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let origin = self.start + image * self.images.image + line * self.line_step + x;
            let length = left.min(self.per_line - x);
            (left, x, line) = (left - length, 0, line + 1);
            if line == self.lines {
                (line, image) = (0, image + 1);
            }
            Some((self.images.data.wrapping_add(origin), length))
        })
    }
}

/// Patches as lanes, their elements as depth: what a convolution multiplies its kernels with.
pub(super) struct PatchLanes<'a, T>(pub Patches<'a, T>);

impl<T: Float> Operand<T> for PatchLanes<'_, T> {
    unsafe fn pack(&self, lane: usize, lanes: usize, depth: usize, depths: usize, width: usize, out: *mut T) {
        // At most one run per lane; a panel is at most 32 lanes wide.
        let mut runs = [(std::ptr::null(), 0); 32];
        let mut count = 0;
        for run in self.0.runs(lane..lane + lanes) {
            runs[count] = run;
            count += 1;
        }
        let offsets = &self.0.offsets[depth..depth + depths];
        // SAFETY: every element of these patches exists; `out` holds the panel.
        unsafe { copy_runs(&runs[..count], offsets, lanes, width, self.0.images.end, out) };
    }
}

simd_fn! {
    /// Writes one line of the panel per offset: the runs, moved by the offset, one after the other, then zeros.
    ///
    /// # Safety
    /// The runs moved by any of the offsets are readable, nothing from `end` on is; `out` is writable for
    /// `offsets.len() * width`; the runs have `lanes <= width` elements together.
    unsafe fn copy_runs<T: Float, V>(
        runs: &[(*const T, usize)], offsets: &[usize], lanes: usize, width: usize, end: *const T, out: *mut T,
    ) {
        // SAFETY: as argued at each access.
        unsafe {
            if let &[(origin, length)] = runs && length == width && width == 2 * V::LANES {
                for (d, &offset) in offsets.iter().enumerate() {
                    let (from, to) = (origin.add(offset), out.add(d * width));
                    V::load(from).store(to);
                    V::load(from.add(V::LANES)).store(to.add(V::LANES));
                }
                return;
            }
            // Whole vectors are loaded and stored: what they write too much is overwritten by the next run, or by the
            // next line. Not so in the last lines, whose rest must not leave the panel.
            let panel_end = out.add(offsets.len() * width);
            for (d, &offset) in offsets.iter().enumerate() {
                let mut to = out.add(d * width);
                let line_end = to.add(width);
                for &(origin, length) in runs {
                    let (mut from, mut left) = (origin.wrapping_add(offset), length);
                    while left > 0 {
                        let some = left.min(V::LANES);
                        if from.wrapping_add(V::LANES) <= end && to.wrapping_add(V::LANES) <= panel_end {
                            V::load(from).store(to);
                        } else {
                            V::load_partial(from, some).store_partial(to, some);
                        }
                        from = from.add(some);
                        to = to.add(some);
                        left -= some;
                    }
                }
                let mut rest = width - lanes;
                while rest > 0 {
                    let some = rest.min(V::LANES);
                    V::zero().store_partial(to, some);
                    to = to.add(some);
                    rest -= some;
                }
                debug_assert!(to == line_end);
            }
        }
    }
}

/// Elements of a patch as lanes, patches as depth: what a weight gradient sums over.
pub(super) struct PatchDepths<'a, T>(pub Patches<'a, T>);

impl<T: Float> Operand<T> for PatchDepths<'_, T> {
    unsafe fn pack(&self, lane: usize, lanes: usize, depth: usize, depths: usize, width: usize, out: *mut T) {
        let offsets = &self.0.offsets[lane..lane + lanes];
        let mut done = 0;
        for (origin, length) in self.0.runs(depth..depth + depths) {
            // SAFETY: every element of these patches exists; `out` holds the panel.
            unsafe {
                transpose(|l| origin.wrapping_add(offsets[l]), lanes, length, width, width, out.add(done * width));
            }
            done += length;
        }
    }
}

/// Planes of images as the target of a product: rows are channels, columns the positions `(image, y, x)` of a grid.
pub(super) struct Planes<T> {
    pub data: *mut T,
    /// Distances between images and between channels.
    pub image: usize,
    pub channel: usize,
    /// Lines of the grid, and positions in a line.
    pub lines: usize,
    pub per_line: usize,
    /// Distances between neighbouring lines and positions.
    pub line_step: usize,
    pub step: usize,
}

// SAFETY: tasks of a product write disjoint elements; whoever asked for it owns the planes meanwhile.
unsafe impl<T> Sync for Planes<T> {}

impl<T: Float> Target<T> for Planes<T> {
    fn place(&self, row: usize, column: usize, _: usize, columns: usize) -> Option<(*mut T, isize)> {
        let per_image = self.lines * self.per_line;
        let dense = self.step == 1 && self.line_step == self.per_line;
        let contiguous = dense && column % per_image + columns <= per_image;
        contiguous.then(|| (self.at(row, column), self.channel as isize))
    }

    fn at(&self, row: usize, column: usize) -> *mut T {
        let (line, x) = (column / self.per_line, column % self.per_line);
        let (image, y) = (line / self.lines, line % self.lines);
        self.data.wrapping_add(image * self.image + row * self.channel + y * self.line_step + x * self.step)
    }

    fn row_step(&self) -> isize {
        self.channel as isize
    }
}
