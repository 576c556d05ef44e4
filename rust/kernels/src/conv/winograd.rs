//! Winograd's minimal filtering F(2x2, 3x3) for 3x3 kernels without stride: 2.25 times fewer multiplications.
//!
//! An input tile of 4x4 elements gives 2x2 results. Transformed (by additions only), tile and kernel are multiplied
//! element by element, so that for each of the 16 elements the sum over channels is a matrix product of its own. In f32
//! the result is as accurate as the direct sum to within a factor of about two. A value that is not finite, however,
//! spreads over the 2x2 results of its tiles.
//!
//! Everything runs over vectors of neighbouring tiles, so images are first copied with their even and odd columns kept
//! apart.

// Iterator adaptors would put arrays of registers into memory.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use super::patches::{Axis, Images, Planes, Shared, images_at_once};
use crate::gemm::{MAX_ROWS, Scratch, Tail, kernels};
use crate::pool;
use crate::simd::{Float, MAX_LANES, Vector, simd_fn};

/// Elements of a transformed tile.
const POINTS: usize = 16;
/// Bytes of transformed input a task holds, which must stay in the second-level cache.
const BLOCK_BYTES: usize = 512 << 10;
/// A 3x3 convolution without stride, or the gradient of its input.
pub(super) struct Winograd<T> {
    /// Number of images.
    pub batch: usize,
    /// Channels summed over, and of the result.
    pub channels: usize,
    pub rows: usize,
    /// Height and width of the source, zeros in front of it (negative: elements left out), and size of the result.
    pub source: (usize, usize),
    pub before: (isize, isize),
    pub result: (usize, usize),
    /// Weight (row, channel, tap) is at `row * weight_row + channel * weight_channel + tap`, where the taps count
    /// backwards from 8 if `rotated`.
    pub weight_row: usize,
    pub weight_channel: usize,
    pub rotated: bool,
    /// An element per row, or null.
    pub bias: Shared<T>,
}

/// Tiles that lie side by side in an image, and where they are in a panel.
#[derive(Clone, Copy, Default)]
struct Piece {
    image: usize,
    y: usize,
    x: usize,
    length: usize,
    lane: usize,
}

impl<T: Float> Winograd<T> {
    /// Whether it is worth the transformations.
    pub(super) fn pays(&self) -> bool {
        let (down, across) = self.tiles();
        let (channels, rows) = (self.channels, self.rows);
        // Cycles for a register of tiles, roughly: the products, both transformations (which work on the tiles of one
        // line at a time), and what the products would take directly.
        let pieces = kernels::<T>().lanes.div_ceil(across);
        let transformed = 16 * channels * rows + 80 * channels * pieces + (60 + 80 * pieces) * rows;
        // In f64, the precision for checking, results should be those of the plain sum.
        !T::IS_F64 && channels >= 6 && self.batch * down * across >= 64 && transformed < 40 * channels * rows
    }

    /// Tiles down and across an image.
    fn tiles(&self) -> (usize, usize) {
        (self.result.0.div_ceil(2), self.result.1.div_ceil(2))
    }

    /// Computes all images, from contiguous `source` into contiguous `result`.
    ///
    /// # Safety
    /// Source, weights and bias are readable, the result is writable, overlaps none of them and is used by nobody else.
    pub(super) unsafe fn run(&self, source: *const T, weights: *const T, result: *mut T) {
        let (down, across) = self.tiles();
        let rows = Axis::plain(self.source.0, self.before.0, 2 * down + 2);
        // Windows of four, two apart: even and odd columns become the two classes.
        let columns = Axis::windows(self.source.1, self.before.1, across, 4, 2, 1);
        // SAFETY: the weights are readable.
        let transformed = unsafe { self.transform_weights(Shared(weights)) };
        let plane = self.result.0 * self.result.1;
        let at_once = images_at_once::<T>(self.batch, self.channels * rows.copied() * columns.copied());
        for first in (0..self.batch).step_by(at_once) {
            let count = at_once.min(self.batch - first);
            // SAFETY: the source has these images.
            let images = unsafe { Images::new(source, first..first + count, self.channels, rows, columns) };
            let target = Planes {
                data: result.wrapping_add(first * self.rows * plane),
                image: self.rows * plane,
                channel: plane,
                lines: self.result.0,
                per_line: self.result.1,
                line_step: self.result.1,
                step: 1,
            };
            // SAFETY: the target belongs to the caller, and has these images.
            unsafe { self.multiply(&images, &transformed, &target, count) };
        }
    }

