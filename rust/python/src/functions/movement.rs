//! Shapes, views, concatenation, padding.

use crate::convert::{Number, int64, ints, lengths, tensor, tensors};
use crate::error::{guard, run};
use crate::tensor::{PyTensor, heavy, wrap};
use pyneuro_core::ops::{self, resolve_shape};
use pyneuro_core::{Tensor, ensure, err};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use smallvec::SmallVec;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;

/// The same elements in another shape, with one -1 worked out.
#[pyfunction]
fn reshape<'py>(x: &Bound<'py, PyAny>, shape: &Bound<'py, PyAny>) -> Out<'py> {
    let (t, shape) = (tensor("reshape", x)?, ints("reshape", shape)?);
    let py = x.py();
    wrap(py, run(py, heavy([&t]), || ops::reshape(&t, &resolve_shape("reshape", &shape, t.numel())?))?)
}

/// Dimensions in another order.
#[pyfunction]
fn permute<'py>(x: &Bound<'py, PyAny>, dims: &Bound<'py, PyAny>) -> Out<'py> {
    let (t, dims) = (tensor("permute", x)?, ints("permute", dims)?);
    wrap(x.py(), guard(|| ops::permute(&t, &dims))?)
}

/// Repeated along new and length-1 dimensions.
#[pyfunction]
fn expand<'py>(x: &Bound<'py, PyAny>, shape: &Bound<'py, PyAny>) -> Out<'py> {
    let (t, shape) = (tensor("expand", x)?, ints("expand", shape)?);
    wrap(x.py(), guard(|| crate::tensor::expand(&t, &shape))?)
}

/// Every `step`-th of `length` elements along `dim`, from `start`; `step` may be negative.
#[pyfunction]
fn slice<'py>(x: &Bound<'py, PyAny>, dim: i64, start: i64, step: isize, length: i64) -> Out<'py> {
    let t = tensor("slice", x)?;
    let made = guard(|| {
        let d = pyneuro_core::layout::normalize_dim("slice", dim, t.ndim())?;
        let (Ok(begin), Ok(n)) = (usize::try_from(start), usize::try_from(length)) else {
            return Err(err!(Index, "slice: start and length must not be negative, got {start} and {length}"));
        };
        ops::slice(&t, d, begin, step, n)
    })?;
    wrap(x.py(), made)
}

/// In reverse order along `dims`.
#[pyfunction]
fn flip<'py>(x: &Bound<'py, PyAny>, dims: &Bound<'py, PyAny>) -> Out<'py> {
    let (t, dims) = (tensor("flip", x)?, ints("flip", dims)?);
    let py = x.py();
    wrap(py, run(py, heavy([&t]), || ops::flip(&t, &dims))?)
}

/// The diagonal of the last two dimensions, as a view.
#[pyfunction]
#[pyo3(signature = (x, k=0))]
fn diagonal<'py>(x: &Bound<'py, PyAny>, k: i64) -> Out<'py> {
    let t = tensor("diagonal", x)?;
    wrap(x.py(), guard(|| ops::diagonal(&t, k))?)
}

/// One tensor after the other along `dim`.
#[pyfunction]
fn cat<'py>(parts: &Bound<'py, PyAny>, dim: i64) -> Out<'py> {
    let all = tensors("cat", parts)?;
    let py = parts.py();
    let long = all.iter().map(Tensor::numel).sum::<usize>() >= crate::tensor::HEAVY || heavy(&all);
    wrap(py, run(py, long, || ops::cat(&all, dim))?)
}

/// One tensor after the other along a new dimension.
#[pyfunction]
fn stack<'py>(parts: &Bound<'py, PyAny>, dim: i64) -> Out<'py> {
    let all = tensors("stack", parts)?;
    let py = parts.py();
    let long = all.iter().map(Tensor::numel).sum::<usize>() >= crate::tensor::HEAVY || heavy(&all);
    let made = run(py, long, || {
        let Some(first) = all.first() else {
            return Err(err!(Value, "stack: at least one tensor is required, got none"));
        };
        if let Some(other) = all.iter().find(|t| t.shape() != first.shape()) {
            let (a, b) = (first.shape(), other.shape());
            return Err(err!(Value, "stack: tensors of one shape are required, got {a:?} and {b:?}"));
        }
        let d = pyneuro_core::layout::normalize_dim("stack", dim, first.ndim() + 1)? as i64;
        let raised = all.iter().map(|t| ops::unsqueeze(t, d)).collect::<pyneuro_core::Result<Vec<_>>>()?;
        ops::cat(&raised, d)
    })?;
    wrap(py, made)
}

/// A border of one value; `pads` holds the widths before and after each dimension, the last dimension first as in torch.
#[pyfunction]
fn pad<'py>(x: &Bound<'py, PyAny>, pads: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> Out<'py> {
    let (t, widths) = (tensor("pad", x)?, ints("pad", pads)?);
    let value = Number::of("pad", value)?.as_f64();
    let py = x.py();
    let made = run(py, heavy([&t]), || {
        let (n, k) = (t.ndim(), widths.len());
        ensure!(
            k % 2 == 0 && k / 2 <= n,
            Value,
            "pad: an even number of widths, at most {}, is required, got {k}",
            2 * n
        );
        let mut pairs: SmallVec<[(i64, i64); 4]> = SmallVec::from_elem((0, 0), n);
        for (i, w) in widths.chunks_exact(2).enumerate() {
            pairs[n - 1 - i] = (w[0], w[1]);
        }
        ops::pad(&t, pairs, value)
    })?;
    wrap(py, made)
}

/// The shape that all shapes broadcast to.
#[pyfunction]
#[pyo3(signature = (*shapes))]
fn broadcast_shapes<'py>(py: Python<'py>, shapes: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    let mut out = pyneuro_core::layout::Shape::new();
    for shape in shapes.iter() {
        let shape = match shape.cast::<pyo3::types::PyInt>() {
            Ok(n) => lengths("broadcast_shapes", &[int64("broadcast_shapes", n)?])?,
            Err(_) => lengths("broadcast_shapes", &ints("broadcast_shapes", &shape)?)?,
        };
        out = guard(|| pyneuro_core::layout::broadcast("broadcast_shapes", &out, &shape))?;
    }
    crate::types::size(py, &out)
}

crate::register!(reshape, permute, expand, slice, flip, diagonal, cat, stack, pad, broadcast_shapes);
