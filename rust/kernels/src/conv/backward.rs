//! Gradients of a convolution.

use super::Conv2d;
use super::correlate::Correlation;
use super::dots::{self, LineDots};
use super::forward::{input_axes, offsets};
use super::patches::{Axis, Images, PatchDepths, Patches, Planes, Shared, images_at_once};
use super::winograd::Winograd;
use crate::gemm::{Epilogue, Operand, Product, RowMajor, kernels, product};
use crate::pool;
use crate::simd::Float;

/// Elements of the weight gradient up to which several copies are summed in parallel.
const SLICED_GRADIENT: usize = 1 << 15;
/// Multiply-adds from which the slices are shared out among threads.
const SLICED_WORK: usize = 1 << 20;
/// Most copies.
const SLICES: usize = 16;

/// The gradient of the input: every element of `dx` collects what the patches that saw it pass back. This is also the
/// forward pass of a transposed convolution. The result does not depend on the number of threads.
///
/// # Safety
/// `dy`, `w` and `dx` are contiguous tensors of the shapes that `conv` describes; `dx` overlaps none of the others, and
/// nobody else uses it meanwhile.
pub unsafe fn backward_input<T: Float>(conv: &Conv2d, dy: *const T, w: *const T, dx: *mut T) {
    let (in_plane, out_plane) = conv.planes();
    if in_plane == 0 {
        return;
    }
    let output = conv.output();
    if conv.suits_winograd() && out_plane > 0 {
        // The convolution of the output gradient with the kernels turned round.
        let winograd = Winograd {
            batch: conv.batch,
            channels: conv.out_channels,
            rows: conv.in_channels,
            source: output,
            before: (2 - conv.padding.0 as isize, 2 - conv.padding.1 as isize),
            result: conv.input,
            weight_row: 9,
            weight_channel: 9 * conv.in_channels,
            rotated: true,
            bias: Shared(std::ptr::null()),
        };
        if winograd.pays() {
            // SAFETY: the description above is that of the tensors.
            return unsafe { winograd.run(dy, w, dx) };
        }
    }
    let w = Shared(w);
    // Input positions of one residue class modulo the stride see the same kernel elements, and their patches of the
    // output gradient lie side by side: one product without stride for each pair of classes.
    let lines: Vec<Class> = classes(conv.input.0, conv.kernel.0, conv.stride.0, conv.padding.0, conv.dilation.0);
    let columns: Vec<Class> = classes(conv.input.1, conv.kernel.1, conv.stride.1, conv.padding.1, conv.dilation.1);
    let (row_axis, column_axis) = (reached(&lines, output.0), reached(&columns, output.1));
    let at_once = images_at_once::<T>(conv.batch, conv.out_channels * row_axis.copied() * column_axis.copied());
    for first in (0..conv.batch).step_by(at_once) {
        let count = at_once.min(conv.batch - first);
        // SAFETY: the output gradient is contiguous and has these images (without any element if it is empty).
        let images = unsafe { Images::new(dy, first..first + count, conv.out_channels, row_axis, column_axis) };
        // Positions that no kernel element touches (a stride beyond the kernel) have a gradient of zero.
        let untouched = out_plane == 0 || lines.iter().chain(&columns).any(|class| class.taps.is_empty());
        if untouched {
            let (start, elements) = (first * conv.in_channels * in_plane, count * conv.in_channels * in_plane);
            // SAFETY: the gradients of these images.
            unsafe { std::slice::from_raw_parts_mut(dx.wrapping_add(start), elements).fill(T::default()) };
        }
        for (y, line) in lines.iter().enumerate() {
            for (x, column) in columns.iter().enumerate() {
                let (m, sums) = (conv.group_in(), conv.group_out());
                let mut taps = Vec::with_capacity(line.taps.len() * column.taps.len());
                let mut reads = Vec::with_capacity(taps.capacity());
                if out_plane == 0 || line.taps.is_empty() || column.taps.is_empty() {
                    continue;
                }
                for &(i, dy_line) in &line.taps {
                    for &(j, dy_column) in &column.taps {
                        taps.push(i * conv.kernel.1 + j);
                        let (r, c) = (dy_line + row_axis.before, dy_column + column_axis.before);
                        reads.push(r.cast_unsigned() * images.line + c.cast_unsigned());
                    }
                }
                let offsets: Vec<usize> = (0..sums)
                    .flat_map(|channel| reads.iter().map(move |&read| (channel, read)))
                    .map(|(channel, read)| channel * images.channel + read)
                    .collect();
                let corner = y * conv.input.1 + x;
                let correlation = Correlation {
                    rows: m,
                    groups: conv.groups,
                    count,
                    images: &images,
                    group_step: sums * images.channel,
                    line_step: images.line,
                    offsets: &offsets,
                    planes: Planes {
                        data: dx.wrapping_add(first * conv.in_channels * in_plane + corner),
                        image: conv.in_channels * in_plane,
                        channel: in_plane,
                        lines: line.count,
                        per_line: column.count,
                        line_step: conv.stride.0 * conv.input.1,
                        step: conv.stride.1,
                    },
                    group_planes: m * in_plane,
                    bias: std::ptr::null(),
                };
                let weights = |group: usize| TapWeights {
                    data: w.get().wrapping_add(group * sums * m * conv.taps()),
                    lane: conv.taps(),
                    channel: m * conv.taps(),
                    taps: &taps,
                };
                // SAFETY: weights, images and target are those parts of the tensors that belong together, and these
                // classes of positions are reached by no other correlation.
                unsafe { correlation.run(weights) };
            }
        }
    }
}

