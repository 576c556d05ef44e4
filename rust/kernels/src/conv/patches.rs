//! Images as operands of a matrix product.

use std::ops::Range;

use crate::alloc;
use crate::gemm::{Operand, Target, copy_rows, transpose};
use crate::pool;
use crate::simd::{Float, MAX_LANES, Vector, simd_fn};

/// Bytes of images copied at one time: the copy should still be in the last-level cache when the product reads it.
const COPY_BYTES: usize = 16 << 20;
/// Most columns of a packed panel: two registers.
const MOST_LANES: usize = 2 * MAX_LANES;
/// Elements that may be read behind the last one of a copy, so that whole vectors can be loaded anywhere.
const SLACK: usize = 64;

/// An address of something that is only read.
#[derive(Clone, Copy)]
pub(super) struct Shared<T>(pub *const T);
// SAFETY: see above.
unsafe impl<T> Sync for Shared<T> {}
impl<T> Shared<T> {
    pub(super) fn get(&self) -> *const T {
        self.0
    }
}

/// Where an image copy lies in the coordinates of the original, along one axis: the copy holds one residue class modulo
/// the stride after the other, and position `i` of class `r` is the original's `i * stride + r - before`. So what is
/// `stride` apart in the original is adjacent in the copy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// Length of the original.
    pub length: usize,
    /// Zeros in front (negative: elements left out).
    pub before: isize,
    pub stride: usize,
    /// How many residue classes are needed, and the length of each.
    pub classes: usize,
    pub class: usize,
}

impl Axis {
    /// All of an axis from `before` zeros in front, `padded` elements in all, without stride.
    pub(super) fn plain(length: usize, before: isize, padded: usize) -> Self {
        Axis { length, before, stride: 1, classes: 1, class: padded }
    }

    /// What `count` windows of `kernel` elements see.
    pub(super) fn windows(
        length: usize,
        before: isize,
        count: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
    ) -> Self {
        let positions = (0..kernel).map(|j| j * dilation);
        let classes = positions.map(|p| p % stride).max().map_or(0, |last| last + 1);
        let padded = count.saturating_sub(1) * stride + kernel.saturating_sub(1) * dilation + 1;
        Axis { length, before, stride, classes, class: padded.div_ceil(stride) }
    }

    /// Length of the copy.
    pub(super) fn copied(&self) -> usize {
        self.class * self.classes
    }

    /// Where position `p` of the padded axis lies in the copy.
    pub(super) fn offset(&self, p: usize) -> usize {
        p % self.stride * self.class + p / self.stride
    }

    /// Whether the original itself will do: nothing in front, and nothing missing at the end.
    fn starts_alike(&self) -> bool {
        self.before == 0 && self.class <= self.length && self.stride == 1
    }
}