    /// First row and number of rows of a panel of weights.
    fn rows_of(&self, panel: usize, panels: usize) -> (usize, usize) {
        let start = panel * self.rows / panels;
        (start, (panel + 1) * self.rows / panels - start)
    }

    /// The transformed weights: panel by panel, point by point, channel by channel, the rows of the panel.
    ///
    /// # Safety
    /// The weights are readable.
    unsafe fn transform_weights(&self, weights: Shared<T>) -> Scratch<T> {
        let panels = self.rows.div_ceil(kernels::<T>().rows);
        let transformed = Scratch::<T>::new(self.rows * self.channels * POINTS);
        let grain = (1 << 12) / (self.channels * kernels::<T>().rows) + 1;
        pool::chunked(panels, grain, |range| {
            for panel in range {
                let (row, count) = self.rows_of(panel, panels);
                let to = transformed.at(row * self.channels * POINTS);
                for channel in 0..self.channels {
                    let mut taps = [[T::default(); MAX_ROWS]; 9];
                    for i in 0..count {
                        let from =
                            weights.get().wrapping_add((row + i) * self.weight_row + channel * self.weight_channel);
                        for (t, tap) in taps.iter_mut().enumerate() {
                            // SAFETY: the weight exists.
                            tap[i] = unsafe { *from.add(if self.rotated { 8 - t } else { t }) };
                        }
                    }
                    let points = weight_points(&taps);
                    for (point, values) in points.iter().enumerate() {
                        // SAFETY: this panel's part of the memory.
                        unsafe {
                            let to = to.add((point * self.channels + channel) * count);
                            std::ptr::copy_nonoverlapping(values.as_ptr(), to, count);
                        }
                    }
                }
            }
        });
        transformed
    }

    /// All tiles of some prepared images.
    ///
    /// # Safety
    /// The target has `count` images, belongs to the caller and overlaps nothing.
    unsafe fn multiply(&self, images: &Images<T>, weights: &Scratch<T>, target: &Planes<T>, count: usize) {
        let kernels = kernels::<T>();
        let (lanes, width) = (kernels.lanes, 2 * kernels.lanes);
        let (down, across) = self.tiles();
        let tiles = count * down * across;
        let panel_elements = POINTS * self.channels * width;
        let panels_at_once = (BLOCK_BYTES / (panel_elements * size_of::<T>())).clamp(1, 4);
        let row_panels = self.rows.div_ceil(kernels.rows);
        let block = panels_at_once * width;
        pool::parallel_for(tiles.div_ceil(block), &|task| {
            let tiles = task * block..tiles.min((task + 1) * block);
            let panels = tiles.len().div_ceil(width);
            let input = Scratch::<T>::new(panels * panel_elements);
            let products = Scratch::<T>::new(POINTS * kernels.rows * width);
            let panel_tiles =
                |panel: usize| tiles.start + panel * width..tiles.end.min(tiles.start + (panel + 1) * width);
            let mut pieces = [[Piece::default(); 2 * MAX_LANES]; 4];
            let mut counts = [[0; 2]; 4];
            for panel in 0..panels {
                let to = input.at(panel * panel_elements);
                if panel_tiles(panel).len() < width {
                    // SAFETY: the panel is ours. Lanes without a tile are multiplied too, and must be numbers.
                    unsafe { std::slice::from_raw_parts_mut(to, panel_elements).fill(T::default()) };
                }
                let sizes = (self.channels, width);
                self.pieces(panel_tiles(panel), lanes, |piece| {
                    let register = piece.lane / lanes;
                    pieces[panel][register * MAX_LANES + counts[panel][register]] = piece;
                    counts[panel][register] += 1;
                    // SAFETY: the tiles exist in the copy (with what whole vectors read behind them), and the panel
                    // is ours.
                    unsafe { transform_input(images, piece, sizes, to) };
                });
            }
            for row_panel in 0..row_panels {
                let (row, rows) = self.rows_of(row_panel, row_panels);
                let tile = kernels.tile(rows, 2);
                for panel in 0..panels {
                    for point in 0..POINTS {
                        let a = weights.at((row * POINTS + point * rows) * self.channels).cast_const();
                        let b = input.at(panel * panel_elements + point * self.channels * width).cast_const();
                        let c = products.at(point * rows * width);
                        let (a_step, line) = (rows as isize, width as isize);
                        // SAFETY: weights, panel and products hold all this.
                        unsafe { tile(self.channels, a, 1, a_step, b, line, c, line, width, &Tail::PLAIN) };
                    }
                    let bias =
                        if self.bias.get().is_null() { self.bias.get() } else { self.bias.get().wrapping_add(row) };
                    let from = products.at(0).cast_const();
                    for register in 0..2 {
                        let pieces = &pieces[panel][register * MAX_LANES..][..counts[panel][register]];
                        // SAFETY: the products are there, and the results of these tiles are ours.
                        unsafe { transform_output(from, pieces, (row, rows, width), bias, self.result, target) };
                    }
                }
            }
        });
    }

