//! The convolution itself.

use super::Conv2d;
use super::correlate::Correlation;
use super::patches::{Axis, Images, Planes, Shared, images_at_once};
use super::winograd::Winograd;
use crate::gemm::Strided;
use crate::simd::Float;

/// `y[n, o] = bias[o] + sum over c, i, j of w[o, c, i, j] * x[n, c, ...]` (a cross-correlation, as everywhere in deep
/// learning). `bias` may be null. The result does not depend on the number of threads.
///
/// # Safety
/// `x`, `w` and `y` are contiguous tensors of the shapes that `conv` describes, `bias` is null or has an element per
/// output channel; `y` overlaps none of the others, and nobody else uses it meanwhile.
pub unsafe fn forward<T: Float>(conv: &Conv2d, x: *const T, w: *const T, bias: *const T, y: *mut T) {
    let (lines, per_line) = conv.output();
    let (_, out_plane) = conv.planes();
    if lines == 0 || per_line == 0 {
        return;
    }
    if conv.suits_winograd() {
        let winograd = Winograd {
            batch: conv.batch,
            channels: conv.in_channels,
            rows: conv.out_channels,
            source: conv.input,
            before: (conv.padding.0 as isize, conv.padding.1 as isize),
            result: (lines, per_line),
            weight_row: 9 * conv.in_channels,
            weight_channel: 9,
            rotated: false,
            bias: Shared(bias),
        };
        if winograd.pays() {
            // SAFETY: the description above is that of the tensors.
            return unsafe { winograd.run(x, w, y) };
        }
    }
    let w = Shared(w);
    let (rows, columns) = input_axes(conv);
    let at_once = images_at_once::<T>(conv.batch, conv.in_channels * rows.copied() * columns.copied());
    for first in (0..conv.batch).step_by(at_once) {
        let count = at_once.min(conv.batch - first);
        // SAFETY: the input is contiguous and has these images.
        let images = unsafe { Images::new(x, first..first + count, conv.in_channels, rows, columns) };
        let (m, k) = (conv.group_out(), conv.group_in() * conv.taps());
        let correlation = Correlation {
            rows: m,
            groups: conv.groups,
            count,
            images: &images,
            group_step: conv.group_in() * images.channel,
            line_step: images.line,
            offsets: &offsets(conv, &images, (rows, columns)),
            planes: Planes {
                data: y.wrapping_add(first * conv.out_channels * out_plane),
                image: conv.out_channels * out_plane,
                channel: out_plane,
                lines,
                per_line,
                line_step: per_line,
                step: 1,
            },
            group_planes: m * out_plane,
            bias,
        };
        let weights = |group: usize| Strided { data: w.get().wrapping_add(group * m * k), lane: k as isize, depth: 1 };
        // SAFETY: weights, images and target are those parts of the tensors that belong together.
        unsafe { correlation.run(weights) };
    }
}

/// The part of the padded input that patches see, by axis.
pub(super) fn input_axes(conv: &Conv2d) -> (Axis, Axis) {
    let (lines, per_line) = conv.output();
    let axis = |length, padding: usize, count, kernel, stride, dilation| {
        Axis::windows(length, padding as isize, count, kernel, stride, dilation)
    };
    (
        axis(conv.input.0, conv.padding.0, lines, conv.kernel.0, conv.stride.0, conv.dilation.0),
        axis(conv.input.1, conv.padding.1, per_line, conv.kernel.1, conv.stride.1, conv.dilation.1),
    )
}

/// The offsets of the elements of a patch, in the order (channel, kernel row, kernel column) of the weights.
pub(super) fn offsets<T>(conv: &Conv2d, images: &Images<T>, (rows, columns): (Axis, Axis)) -> Vec<usize> {
    let mut offsets = Vec::with_capacity(conv.group_in() * conv.taps());
    for channel in 0..conv.group_in() {
        for i in 0..conv.kernel.0 {
            for j in 0..conv.kernel.1 {
                let line = rows.offset(i * conv.dilation.0) * images.line;
                offsets.push(channel * images.channel + line + columns.offset(j * conv.dilation.1));
            }
        }
    }
    offsets
}
