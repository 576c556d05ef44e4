//! Two-dimensional pooling (one-dimensional with height 1) and its gradients, on contiguous planes.
//!
//! A line of results is made by one pass over the line per kernel element ("tap"). Which results a tap takes part in is
//! a range, so padding costs nothing and the passes are plain loops that the compiler vectorises.

use std::ops::Range;

use crate::pool;
use crate::simd::{Float, vectorized_fn};

pub mod checked;

#[cfg(test)]
mod tests;

/// Elements worth a task.
const TASK: usize = 1 << 14;

/// The sizes of a pooling. Pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Number of planes: images times channels.
    pub planes: usize,
    /// Height and width of the input planes.
    pub input: (usize, usize),
    /// Height and width of the output planes, which decides between rounding down and up ("ceil mode").
    pub output: (usize, usize),
    /// Height and width of the window.
    pub kernel: (usize, usize),
    /// Distance between neighbouring windows, at least 1.
    pub stride: (usize, usize),
    /// Border assumed before and after the input.
    pub padding: (usize, usize),
    /// Distance between neighbouring window elements, at least 1 (averages: always 1).
    pub dilation: (usize, usize),
}

/// How a sum over a window becomes an average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Divisor {
    /// By the elements of the window that lie in the input or in its padding.
    WithPadding,
    /// By the elements that lie in the input.
    WithoutPadding,
    /// By this number.
    Fixed(f64),
}

/// One axis of a pooling.
#[derive(Clone, Copy)]
struct Axis {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
}

impl Axis {
    /// The outputs that tap `j` takes part in.
    fn outputs(&self, j: usize) -> Range<usize> {
        let start = self.padding.saturating_sub(j * self.dilation).div_ceil(self.stride);
        let end = (self.input + self.padding).saturating_sub(j * self.dilation).div_ceil(self.stride);
        let end = end.min(self.output);
        start.min(end)..end
    }

    /// The input position that tap `j` of output `o` sees; it exists if `o` is in `outputs(j)`.
    fn position(&self, o: usize, j: usize) -> usize {
        (o * self.stride + j * self.dilation).wrapping_sub(self.padding)
    }

    /// The first tap of output `o` that lies in the input (0 if none does).
    fn first_tap(&self, o: usize) -> usize {
        let tap = self.padding.saturating_sub(o * self.stride).div_ceil(self.dilation);
        if tap < self.kernel { tap } else { 0 }
    }

    /// Window elements in the input, and in the input or its padding.
    fn counts(&self, o: usize) -> (usize, usize) {
        let start = o * self.stride;
        let end = (start + self.kernel).min(self.input + 2 * self.padding);
        let inside = end.min(self.input + self.padding).saturating_sub(start.max(self.padding));
        (inside, end.saturating_sub(start))
    }
}

/// A tap along one axis: the outputs it takes part in, and the input position it sees of the first of them.
struct Tap {
    outputs: Range<usize>,
    position: usize,
}

impl Axis {
    fn taps(&self) -> Vec<Tap> {
        (0..self.kernel)
            .map(|j| {
                let outputs = self.outputs(j);
                Tap { position: self.position(outputs.start, j), outputs }
            })
            .collect()
    }
}

impl Pool2d {
    fn axes(&self) -> (Axis, Axis) {
        let &Pool2d { input, output, kernel, stride, padding, dilation, .. } = self;
        (
            Axis {
                input: input.0,
                output: output.0,
                kernel: kernel.0,
                stride: stride.0,
                padding: padding.0,
                dilation: dilation.0,
            },
            Axis {
                input: input.1,
                output: output.1,
                kernel: kernel.1,
                stride: stride.1,
                padding: padding.1,
                dilation: dilation.1,
            },
        )
    }

    /// Elements of an input plane, and of an output plane.
    fn sizes(&self) -> (usize, usize) {
        (self.input.0 * self.input.1, self.output.0 * self.output.1)
    }

