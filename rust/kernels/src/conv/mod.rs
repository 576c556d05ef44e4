//! Two-dimensional convolution (a one-dimensional one has height 1) and its gradients, on contiguous NCHW tensors.
//!
//! Everything is a matrix product whose operands are packed straight from the images: the patch matrix ("im2col") is
//! never built. Images are first copied into a form without borders and strides (unless they already are): padding
//! becomes real zeros, and with a horizontal stride each residue class of columns becomes contiguous. Every element a
//! patch needs is then at a fixed offset from the patch's origin.

mod backward;
pub mod checked;
mod correlate;
mod dots;
mod forward;
mod patches;
mod winograd;

#[cfg(test)]
mod tests;

pub use backward::{backward_input, backward_weight};
pub use forward::forward;

/// The sizes of a convolution. Pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Number of images.
    pub batch: usize,
    /// Channels of the input, a multiple of `groups`.
    pub in_channels: usize,
    /// Height and width of the input.
    pub input: (usize, usize),
    /// Channels of the output, a multiple of `groups`.
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel: (usize, usize),
    /// Distance between neighbouring patches, at least 1.
    pub stride: (usize, usize),
    /// Zeros assumed before and after the input.
    pub padding: (usize, usize),
    /// Distance between neighbouring kernel elements in the input, at least 1.
    pub dilation: (usize, usize),
    /// Number of independent convolutions that share out the channels, at least 1.
    pub groups: usize,
}

impl Conv2d {
    /// Height and width of the output; zero where the kernel does not fit.
    pub fn output(&self) -> (usize, usize) {
        let one = |input: usize, kernel: usize, stride: usize, padding: usize, dilation: usize| {
            let reach = dilation * kernel.saturating_sub(1) + 1;
            (input + 2 * padding).checked_sub(reach).map_or(0, |room| room / stride + 1)
        };
        (
            one(self.input.0, self.kernel.0, self.stride.0, self.padding.0, self.dilation.0),
            one(self.input.1, self.kernel.1, self.stride.1, self.padding.1, self.dilation.1),
        )
    }

    /// Input channels of a group.
    fn group_in(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Output channels of a group.
    fn group_out(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Whether Winograd's algorithm computes it: a 3x3 kernel whose patches lie side by side.
    fn suits_winograd(&self) -> bool {
        self.kernel == (3, 3) && self.stride == (1, 1) && self.dilation == (1, 1) && self.groups == 1
    }

    /// Elements of a kernel plane.
    fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// Elements of an input plane, and of an output plane.
    fn planes(&self) -> (usize, usize) {
        let output = self.output();
        (self.input.0 * self.input.1, output.0 * output.1)
    }
}
