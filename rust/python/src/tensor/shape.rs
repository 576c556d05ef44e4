//! Methods that show the same elements in another shape.

use super::{PyTensor, wrap, wrap_or_self};
use crate::convert::{int_or_ints, lengths, varargs};
use crate::error::guard;
use pyneuro_core::layout::normalize_dim;
use pyneuro_core::ops::{self, resolve_shape};
use pyneuro_core::{Result, Tensor, bail, ensure};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Without the length-1 dimensions among `dims`, or without any.
fn squeeze(t: &Tensor, dims: Option<&[i64]>) -> Result<Tensor> {
    let mut drop = vec![dims.is_none(); t.ndim()];
    for &d in dims.unwrap_or_default() {
        let d = normalize_dim("squeeze", d, t.ndim())?;
        if let Some(slot) = drop.get_mut(d) {
            *slot = true;
        }
    }
    let kept: Vec<usize> =
        t.shape().iter().zip(drop).filter(|&(&n, drop)| !(drop && n == 1)).map(|(&n, _)| n).collect();
    ops::view(t, &kept)
}

/// With the dimensions `start..=end` merged into one.
pub fn flatten(t: &Tensor, start: i64, end: i64) -> Result<Tensor> {
    let (a, b) = (normalize_dim("flatten", start, t.ndim())?, normalize_dim("flatten", end, t.ndim())?);
    ensure!(a <= b, Value, "flatten: start_dim must not come after end_dim, got {start} and {end}");
    if t.ndim() == 0 {
        return ops::reshape(t, &[1]);
    }
    if a == b {
        return Ok(t.clone());
    }
    let mut shape = t.shape()[..a].to_vec();
    shape.push(t.shape()[a..=b].iter().product());
    shape.extend_from_slice(&t.shape()[b + 1..]);
    ops::reshape(t, &shape)
}

/// `expand` with -1 for "as it is".
pub fn expand(t: &Tensor, given: &[i64]) -> Result<Tensor> {
    ensure!(
        given.len() >= t.ndim(),
        Value,
        "expand: at least {} lengths are required for shape {:?}, got {given:?}",
        t.ndim(),
        t.shape()
    );
    let lead = given.len() - t.ndim();
    let mut shape = Vec::with_capacity(given.len());
    for (i, &n) in given.iter().enumerate() {
        shape.push(match n {
            -1 if i >= lead => t.shape()[i - lead],
            n if n >= 0 => n as usize,
            _ => bail!(Value, "expand: lengths must be non-negative, or -1 for a dimension that exists, got {given:?}"),
        });
    }
    ops::expand(t, &shape)
}