    /// Calls `f` for the pieces of a panel's tiles: within one line of tiles, and within one register.
    fn pieces(&self, tiles: Range<usize>, lanes: usize, mut f: impl FnMut(Piece)) {
        let (down, across) = self.tiles();
        let mut lane = 0;
        while lane < tiles.len() {
            let tile = tiles.start + lane;
            let (line, x) = (tile / across, tile % across);
            let length = (across - x).min(tiles.len() - lane).min(lanes - lane % lanes);
            f(Piece { image: line / down, y: line % down, x, length, lane });
            lane += length;
        }
    }
}

/// `G w G^T` for kernels side by side, with `G = [[1, 0, 0], [1/2, 1/2, 1/2], [1/2, -1/2, 1/2], [0, 0, 1]]`.
fn weight_points<T: Float>(taps: &[[T; MAX_ROWS]; 9]) -> [[T; MAX_ROWS]; POINTS] {
    let half = T::of_f64(0.5);
    let four = |a: T, b: T, c: T| {
        let sum = (a + c) * half;
        [a, sum + b * half, sum - b * half, c]
    };
    let mut points = [[T::default(); MAX_ROWS]; POINTS];
    for i in 0..MAX_ROWS {
        let mut columns = [[T::default(); 4]; 3];
        for (x, column) in columns.iter_mut().enumerate() {
            *column = four(taps[x][i], taps[3 + x][i], taps[6 + x][i]);
        }
        for y in 0..4 {
            let line = four(columns[0][y], columns[1][y], columns[2][y]);
            for x in 0..4 {
                points[4 * y + x][i] = line[x];
            }
        }
    }
    points
}