/// The input positions `r, r + stride, r + 2 stride, ...` along one axis.
struct Class {
    /// How many there are.
    count: usize,
    /// The kernel elements that touch them, and the output position where each touches the first of them.
    taps: Vec<(usize, isize)>,
}

fn classes(length: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> Vec<Class> {
    (0..stride.min(length))
        .map(|r| {
            let taps = (0..kernel).filter_map(|i| {
                // Output position o reads input position o * stride + i * dilation - padding.
                let o = (r + padding) as isize - (i * dilation) as isize;
                (o % stride as isize == 0).then(|| (i, o / stride as isize))
            });
            Class { count: (length - r).div_ceil(stride), taps: taps.collect() }
        })
        .collect()
}

/// The output positions that some class reads, those beyond the output's edges included.
fn reached(classes: &[Class], length: usize) -> Axis {
    let firsts = || classes.iter().flat_map(|class| class.taps.iter().map(|&(_, o)| (o, class.count)));
    let low = firsts().map(|(o, _)| o).min().unwrap_or(0).min(0);
    let high = firsts().map(|(o, count)| o + count as isize).max().unwrap_or(0);
    Axis::plain(length, -low, (high - low).max(0).cast_unsigned())
}

/// The weights as left operand of the input gradient: lanes are input channels, depths (output channel, tap).
struct TapWeights<'a, T> {
    data: *const T,
    lane: usize,
    channel: usize,
    taps: &'a [usize],
}

// SAFETY: weights are only read.
unsafe impl<T> Sync for TapWeights<'_, T> {}

impl<T: Float> Operand<T> for TapWeights<'_, T> {
    unsafe fn pack(&self, lane: usize, lanes: usize, depth: usize, depths: usize, width: usize, out: *mut T) {
        let (mut channel, mut tap) = (depth / self.taps.len(), depth % self.taps.len());
        for d in 0..depths {
            let from = self.data.wrapping_add(channel * self.channel + lane * self.lane + self.taps[tap]);
            for l in 0..width {
                // SAFETY: lane and depth exist; the panel holds `depths * width`.
                unsafe { *out.add(d * width + l) = if l < lanes { *from.add(l * self.lane) } else { T::default() } };
            }
            tap += 1;
            if tap == self.taps.len() {
                (tap, channel) = (0, channel + 1);
            }
        }
    }
}