    /// Runs `f` on ranges of planes, in parallel.
    fn each_planes(&self, f: impl Fn(Range<usize>) + Sync) {
        let (from, to) = self.sizes();
        pool::chunked(self.planes, TASK.div_ceil((from + to).max(1)), f);
    }
}

/// An address that tasks may share because they use disjoint parts of what it points to.
#[derive(Clone, Copy)]
struct Shared<P>(P);
// SAFETY: see above; every use argues that its parts are disjoint, or only read.
unsafe impl<P> Sync for Shared<P> {}
impl<P: Copy> Shared<P> {
    fn get(&self) -> P {
        self.0
    }
}

/// The greatest element of every window, and where it is: `indices` holds positions within the input plane. NaN counts
/// as greatest, padding as minus infinity; of equal elements the first wins.
///
/// # Safety
/// `x` is readable for `planes` input planes; `y` and `indices` are writable for as many output planes, overlap nothing
/// and are used by nobody else.
pub unsafe fn max_pool2d<T: Float>(pool: &Pool2d, x: *const T, y: *mut T, indices: *mut i64) {
    let (rows, columns) = pool.axes();
    let (from, to) = pool.sizes();
    if pool.is_halving() {
        // SAFETY: passed on unchanged.
        return unsafe { max_halving(pool, x, y, indices) };
    }
    let (row_taps, column_taps) = (rows.taps(), columns.taps());
    let first_taps: Vec<i32> = (0..columns.output).map(|o| columns.first_tap(o) as i32).collect();
    // What a tap adds to the position of the window's corner.
    let reach: Vec<i64> = (0..rows.kernel * columns.kernel)
        .map(|tap| {
            let (i, j) = (tap / columns.kernel, tap % columns.kernel);
            (i * rows.dilation * columns.input + j * columns.dilation) as i64
        })
        .collect();
    let (x, y, indices) = (Shared(x), Shared(y), Shared(indices));
    pool.each_planes(|planes| {
        let mut taps = vec![0i32; columns.output];
        for plane in planes {
            for o in 0..rows.output {
                let at = plane * to + o * columns.output;
                // SAFETY: line `o` of plane `plane` of the results, which no other task writes.
                let (best, places) = unsafe {
                    (
                        std::slice::from_raw_parts_mut(y.get().add(at), columns.output),
                        std::slice::from_raw_parts_mut(indices.get().add(at), columns.output),
                    )
                };
                best.fill(T::NEG_INFINITY);
                let first_row = (rows.first_tap(o) * columns.kernel) as i32;
                for (tap, &first) in taps.iter_mut().zip(&first_taps) {
                    *tap = first_row + first;
                }
                for (i, _) in row_taps.iter().enumerate().filter(|(_, tap)| tap.outputs.contains(&o)) {
                    // SAFETY: the line exists, because tap `i` of output `o` lies in the input.
                    let line = unsafe {
                        let start = plane * from + rows.position(o, i) * columns.input;
                        std::slice::from_raw_parts(x.get().add(start), columns.input)
                    };
                    // SAFETY: the taps are those of this line.
                    unsafe {
                        max_line(line, &column_taps, columns.stride, (i * columns.kernel) as i32, best, &mut taps);
                    }
                }
                let corner = (o * rows.stride) as i64 - rows.padding as i64;
                let start = corner * columns.input as i64 - columns.padding as i64;
                for (x, (place, &tap)) in places.iter_mut().zip(&taps).enumerate() {
                    *place = start + (x * columns.stride) as i64 + reach[tap as usize];
                }
            }
        }
    });
}

vectorized_fn! {
    /// Lets the taps of one line of the window, which starts at tap `first`, compete for the maxima.
    ///
    /// # Safety
    /// The taps lie inside the line, `best` and `taps`.
    unsafe fn max_line<T: Float>(
        line: &[T], columns: &[Tap], stride: usize, first: i32, best: &mut [T], taps: &mut [i32],
    ) {
        for (j, tap) in columns.iter().enumerate() {
            if tap.outputs.is_empty() {
                continue;
            }
            let seen = &line[tap.position..];
            let (best, taps) = (&mut best[tap.outputs.clone()], &mut taps[tap.outputs.clone()]);
            let tap = first + j as i32;
            // One loop per stride that matters: a constant stride is what makes it vectorise.
            match stride {
                1 => max_strided::<T, 1>(seen, 1, tap, best, taps),
                2 => max_strided::<T, 2>(seen, 2, tap, best, taps),
                _ => max_strided::<T, 0>(seen, stride, tap, best, taps),
            }
        }
    }
}

