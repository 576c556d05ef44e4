//! Convolution on checked views: what callers without `unsafe` use. Views must be contiguous and of the sizes that the
//! [`Conv2d`] describes.

use super::Conv2d;
use crate::array::{Element, View, ViewMut};
use crate::simd::Float;

impl Conv2d {
    /// Elements of the input, the weights and the output.
    fn sizes(&self) -> (usize, usize, usize) {
        assert!(
            self.groups > 0
                && self.in_channels.is_multiple_of(self.groups)
                && self.out_channels.is_multiple_of(self.groups)
                && self.stride.0 * self.stride.1 * self.dilation.0 * self.dilation.1 > 0,
            "conv2d: groups must divide the channels, strides and dilations must be positive, got {self:?}"
        );
        let (in_plane, out_plane) = self.planes();
        (
            self.batch * self.in_channels * in_plane,
            self.out_channels * self.group_in() * self.taps(),
            self.batch * self.out_channels * out_plane,
        )
    }
}

fn input<'a, T: Element>(view: View<'a, T>, elements: usize) -> &'a [T] {
    let slice = view.as_slice().expect("conv2d: inputs must be contiguous");
    assert_eq!(slice.len(), elements, "conv2d: an input has the wrong size");
    slice
}

fn output<'a, T: Element>(view: ViewMut<'a, T>, elements: usize) -> &'a mut [T] {
    let slice = view.into_slice().expect("conv2d: results must be contiguous");
    assert_eq!(slice.len(), elements, "conv2d: a result has the wrong size");
    slice
}

/// As [`super::forward()`].
pub fn forward<T: Float + Element>(
    conv: &Conv2d,
    x: View<'_, T>,
    w: View<'_, T>,
    bias: Option<View<'_, T>>,
    y: ViewMut<'_, T>,
) {
    let (inputs, weights, outputs) = conv.sizes();
    let (x, w, y) = (input(x, inputs), input(w, weights), output(y, outputs));
    let bias = bias.map_or(std::ptr::null(), |bias| input(bias, conv.out_channels).as_ptr());
    // SAFETY: the slices have the sizes that `conv` describes, and the exclusive one overlaps nothing.
    unsafe { super::forward(conv, x.as_ptr(), w.as_ptr(), bias, y.as_mut_ptr()) }
}

/// As [`super::backward_input`].
pub fn backward_input<T: Float + Element>(conv: &Conv2d, dy: View<'_, T>, w: View<'_, T>, dx: ViewMut<'_, T>) {
    let (inputs, weights, outputs) = conv.sizes();
    let (dy, w, dx) = (input(dy, outputs), input(w, weights), output(dx, inputs));
    // SAFETY: as in `forward`.
    unsafe { super::backward_input(conv, dy.as_ptr(), w.as_ptr(), dx.as_mut_ptr()) }
}

/// As [`super::backward_weight`].
pub fn backward_weight<T: Float + Element>(conv: &Conv2d, x: View<'_, T>, dy: View<'_, T>, dw: ViewMut<'_, T>) {
    let (inputs, weights, outputs) = conv.sizes();
    let (x, dy, dw) = (input(x, inputs), input(dy, outputs), output(dw, weights));
    // SAFETY: as in `forward`.
    unsafe { super::backward_weight(conv, x.as_ptr(), dy.as_ptr(), dw.as_mut_ptr()) }
}
