//! The op list, by family.  [`list`] is all of it.

pub mod attrs;
pub mod conv;
pub mod creation;
pub mod elementwise;
pub mod expr;
pub mod index;
pub mod linalg;
pub mod loss;
pub mod movement;
pub mod norm;
pub mod optim;
pub mod pooling;
pub mod random;
pub mod reduce;
pub mod softmax;
pub mod sort;

pub use creation::{arange, full};
pub use elementwise::cast;
pub use movement::*;
pub use reduce::sum_to;

use crate::error::Result;
use crate::op::{Attrs, Grads, OpDef, call1};
use crate::tensor::Tensor;
use smallvec::smallvec;

/// Every op, each once: what the documentation, the bindings and the tests are generated from.
pub fn list() -> impl Iterator<Item = &'static OpDef> {
    let elementwise = elementwise::all().map(|(def, _)| def);
    let families = [
        movement::ALL,
        creation::ALL,
        random::ALL,
        reduce::ALL,
        linalg::ALL,
        index::ALL,
        sort::ALL,
        conv::ALL,
        pooling::ALL,
        softmax::ALL,
        norm::ALL,
        loss::ALL,
        optim::ALL,
    ];
    elementwise.chain([&elementwise::CAST]).chain(families.into_iter().flatten().copied())
}

/// The gradient of an op's only output.
#[inline]
pub(crate) fn g(grads: &[Option<Tensor>]) -> &Tensor {
    grads[0].as_ref().expect("a node with one output runs when that output has a gradient")
}

/// The gradients of an op with one input.
#[inline]
pub(crate) fn one(grad: Result<Tensor>) -> Result<Grads> {
    Ok(smallvec![Some(grad?)])
}

/// `a + b`.
#[inline]
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    call1(&elementwise::ADD, Attrs::None, &[a, b])
}

/// `a * b`.
#[inline]
pub fn mul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    call1(&elementwise::MUL, Attrs::None, &[a, b])
}

/// A number that gives way to the dtype of the tensor beside it.
pub fn scalar_like(value: f64, beside: &Tensor) -> Result<Tensor> {
    Tensor::scalar(value, beside.dtype().to_float())
}

/// `t` times a number.
pub fn mul_scalar(t: &Tensor, value: f64) -> Result<Tensor> {
    mul(t, &scalar_like(value, t)?)
}

/// Outer, own and inner lengths around a dim.
pub(crate) fn around(shape: &[usize], dim: usize) -> [usize; 3] {
    [
        shape[..dim].iter().product(),
        shape.get(dim).copied().unwrap_or(1),
        shape.get(dim + 1..).map_or(1, |s| s.iter().product()),
    ]
}

/// Runs a float kernel on row-major operands: half precision is widened to float32 on the way in and rounded once on the
/// way out.
pub(crate) fn float_kernel(x: &[&Tensor], out: &[Tensor], kernel: impl FnOnce(&[Tensor], &[Tensor])) -> Result<()> {
    use crate::dtype::DType;
    let wide = if out[0].dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let x: smallvec::SmallVec<[Tensor; 4]> = crate::autograd::no_grad(|| {
        x.iter()
            .map(|t| if t.dtype().is_float() { cast(&contiguous(t)?, wide) } else { contiguous(t) })
            .collect::<Result<_>>()
    })?;
    if out.iter().all(|t| !t.dtype().is_float() || t.dtype() == wide) {
        kernel(&x, out);
        return Ok(());
    }
    let temporary: smallvec::SmallVec<[Tensor; 2]> = out
        .iter()
        .map(|t| if t.dtype().is_float() { Tensor::empty(t.shape(), wide) } else { Ok(t.clone()) })
        .collect::<Result<_>>()?;
    kernel(&x, &temporary);
    for (from, to) in temporary.iter().zip(out) {
        if from.dtype() != to.dtype() {
            elementwise::convert_into(from, to);
        }
    }
    Ok(())
}