/// Lets one tap compete for the maxima: `seen[o * stride]` with `best[o]`.
#[inline(always)]
fn max_strided<T: Float, const S: usize>(seen: &[T], stride: usize, tap: i32, best: &mut [T], taps: &mut [i32]) {
    let stride = if S > 0 { S } else { stride };
    let count = best.len();
    assert!(seen.len() > (count - 1) * stride && taps.len() == count, "taps lie inside their line");
    for o in 0..count {
        // SAFETY: below the length just checked; a check per element would keep the loop from being vectorised.
        let value = unsafe { *seen.get_unchecked(o * stride) };
        let wins = beats(value, best[o]);
        best[o] = if wins { value } else { best[o] };
        taps[o] = if wins { tap } else { taps[o] };
    }
}

/// Whether a value replaces the best so far: NaN always does.
#[inline(always)]
#[allow(clippy::eq_op)] // NaN
fn beats<T: Float>(value: T, best: T) -> bool {
    (value > best) | (value != value)
}

impl Pool2d {
    /// Whether windows are disjoint squares of four elements, all inside: the most common pooling.
    fn is_halving(&self) -> bool {
        let fits = 2 * self.output.0 <= self.input.0 && 2 * self.output.1 <= self.input.1;
        fits && self.kernel == (2, 2) && self.stride == (2, 2) && self.padding == (0, 0) && self.dilation == (1, 1)
    }
}

/// # Safety
/// As for [`max_pool2d`], and the pooling is a halving one.
unsafe fn max_halving<T: Float>(pool: &Pool2d, x: *const T, y: *mut T, indices: *mut i64) {
    let (from, to) = pool.sizes();
    let (width, count) = (pool.input.1, pool.output.1);
    let (x, y, indices) = (Shared(x), Shared(y), Shared(indices));
    pool.each_planes(|planes| {
        for plane in planes {
            for o in 0..pool.output.0 {
                // SAFETY: lines `2 o` and `2 o + 1` of the plane, and line `o` of the results, which no other task
                // writes.
                unsafe {
                    let lines = std::slice::from_raw_parts(x.get().add(plane * from + 2 * o * width), 2 * width);
                    let best = std::slice::from_raw_parts_mut(y.get().add(plane * to + o * count), count);
                    let places = std::slice::from_raw_parts_mut(indices.get().add(plane * to + o * count), count);
                    max_of_fours(lines, 2 * o * width, best, places);
                }
            }
        }
    });
}

vectorized_fn! {
    /// The maxima of the squares of two lines, the first of which starts at position `start` of its plane.
    ///
    /// # Safety
    /// The lines are at least twice as long as the results.
    unsafe fn max_of_fours<T: Float>(lines: &[T], start: usize, best: &mut [T], places: &mut [i64]) {
        let width = lines.len() / 2;
        let (upper, lower) = lines.split_at(width);
        assert!(2 * best.len() <= width && best.len() == places.len(), "squares lie inside their lines");
        for o in 0..best.len() {
            // SAFETY: below the lengths just checked; checks would keep the loop from being vectorised.
            let (a, b, c, d) = unsafe {
                (
                    *upper.get_unchecked(2 * o),
                    *upper.get_unchecked(2 * o + 1),
                    *lower.get_unchecked(2 * o),
                    *lower.get_unchecked(2 * o + 1),
                )
            };
            let (mut value, mut place) = (a, 0);
            let wins = beats(b, value);
            (value, place) = if wins { (b, 1) } else { (value, place) };
            let wins = beats(c, value);
            (value, place) = if wins { (c, width) } else { (value, place) };
            let wins = beats(d, value);
            (value, place) = if wins { (d, width + 1) } else { (value, place) };
            best[o] = value;
            places[o] = (start + 2 * o + place) as i64;
        }
    }
}

