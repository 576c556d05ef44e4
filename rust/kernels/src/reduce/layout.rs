//! Which dimensions are kept and which are reduced.

use crate::array::{Element, View};
use crate::elementwise::MAX_DIMS;

/// A list of dimensions with their strides in the input and, for kept ones, in the output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dims {
    pub ndim: usize,
    pub shape: [usize; MAX_DIMS],
    pub strides: [isize; MAX_DIMS],
    /// Element strides in the output; 0 for reduced dimensions.
    pub out: [usize; MAX_DIMS],
}

impl Dims {
    fn new() -> Self {
        Dims { ndim: 0, shape: [1; MAX_DIMS], strides: [0; MAX_DIMS], out: [0; MAX_DIMS] }
    }

    fn push(&mut self, size: usize, stride: isize, out: usize) {
        if self.ndim > 0 {
            let last = self.ndim - 1;
            let is_run = self.strides[last] == stride * size as isize && self.out[last] == out * size;
            if is_run {
                self.shape[last] *= size;
                self.strides[last] = stride;
                self.out[last] = out;
                return;
            }
        }
        assert!(self.ndim < MAX_DIMS, "Reduction: at most {MAX_DIMS} dimensions");
        self.shape[self.ndim] = size;
        self.strides[self.ndim] = stride;
        self.out[self.ndim] = out;
        self.ndim += 1;
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape[..self.ndim].iter().product()
    }

    /// Moves the dimension with the smallest stride to the end, keeping the order of the others.
    pub fn sorted(mut self) -> Self {
        if let Some(d) = (0..self.ndim).min_by_key(|&d| (self.strides[d].unsigned_abs(), self.ndim - d)) {
            self.shape[d..self.ndim].rotate_left(1);
            self.strides[d..self.ndim].rotate_left(1);
            self.out[d..self.ndim].rotate_left(1);
        }
        self
    }

    /// The last dimension: its size, stride and output stride. A list without dimensions has one of size 1.
    pub fn inner(&self) -> (usize, isize, usize) {
        match self.ndim {
            0 => (1, 0, 0),
            n => (self.shape[n - 1], self.strides[n - 1], self.out[n - 1]),
        }
    }

    /// All dimensions but the last.
    pub fn outer(mut self) -> Self {
        self.ndim = self.ndim.saturating_sub(1);
        self
    }

    /// Input and output offsets of element `index` in row-major order.
    pub fn offsets(&self, mut index: usize) -> (isize, usize) {
        let (mut input, mut output) = (0, 0);
        for d in (0..self.ndim).rev() {
            let i = index % self.shape[d];
            index /= self.shape[d];
            input += i as isize * self.strides[d];
            output += i * self.out[d];
        }
        (input, output)
    }
}

/// The loop nest of a reduction: an input's shape and strides, and which of its dimensions disappear.
///
/// The result is contiguous over the kept dimensions in their order; whether it is shown with dimensions of size 1 in
/// the others' places is the caller's matter.
#[derive(Clone, Debug)]
pub(crate) struct Reduction {
    pub(super) kept: Dims,
    pub(super) reduced: Dims,
    outputs: usize,
    terms: usize,
}

impl Reduction {
    /// The reduction of a tensor with this shape and these element strides over the dimensions marked in `is_reduced`.
    ///
    /// # Panics
    /// When the lists differ in length, or more than [`MAX_DIMS`] dimensions remain after merging.
    pub fn new(shape: &[usize], strides: &[isize], is_reduced: &[bool]) -> Self {
        assert!(shape.len() == strides.len() && shape.len() == is_reduced.len(), "Reduction: one entry per dimension");
        let product = |want: bool| -> usize {
            shape.iter().zip(is_reduced).filter(|&(_, &reduced)| reduced == want).map(|(&size, _)| size).product()
        };
        let (outputs, terms) = (product(false), product(true));
        let (mut kept, mut reduced) = (Dims::new(), Dims::new());
        let mut out = outputs;
        for d in 0..shape.len() {
            if is_reduced[d] {
                if shape[d] != 1 {
                    reduced.push(shape[d], strides[d], 0);
                }
            } else {
                out = out.checked_div(shape[d]).unwrap_or(0);
                if shape[d] != 1 {
                    kept.push(shape[d], strides[d], out);
                }
            }
        }
        Reduction { kept, reduced, outputs, terms }
    }

    /// The reduction of a view.
    ///
    /// # Panics
    /// As [`Reduction::new`], and when `outputs` is not how many results there are.
    pub fn of<T: Element>(x: &View<'_, T>, is_reduced: &[bool], outputs: usize) -> Self {
        let layout = Self::new(x.shape(), x.strides(), is_reduced);
        assert_eq!(outputs, layout.outputs, "Reduction: one place per result, for shape {:?}", x.shape());
        layout
    }

    /// How many results there are.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// How many elements make one result.
    pub fn terms(&self) -> usize {
        self.terms
    }
}