simd_fn! {
    /// `B^T d B` for the tiles of a piece, in all channels, with
    /// `B^T = [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]`: point by point, channel by channel, the
    /// `width` tiles of the panel.
    ///
    /// # Safety
    /// The tiles exist and whole registers are readable from them; the panel is writable where the piece lies.
    unsafe fn transform_input<T: Float, V>(
        images: &Images<T>, piece: Piece, sizes: (usize, usize), to: *mut T,
    ) {
        let (channels, width) = sizes;
        let odd = images.line / 2;
        let start = piece.image * images.image + 2 * piece.y * images.line + piece.x;
        for channel in 0..channels {
            let from = images.data.wrapping_add(start + channel * images.channel);
            // No closures or iterators from here: registers would go through memory to be passed to them.
            let mut lines = [[V::zero(); 4]; 4];
            for y in 0..4 {
                let from = from.wrapping_add(y * images.line);
                // SAFETY: even and odd columns of a line that exists.
                let (a, b, c, d) = unsafe {
                    (V::load(from), V::load(from.add(odd)), V::load(from.add(1)), V::load(from.add(odd + 1)))
                };
                lines[y] = input_points(a, b, c, d);
            }
            for x in 0..4 {
                let column = input_points(lines[0][x], lines[1][x], lines[2][x], lines[3][x]);
                for y in 0..4 {
                    // SAFETY: the lanes of the piece in point (y, x) of this channel.
                    unsafe {
                        let to = to.add(((4 * y + x) * channels + channel) * width + piece.lane);
                        if piece.length == V::LANES {
                            column[y].store(to);
                        } else {
                            column[y].store_partial(to, piece.length);
                        }
                    }
                }
            }
        }
    }
}

/// `B^T` times a column.
#[inline(always)]
fn input_points<V: Vector>(a: V, b: V, c: V, d: V) -> [V; 4] {
    [a - c, b + c, c - b, b - d]
}

/// `A^T` times a column.
#[inline(always)]
fn results<V: Vector>(a: V, b: V, c: V, d: V) -> [V; 2] {
    [a + b + c, b - c - d]
}

simd_fn! {
    /// `A^T m A` for the tiles of one register, in all rows, with `A^T = [[1, 1, 1, 0], [0, 1, -1, -1]]`, plus the bias;
    /// to where the results of the pieces belong.
    ///
    /// # Safety
    /// The products are readable for all points, rows and tiles of the panel; the bias is null or readable for the
    /// rows; the results of the pieces exist and belong to the caller, those beyond `result` excepted.
    unsafe fn transform_output<T: Float, V>(
        from: *const T, pieces: &[Piece], panel: (usize, usize, usize), bias: *const T, result: (usize, usize),
        target: &Planes<T>,
    ) {
        let (row, rows, width) = panel;
        let Some(first) = pieces.first() else { return };
        let (first, step) = (first.lane, rows * width);
        for r in 0..rows {
            let from = from.wrapping_add(r * width + first);
            let mut columns = [[V::zero(); 2]; 4];
            for x in 0..4 {
                let from = from.wrapping_add(x * step);
                // SAFETY: the products of this row; pieces start at a register's first lane.
                let (a, b, c, d) = unsafe {
                    (
                        V::load(from),
                        V::load(from.add(4 * step)),
                        V::load(from.add(8 * step)),
                        V::load(from.add(12 * step)),
                    )
                };
                columns[x] = results(a, b, c, d);
            }
            // SAFETY: the bias has an element per row.
            let bias = if bias.is_null() { V::zero() } else { V::splat(unsafe { *bias.add(r) }) };
            let mut lines = [[T::default(); 2 * MAX_LANES]; 2];
            for y in 0..2 {
                let [even, odd] = results(columns[0][y], columns[1][y], columns[2][y], columns[3][y]);
                let (even, odd) = ((even + bias).to_lanes(), (odd + bias).to_lanes());
                for i in 0..V::LANES {
                    lines[y][2 * i] = even[i];
                    lines[y][2 * i + 1] = odd[i];
                }
            }
            for piece in pieces {
                let (y, x) = (2 * piece.y, 2 * piece.x);
                let count = (result.1 - x).min(2 * piece.length);
                let start = piece.image * target.image + (row + r) * target.channel + y * target.line_step + x;
                for i in 0..(result.0 - y).min(2) {
                    let to = target.data.wrapping_add(start + i * target.line_step);
                    // SAFETY: `count` results of this line exist, and lanes as many in the buffer.
                    unsafe {
                        let from = lines[i].as_ptr().add(2 * (piece.lane - first));
                        let some = count.min(V::LANES);
                        V::load_partial(from, some).store_partial(to, some);
                        if count > some {
                            V::load_partial(from.add(some), count - some).store_partial(to.add(some), count - some);
                        }
                    }
                }
            }
        }
    }
}