/// The gradient of [`max_pool2d`]: every result's gradient goes to the element that won.
///
/// # Safety
/// `dy` and `indices` are readable for `planes` output planes, every index is a position in an input plane; `dx` is
/// writable for `planes` input planes, overlaps nothing and is used by nobody else.
pub unsafe fn max_pool2d_backward<T: Float>(pool: &Pool2d, dy: *const T, indices: *const i64, dx: *mut T) {
    let (from, to) = pool.sizes();
    let (dy, indices, dx) = (Shared(dy), Shared(indices), Shared(dx));
    pool.each_planes(|planes| {
        for plane in planes {
            // SAFETY: the plane's own parts, which no other task uses.
            unsafe {
                let dx = std::slice::from_raw_parts_mut(dx.get().add(plane * from), from);
                let dy = std::slice::from_raw_parts(dy.get().add(plane * to), to);
                let indices = std::slice::from_raw_parts(indices.get().add(plane * to), to);
                dx.fill(T::default());
                for (&index, &gradient) in indices.iter().zip(dy) {
                    let sum = &mut dx[index as usize];
                    *sum = *sum + gradient;
                }
            }
        }
    });
}

/// The average over every window. Elements outside the input count as zero; windows without any give zero.
///
/// # Safety
/// `x` is readable for `planes` input planes; `y` is writable for as many output planes, overlaps nothing and is used
/// by nobody else.
pub unsafe fn avg_pool2d<T: Float>(pool: &Pool2d, divisor: Divisor, x: *const T, y: *mut T) {
    let (rows, columns) = pool.axes();
    let (from, to) = pool.sizes();
    let (row_taps, column_taps) = (rows.taps(), columns.taps());
    let (x, y) = (Shared(x), Shared(y));
    pool.each_planes(|planes| {
        let mut scale = vec![T::default(); columns.output];
        for o in 0..rows.output {
            divisors(rows, columns, divisor, o, &mut scale);
            for plane in planes.clone() {
                // SAFETY: line `o` of plane `plane` of the results, which no other task writes.
                let sums = unsafe {
                    let start = plane * to + o * columns.output;
                    std::slice::from_raw_parts_mut(y.get().add(start), columns.output)
                };
                sums.fill(T::default());
                for (i, _) in row_taps.iter().enumerate().filter(|(_, tap)| tap.outputs.contains(&o)) {
                    // SAFETY: the line exists, because tap `i` of output `o` lies in the input; the taps are its own.
                    unsafe {
                        let start = plane * from + rows.position(o, i) * columns.input;
                        let line = std::slice::from_raw_parts(x.get().add(start), columns.input);
                        add_line(line, &column_taps, columns.stride, sums);
                    }
                }
                for (sum, &divisor) in sums.iter_mut().zip(&scale) {
                    *sum = *sum / divisor;
                }
            }
        }
    });
}

/// The divisors of line `o` of the results (1 for windows without any element, whose sum is zero).
fn divisors<T: Float>(rows: Axis, columns: Axis, divisor: Divisor, o: usize, out: &mut [T]) {
    let row = rows.counts(o);
    for (x, out) in out.iter_mut().enumerate() {
        let column = columns.counts(x);
        let count = match divisor {
            _ if row.0 * column.0 == 0 => 1.0,
            Divisor::WithPadding => (row.1 * column.1) as f64,
            Divisor::WithoutPadding => (row.0 * column.0) as f64,
            Divisor::Fixed(number) => number,
        };
        *out = T::of_f64(count);
    }
}