/// The gradient of the weights, summed over all images and positions. (That of the bias is the sum of `dy`.) The result
/// does not depend on the number of threads.
///
/// # Safety
/// `x`, `dy` and `dw` are contiguous tensors of the shapes that `conv` describes; `dw` overlaps none of the others, and
/// nobody else uses it meanwhile.
pub unsafe fn backward_weight<T: Float>(conv: &Conv2d, x: *const T, dy: *const T, dw: *mut T) {
    let (m, n) = (conv.group_out(), conv.group_in() * conv.taps());
    let (_, out_plane) = conv.planes();
    let weights = conv.out_channels * n;
    if weights == 0 {
        return;
    }
    let (rows, columns) = input_axes(conv);
    let gradient = Gradient { conv, dy, axes: (rows, columns) };
    if conv.batch == 0 || out_plane == 0 {
        // SAFETY: the whole of `dw`.
        return unsafe { std::slice::from_raw_parts_mut(dw, weights).fill(T::default()) };
    }
    let at_once = images_at_once::<T>(conv.batch, conv.in_channels * rows.copied() * columns.copied());
    // A small gradient has too few tiles to share out. Its sum is then cut into slices of images, by sizes only.
    let slices = if m * n <= SLICED_GRADIENT { SLICES.min(at_once) } else { 1 };
    let mut partial = vec![T::default(); if slices > 1 { (slices - 1) * weights } else { 0 }];
    let targets = Targets { first: dw, others: partial.as_mut_ptr(), weights };
    for first in (0..conv.batch).step_by(at_once) {
        let count = at_once.min(conv.batch - first);
        // SAFETY: the input is contiguous and has these images.
        let images = unsafe { Images::new(x, first..first + count, conv.in_channels, rows, columns) };
        let accumulate = first > 0;
        let slice = |index: usize, parallel: bool| {
            let range = index * count / slices..(index + 1) * count / slices;
            let target = targets.of(index);
            // SAFETY: the images are there, and every slice has its own target.
            unsafe { gradient.sum(&images, first, range, target, accumulate, parallel) };
        };
        if slices == 1 {
            slice(0, true);
        } else if count * out_plane * m * n * conv.groups >= SLICED_WORK {
            pool::parallel_for(slices, &|index| slice(index, false));
        } else {
            (0..slices).for_each(|index| slice(index, false));
        }
    }
    if slices > 1 {
        pool::chunked(weights, 1 << 13, |range| {
            for index in 1..slices {
                let (to, from) = (targets.of(0), targets.of(index).cast_const());
                for i in range.clone() {
                    // SAFETY: inside both gradients; ranges are disjoint.
                    unsafe { *to.add(i) = *to.add(i) + *from.add(i) };
                }
            }
        });
    }
}

/// Where the slices of a weight gradient are summed: the first in the result itself.
struct Targets<T> {
    first: *mut T,
    others: *mut T,
    weights: usize,
}

// SAFETY: threads write the targets of different slices, or different parts of the first.
unsafe impl<T> Sync for Targets<T> {}

impl<T> Targets<T> {
    fn of(&self, slice: usize) -> *mut T {
        if slice == 0 { self.first } else { self.others.wrapping_add((slice - 1) * self.weights) }
    }
}

/// A weight gradient in the making.
struct Gradient<'a, T> {
    conv: &'a Conv2d,
    dy: *const T,
    axes: (Axis, Axis),
}

// SAFETY: the output gradient is only read.
unsafe impl<T> Sync for Gradient<'_, T> {}

impl<T: Float> Gradient<'_, T> {
    /// Sums over images `range` of `images`, the first of which is image `first` of the batch, into `dw`.
    ///
    /// # Safety
    /// The images exist in the output gradient too; `dw` is valid for all weights and nobody else uses it.
    unsafe fn sum(
        &self,
        images: &Images<T>,
        first: usize,
        range: std::ops::Range<usize>,
        dw: *mut T,
        accumulate: bool,
        parallel: bool,
    ) {
        let conv = self.conv;
        let (m, n) = (conv.group_out(), conv.group_in() * conv.taps());
        let (_, out_plane) = conv.planes();
        let line = Axis::plain(out_plane, 0, out_plane);
        let single = Axis::plain(1, 0, 1);
        let count = range.len();
        let from = first + range.start;
        // SAFETY: the output gradient is contiguous and has these images. No copy is needed.
        let dy = unsafe { Images::new(self.dy, from..from + count, conv.out_channels, single, line) };
        let channels: Vec<usize> = (0..m).map(|channel| channel * out_plane).collect();
        let offsets = offsets(conv, images, self.axes);
        for group in 0..conv.groups {
            let output = PatchDepths(Patches {
                images: &dy,
                start: group * m * out_plane,
                line_step: out_plane,
                lines: 1,
                per_line: out_plane,
                offsets: &channels,
            });
            let (lines, per_line) = conv.output();
            let patches = Patches {
                images,
                start: range.start * images.image + group * conv.group_in() * images.channel,
                line_step: images.line,
                lines,
                per_line,
                offsets: &offsets,
            };
            let dw = dw.wrapping_add(group * m * n);
            if dots::pays(m, n, per_line, kernels::<T>().lanes) {
                let gradient = dy.data.wrapping_add(group * m * out_plane);
                let dots = LineDots { patches, gradient, image: dy.image, row: out_plane, rows: m };
                // SAFETY: the parts of the tensors that belong to this group and these images.
                unsafe { dots.sum(0..count, dw, accumulate) };
                continue;
            }
            let dw = RowMajor { data: dw, row: n as isize };
            let patches = PatchDepths(patches);
            // SAFETY: operands and target are the parts of the tensors that belong to this group and these images.
            unsafe {
                product(&Product {
                    m,
                    n,
                    k: count * out_plane,
                    a: &output,
                    b: &patches,
                    c: &dw,
                    accumulate,
                    epilogue: Epilogue::NONE,
                    parallel,
                });
            }
        }
    }
}
