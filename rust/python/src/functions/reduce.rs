//! Reductions.

#![allow(
    unsafe_op_in_unsafe_fn,
    reason = "PyO3's expansion, which the lint sees where a macro of ours holds the methods"
)]

use crate::convert::{int_or_ints, tensor};
use crate::error::run;
use crate::tensor::{PyTensor, heavy, wrap};
use crate::types::opt_dtype;
use pyneuro_core::op::{Attrs, OpDef, call1};
use pyneuro_core::ops::attrs::{Dims, Reduce};
use pyneuro_core::ops::{self, reduce as r};
use pyneuro_core::{DType, Tensor};
use pyo3::prelude::*;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;
type Arg<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

fn dims_of(op: &str, dims: Arg<'_, '_>) -> PyResult<Option<Dims>> {
    dims.filter(|d| !d.is_none()).map(|d| Ok(int_or_ints(op, d)?.into_iter().collect())).transpose()
}

fn reduced<'py>(
    def: &'static OpDef,
    x: &Bound<'py, PyAny>,
    dims: Arg<'_, 'py>,
    keepdim: bool,
    dtype: Option<DType>,
    correction: f64,
) -> Out<'py> {
    let (t, dims) = (tensor(def.name, x)?, dims_of(def.name, dims)?);
    let made = run(x.py(), heavy([&t]), || {
        let t = ops::cast(&t, dtype.unwrap_or(t.dtype()))?;
        let out = call1(def, Attrs::Reduce(Reduce { dims, keepdim, dtype, correction }), &[&t])?;
        // Integers add up in int64; asked for a narrower one, the result is converted.
        ops::cast(&out, dtype.unwrap_or(out.dtype()))
    })?;
    wrap(x.py(), made)
}

macro_rules! with_dtype { ($($name:ident $def:ident $doc:literal),*) => { $(
    #[doc = $doc]
    #[pyfunction]
    #[pyo3(signature = (x, dims=None, keepdim=false, dtype=None))]
    fn $name<'py>(x: &Bound<'py, PyAny>, dims: Arg<'_, 'py>, keepdim: bool, dtype: Arg<'_, 'py>) -> Out<'py> {
        reduced(&r::$def, x, dims, keepdim, opt_dtype(dtype)?, 0.0)
    }
)* } }
with_dtype!(
    sum SUM "The sum over `dims` (None: all).",
    mean MEAN "The mean over `dims` (None: all).",
    prod PROD "The product over `dims` (None: all)."
);

macro_rules! plain { ($($name:ident $def:ident $doc:literal),*) => { $(
    #[doc = $doc]
    #[pyfunction]
    #[pyo3(signature = (x, dims=None, keepdim=false))]
    fn $name<'py>(x: &Bound<'py, PyAny>, dims: Arg<'_, 'py>, keepdim: bool) -> Out<'py> {
        reduced(&r::$def, x, dims, keepdim, None, 0.0)
    }
)* } }
plain!(
    amax AMAX "The greatest element over `dims`.",
    amin AMIN "The smallest element over `dims`.",
    any ANY "Whether some element over `dims` is non-zero.",
    all ALL_TRUE "Whether every element over `dims` is non-zero.",
    argmax ARGMAX "Index of the greatest element along one dim, or in the flattened tensor.",
    argmin ARGMIN "Index of the smallest element along one dim, or in the flattened tensor."
);

/// The variance over `dims`: the sum of squares divided by n - correction.
#[pyfunction]
fn var<'py>(x: &Bound<'py, PyAny>, dims: Arg<'_, 'py>, correction: f64, keepdim: bool) -> Out<'py> {
    reduced(&r::VAR, x, dims, keepdim, None, correction)
}

fn with_index<'py>(
    def: &'static OpDef,
    x: &Bound<'py, PyAny>,
    dim: i64,
    keepdim: bool,
) -> PyResult<(Bound<'py, PyTensor>, Bound<'py, PyTensor>)> {
    let t: Tensor = tensor(def.name, x)?;
    let (values, indices) = run(x.py(), heavy([&t]), || r::extreme_with_index(def, &t, dim, keepdim))?;
    Ok((wrap(x.py(), values)?, wrap(x.py(), indices)?))
}

/// The greatest element along a dim and its index, the first of equals.
#[pyfunction]
fn max_dim<'py>(
    x: &Bound<'py, PyAny>,
    dim: i64,
    keepdim: bool,
) -> PyResult<(Bound<'py, PyTensor>, Bound<'py, PyTensor>)> {
    with_index(&r::MAX, x, dim, keepdim)
}

/// The smallest element along a dim and its index, the first of equals.
#[pyfunction]
fn min_dim<'py>(
    x: &Bound<'py, PyAny>,
    dim: i64,
    keepdim: bool,
) -> PyResult<(Bound<'py, PyTensor>, Bound<'py, PyTensor>)> {
    with_index(&r::MIN, x, dim, keepdim)
}

crate::register!(sum, mean, prod, amax, amin, any, all, argmax, argmin, var, max_dim, min_dim);