vectorized_fn! {
    /// Adds the taps of one line to the sums.
    ///
    /// # Safety
    /// The taps lie inside the line and the sums.
    unsafe fn add_line<T: Float>(line: &[T], columns: &[Tap], stride: usize, sums: &mut [T]) {
        for tap in columns.iter().filter(|tap| !tap.outputs.is_empty()) {
            let (seen, sums) = (&line[tap.position..], &mut sums[tap.outputs.clone()]);
            match stride {
                1 => add_strided::<T, 1>(seen, 1, sums),
                2 => add_strided::<T, 2>(seen, 2, sums),
                _ => add_strided::<T, 0>(seen, stride, sums),
            }
        }
    }
}

#[inline(always)]
fn add_strided<T: Float, const S: usize>(seen: &[T], stride: usize, sums: &mut [T]) {
    let stride = if S > 0 { S } else { stride };
    let count = sums.len();
    assert!(seen.len() > (count - 1) * stride, "taps lie inside their line");
    for (o, sum) in sums.iter_mut().enumerate() {
        // SAFETY: below the length just checked.
        *sum = *sum + unsafe { *seen.get_unchecked(o * stride) };
    }
}

/// The gradient of [`avg_pool2d`]: every result's gradient is shared out evenly over its window.
///
/// # Safety
/// `dy` is readable for `planes` output planes; `dx` is writable for as many input planes, overlaps nothing and is used
/// by nobody else.
pub unsafe fn avg_pool2d_backward<T: Float>(pool: &Pool2d, divisor: Divisor, dy: *const T, dx: *mut T) {
    let (rows, columns) = pool.axes();
    let (from, to) = pool.sizes();
    let (row_taps, column_taps) = (rows.taps(), columns.taps());
    let (dy, dx) = (Shared(dy), Shared(dx));
    pool.each_planes(|planes| {
        let mut share = vec![T::default(); columns.output];
        // SAFETY: these planes of the result, which no other task writes.
        let dx = unsafe { std::slice::from_raw_parts_mut(dx.get().add(planes.start * from), planes.len() * from) };
        dx.fill(T::default());
        for o in 0..rows.output {
            let mut scale = vec![T::default(); columns.output];
            divisors(rows, columns, divisor, o, &mut scale);
            for plane in planes.clone() {
                // SAFETY: line `o` of plane `plane` of the gradient.
                let line = unsafe {
                    let start = plane * to + o * columns.output;
                    std::slice::from_raw_parts(dy.get().add(start), columns.output)
                };
                for ((share, &gradient), &divisor) in share.iter_mut().zip(line).zip(&scale) {
                    *share = gradient / divisor;
                }
                for (i, _) in row_taps.iter().enumerate().filter(|(_, tap)| tap.outputs.contains(&o)) {
                    let start = (plane - planes.start) * from + rows.position(o, i) * columns.input;
                    let line = &mut dx[start..start + columns.input];
                    // SAFETY: the taps are those of this line.
                    unsafe { share_line(line, &column_taps, columns.stride, &share) };
                }
            }
        }
    });
}

vectorized_fn! {
    /// Adds the shares to the elements of one line that they came from.
    ///
    /// # Safety
    /// The taps lie inside the line and the shares.
    unsafe fn share_line<T: Float>(line: &mut [T], columns: &[Tap], stride: usize, share: &[T]) {
        for tap in columns.iter().filter(|tap| !tap.outputs.is_empty()) {
            let (seen, share) = (&mut line[tap.position..], &share[tap.outputs.clone()]);
            match stride {
                1 => share_strided::<T, 1>(seen, 1, share),
                2 => share_strided::<T, 2>(seen, 2, share),
                _ => share_strided::<T, 0>(seen, stride, share),
            }
        }
    }
}

#[inline(always)]
fn share_strided<T: Float, const S: usize>(seen: &mut [T], stride: usize, share: &[T]) {
    let stride = if S > 0 { S } else { stride };
    assert!(seen.len() > (share.len() - 1) * stride, "taps lie inside their line");
    for (o, &gradient) in share.iter().enumerate() {
        // SAFETY: below the length just checked.
        let sum = unsafe { seen.get_unchecked_mut(o * stride) };
        *sum = *sum + gradient;
    }
}