/// Some images in patch-friendly form: the caller's own memory if it is already, else a copy.
pub(super) struct Images<T> {
    pub data: *const T,
    /// One past the last element that may be read.
    pub end: *const T,
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
        if columns.starts_alike() && columns.class == columns.length && rows.starts_alike() {
            let end = first.wrapping_add(range.len() * channels * plane);
            let line = columns.length;
            return Images { data: first, end, image: channels * plane, channel: plane, line, owned: None };
        }
        let line = columns.copied();
        let channel = rows.copied() * line;
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
        let inside = columns.before >= 0 && columns.before.cast_unsigned() + columns.length <= line;
        // Lines of the source that the copy has, if it has no classes: first, end.
        let first = (-rows.before).max(0);
        let end = (rows.class as isize - rows.before).min(rows.length as isize);
        if rows.stride == 1 && columns.stride == 1 && inside && first < end {
            let before = ((first + rows.before) * line as isize + columns.before).cast_unsigned();
            let lines = (end - first).cast_unsigned();
            let source = from.wrapping_add(first.cast_unsigned() * columns.length);
            // Lines with the zeros behind them, up to the next line: in one go, but for the last.
            let after = before + (lines - 1) * line;
            // SAFETY: these lines exist in both; the zeros before and behind fill the rest of the plane.
            unsafe {
                std::slice::from_raw_parts_mut(to, before).fill(T::default());
                copy_rows(source, columns.length as isize, columns.length, lines - 1, line, to.add(before));
                let last = source.add((lines - 1) * columns.length);
                copy_rows(last, 0, columns.length, 1, columns.length, to.add(after));
                let rest = after + columns.length;
                std::slice::from_raw_parts_mut(to.add(rest), self.channel - rest).fill(T::default());
            }
            return;
        }
        for y in 0..rows.copied() {
            let source_y = (y % rows.class * rows.stride + y / rows.class) as isize - rows.before;
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
    let Axis { length, before, stride, classes, class } = columns;
    for r in 0..classes {
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
    pub offsets: &'a [usize],
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
pub(super) struct PatchLanes<'a, T> {
    patches: Patches<'a, T>,
    /// The greatest offset.
    reach: usize,
}

impl<'a, T> PatchLanes<'a, T> {
    pub(super) fn new(patches: Patches<'a, T>) -> Self {
        let reach = patches.offsets.iter().copied().max().unwrap_or(0);
        PatchLanes { patches, reach }
    }
}

impl<T: Float> Operand<T> for PatchLanes<'_, T> {
    unsafe fn pack(&self, lane: usize, lanes: usize, depth: usize, depths: usize, width: usize, out: *mut T) {
        // At most one run per lane; a panel is at most 32 lanes wide.
        let mut runs = [(std::ptr::null(), 0); MOST_LANES];
        let mut count = 0;
        for run in self.patches.runs(lane..lane + lanes) {
            runs[count] = run;
            count += 1;
        }
        let offsets = &self.patches.offsets[depth..depth + depths];
        let end = self.patches.images.end;
        // SAFETY: every element of these patches exists; `out` holds the panel.
        unsafe { copy_runs(&runs[..count], offsets, self.reach, lanes, width, end, out) };
    }
}

simd_fn! {
    /// Packs patches: writes one line of the panel per offset: the runs, moved by the offset, one after the other, then zeros.
    ///
    /// # Safety
    /// The runs moved by any of the offsets (at most `reach`) are readable, nothing from `end` on is; `out` is writable
    /// for `offsets.len() * width`; the runs have `lanes <= width` elements together.
    pub(super) unsafe fn copy_runs<T: Float, V>(
        runs: &[(*const T, usize)], offsets: &[usize], reach: usize, lanes: usize, width: usize, end: *const T,
        out: *mut T,
    ) {
        // Runs cut into pieces of at most a register: (where from, position in the line, length).
        let mut pieces = [(std::ptr::null(), 0, 0); 2 * MOST_LANES];
        let (mut count, mut position, mut whole) = (0, 0, true);
        for &(origin, length) in runs {
            for start in (0..length).step_by(V::LANES) {
                let piece: *const T = origin.wrapping_add(start);
                whole &= piece.wrapping_add(reach + V::LANES) <= end;
                pieces[count] = (piece, position, V::LANES.min(length - start));
                position += V::LANES.min(length - start);
                count += 1;
            }
        }
        let pieces = &pieces[..count];
        // Whole registers may be copied where that reads nothing behind the images: what they write too much is
        // overwritten by the next piece, or by the next line. Not so in the last line.
        let fast = if whole && lanes == width { offsets.len().saturating_sub(1) } else { 0 };
        // SAFETY: sources as promised, and by `whole`; targets stay inside the panel by the choice of `fast`.
        unsafe {
            match *pieces {
                [a] => copy_pieces::<T, V, 1>([a], &offsets[..fast], width, out),
                [a, b] => copy_pieces::<T, V, 2>([a, b], &offsets[..fast], width, out),
                [a, b, c] => copy_pieces::<T, V, 3>([a, b, c], &offsets[..fast], width, out),
                [a, b, c, d] => copy_pieces::<T, V, 4>([a, b, c, d], &offsets[..fast], width, out),
                _ => {
                    for (d, &offset) in offsets[..fast].iter().enumerate() {
                        for &(piece, position, _) in pieces {
                            V::load(piece.add(offset)).store(out.add(d * width + position));
                        }
                    }
                }
            }
            for (d, &offset) in offsets.iter().enumerate().skip(fast) {
                let line = out.add(d * width);
                for &(piece, position, length) in pieces {
                    V::load_partial(piece.add(offset), length).store_partial(line.add(position), length);
                }
                for l in lanes..width {
                    *line.add(l) = T::default();
                }
            }
        }
    }
}

/// The quick part of [`copy_runs`], with the pieces in registers.
///
/// # Safety
/// Whole registers are readable at every piece moved by every offset, and writable at every position of every line.
#[inline(always)]
unsafe fn copy_pieces<T: Float, V: Vector<Elem = T>, const N: usize>(
    pieces: [(*const T, usize, usize); N],
    offsets: &[usize],
    width: usize,
    out: *mut T,
) {
    for (d, &offset) in offsets.iter().enumerate() {
        for &(piece, position, _) in &pieces {
            // SAFETY: as the caller promises.
            unsafe { V::load(piece.add(offset)).store(out.add(d * width + position)) };
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

impl<T: Float> Planes<T> {
    /// The same planes, `by` elements further on.
    pub(super) fn shifted(&self, by: usize) -> Self {
        Planes { data: self.data.wrapping_add(by), ..*self }
    }

    /// Stores a tile whose columns are positions `span` of an image with lines of `line` positions, of which only the
    /// first `per_line` are positions of the grid.
    ///
    /// # Safety
    /// The tile is written for `rows` rows of `width` columns; the rows and positions exist and are the caller's.
    pub(super) unsafe fn store_span(
        &self,
        tile: *const T,
        width: usize,
        span: Range<usize>,
        line: usize,
        row: usize,
        rows: usize,
    ) {
        let (mut y, mut x) = (span.start / line, span.start % line);
        let mut position = span.start;
        while position < span.end {
            if x < self.per_line {
                let length = (self.per_line - x).min(span.end - position);
                let from = tile.wrapping_add(position - span.start);
                let to = self.data.wrapping_add(row * self.channel + y * self.line_step + x * self.step);
                // SAFETY: positions `x..x + length` of line `y` exist, in the tile too.
                unsafe { store_runs(from, width, to, self.channel, self.step, rows, length) };
            }
            position += line - x;
            (y, x) = (y + 1, 0);
        }
    }
}

simd_fn! {
    /// Copies `rows` runs of `length` numbers; in the target neighbours are `step` apart.
    ///
    /// # Safety
    /// The runs exist on both sides and do not overlap.
    unsafe fn store_runs<T: Float, V>(
        from: *const T, width: usize, to: *mut T, channel: usize, step: usize, rows: usize, length: usize,
    ) {
        // SAFETY: inside the runs.
        unsafe {
            for r in 0..rows {
                let (from, to) = (from.add(r * width), to.add(r * channel));
                if step == 1 {
                    let mut i = 0;
                    while i + V::LANES <= length {
                        V::load(from.add(i)).store(to.add(i));
                        i += V::LANES;
                    }
                    if i < length {
                        V::load_partial(from.add(i), length - i).store_partial(to.add(i), length - i);
                    }
                } else {
                    for i in 0..length {
                        *to.add(i * step) = *from.add(i);
                    }
                }
            }
        }
    }
}

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

    unsafe fn store(&self, tile: *const T, width: usize, row: usize, column: usize, rows: usize, columns: usize) {
        let mut done = 0;
        while done < columns {
            let length = (self.per_line - (column + done) % self.per_line).min(columns - done);
            let to = self.at(row, column + done);
            // SAFETY: these columns lie in one line of the grid, and in the tile.
            unsafe { store_runs(tile.wrapping_add(done), width, to, self.channel, self.step, rows, length) };
            done += length;
        }
    }
}