#[pymethods]
impl PyTensor {
    /// The same elements in another shape, never copied.
    #[pyo3(signature = (*shape))]
    fn view<'py>(slf: &Bound<'py, Self>, shape: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        let given = varargs("view", shape)?;
        wrap(slf.py(), guard(|| ops::view(&t, &resolve_shape("view", &given, t.numel())?))?)
    }

    /// The same elements in another shape; copied only where strides cannot express it.
    #[pyo3(signature = (*shape))]
    fn reshape<'py>(slf: &Bound<'py, Self>, shape: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        let given = varargs("reshape", shape)?;
        wrap(slf.py(), guard(|| ops::reshape(&t, &resolve_shape("reshape", &given, t.numel())?))?)
    }

    /// With the dimensions in another order.
    #[pyo3(signature = (*dims))]
    fn permute<'py>(slf: &Bound<'py, Self>, dims: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        let dims = varargs("permute", dims)?;
        wrap(slf.py(), guard(|| ops::permute(&t, &dims))?)
    }

    /// With two dimensions exchanged.
    fn transpose<'py>(slf: &Bound<'py, Self>, dim0: i64, dim1: i64) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        wrap(slf.py(), guard(|| ops::transpose(&t, dim0, dim1))?)
    }

    /// The transposed matrix; vectors and 0-d tensors as they are.
    fn t<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        wrap(
            slf.py(),
            guard(|| {
                ensure!(t.ndim() <= 2, Value, "t: at most 2 dimensions are required, got shape {:?}", t.shape());
                ops::transpose(&t, 0, -1)
            })?,
        )
    }

    /// Repeated along new and length-1 dimensions without copying; -1 leaves a dimension as it is.
    #[pyo3(signature = (*size))]
    fn expand<'py>(slf: &Bound<'py, Self>, size: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        let given = varargs("expand", size)?;
        wrap(slf.py(), guard(|| expand(&t, &given))?)
    }

    /// Expanded to the shape of another tensor.
    fn expand_as<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        let other = crate::convert::tensor("expand_as", other)?;
        wrap(slf.py(), guard(|| ops::expand(&t, other.shape()))?)
    }

    /// Without dimensions of length 1: all of them, or those among `dim`.
    #[pyo3(signature = (dim=None))]
    fn squeeze<'py>(slf: &Bound<'py, Self>, dim: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        let dims = dim.filter(|d| !d.is_none()).map(|d| int_or_ints("squeeze", d)).transpose()?;
        wrap(slf.py(), guard(|| squeeze(&t, dims.as_deref()))?)
    }

    /// With a new dimension of length 1.
    fn unsqueeze<'py>(slf: &Bound<'py, Self>, dim: i64) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        wrap(slf.py(), guard(|| ops::unsqueeze(&t, dim))?)
    }

    /// With the dimensions `start_dim` to `end_dim` merged into one.
    #[pyo3(signature = (start_dim=0, end_dim=-1))]
    fn flatten<'py>(slf: &Bound<'py, Self>, start_dim: i64, end_dim: i64) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        wrap_or_self(slf, guard(|| flatten(&t, start_dim, end_dim))?)
    }

    /// The elements `start` to `start + length - 1` along a dimension.
    fn narrow<'py>(slf: &Bound<'py, Self>, dim: i64, start: i64, length: i64) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        let made = guard(|| {
            ensure!(t.ndim() > 0, Value, "narrow: at least 1 dimension is required, got a 0-d tensor");
            let d = normalize_dim("narrow", dim, t.ndim())?;
            let n = t.shape()[d] as i64;
            let begin = if start < 0 { start + n } else { start };
            ensure!(
                (0..=n).contains(&begin) && length >= 0 && length <= n - begin,
                Index,
                "narrow: elements {start} to {start} + {length} must lie in a dimension of length {n}"
            );
            ops::slice(&t, d, begin as usize, 1, length as usize)
        })?;
        wrap(slf.py(), made)
    }

    /// One index of a dimension, which disappears.
    fn select<'py>(slf: &Bound<'py, Self>, dim: i64, index: i64) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        wrap(slf.py(), guard(|| ops::select(&t, dim, index))?)
    }

    /// A new tensor of the given shape, of this one's dtype and device, filled with 0.
    #[pyo3(signature = (*size, dtype=None, device=None))]
    fn new_zeros<'py>(
        slf: &Bound<'py, Self>,
        size: &Bound<'py, PyTuple>,
        dtype: Option<&Bound<'py, PyAny>>,
        device: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        new_filled(slf, "new_zeros", size, 0.0, dtype, device)
    }

    /// A new tensor of the given shape, of this one's dtype and device, filled with 1.
    #[pyo3(signature = (*size, dtype=None, device=None))]
    fn new_ones<'py>(
        slf: &Bound<'py, Self>,
        size: &Bound<'py, PyTuple>,
        dtype: Option<&Bound<'py, PyAny>>,
        device: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        new_filled(slf, "new_ones", size, 1.0, dtype, device)
    }
}

fn new_filled<'py>(
    like: &Bound<'py, PyTensor>,
    op: &str,
    size: &Bound<'py, PyTuple>,
    value: f64,
    dtype: Option<&Bound<'py, PyAny>>,
    device: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyTensor>> {
    let t = like.get().get();
    let shape = lengths(op, &varargs(op, size)?)?;
    let dtype = crate::types::opt_dtype(dtype)?.unwrap_or(t.dtype());
    let device = crate::types::opt_device(device)?.unwrap_or(t.device());
    wrap(like.py(), guard(|| ops::full(&shape, value, dtype, device))?)
}
