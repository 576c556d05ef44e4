//! Reading and writing at positions given by tensors.

use crate::convert::{operand_of, tensor};
use crate::error::run;
use crate::tensor::{PyTensor, heavy, wrap};
use pyneuro_core::op::{Attrs, OpDef, call1};
use pyneuro_core::ops::{self, elementwise, index};
use pyneuro_core::{DType, ensure};
use pyo3::prelude::*;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;

fn along<'py>(def: &'static OpDef, x: &Bound<'py, PyAny>, dim: i64, more: &[&Bound<'py, PyAny>]) -> Out<'py> {
    let t = tensor(def.name, x)?;
    let more = more.iter().map(|m| tensor(def.name, m)).collect::<PyResult<Vec<_>>>()?;
    let mut inputs = vec![&t];
    inputs.extend(&more);
    wrap(x.py(), run(x.py(), heavy(inputs.iter().copied()), || call1(def, Attrs::Dim(dim), &inputs))?)
}

/// The slices along `dim` that a 1-d index names.
#[pyfunction]
fn index_select<'py>(x: &Bound<'py, PyAny>, dim: i64, index: &Bound<'py, PyAny>) -> Out<'py> {
    along(&index::INDEX_SELECT, x, dim, &[index])
}

/// The input with slices of `source` added to those that a 1-d index names.
#[pyfunction]
fn index_add<'py>(x: &Bound<'py, PyAny>, dim: i64, index: &Bound<'py, PyAny>, source: &Bound<'py, PyAny>) -> Out<'py> {
    along(&index::INDEX_ADD, x, dim, &[index, source])
}

/// For each index the element at that position along `dim`.
#[pyfunction]
fn gather<'py>(x: &Bound<'py, PyAny>, dim: i64, index: &Bound<'py, PyAny>) -> Out<'py> {
    along(&index::GATHER, x, dim, &[index])
}

/// The input with elements of `source` written where the index says.
#[pyfunction]
fn scatter<'py>(x: &Bound<'py, PyAny>, dim: i64, index: &Bound<'py, PyAny>, source: &Bound<'py, PyAny>) -> Out<'py> {
    along(&index::SCATTER, x, dim, &[index, source])
}

/// The input with elements of `source` added where the index says.
#[pyfunction]
fn scatter_add<'py>(
    x: &Bound<'py, PyAny>,
    dim: i64,
    index: &Bound<'py, PyAny>,
    source: &Bound<'py, PyAny>,
) -> Out<'py> {
    along(&index::SCATTER_ADD, x, dim, &[index, source])
}

/// `value` where the mask is true, else the input, in the input's dtype.
#[pyfunction]
fn masked_fill<'py>(x: &Bound<'py, PyAny>, mask: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> Out<'py> {
    let (t, mask, value) =
        (tensor("masked_fill", x)?, tensor("masked_fill", mask)?, operand_of("masked_fill", value, None)?);
    let made = run(x.py(), heavy([&t, &mask]), || {
        ensure!(mask.dtype() == DType::Bool, Type, "masked_fill: a bool mask is required, got {}", mask.dtype());
        ensure!(value.ndim() == 0, Value, "masked_fill: one value is required, got shape {:?}", value.shape());
        call1(&elementwise::WHERE, Attrs::None, &[&mask, &ops::cast(&value, t.dtype())?, &t])
    })?;
    wrap(x.py(), made)
}

/// The elements where the mask is true; both broadcast together.
#[pyfunction]
fn masked_select<'py>(x: &Bound<'py, PyAny>, mask: &Bound<'py, PyAny>) -> Out<'py> {
    let (t, mask) = (tensor("masked_select", x)?, tensor("masked_select", mask)?);
    let made = run(x.py(), heavy([&t]), || {
        let shape = pyneuro_core::layout::broadcast("masked_select", t.shape(), mask.shape())?;
        call1(&index::MASKED_SELECT, Attrs::None, &[&ops::expand(&t, &shape)?, &ops::expand(&mask, &shape)?])
    })?;
    wrap(x.py(), made)
}

/// The coordinates of all non-zero elements, one row each.
#[pyfunction]
fn nonzero<'py>(x: &Bound<'py, PyAny>) -> Out<'py> {
    let t = tensor("nonzero", x)?;
    wrap(x.py(), run(x.py(), heavy([&t]), || index::nonzero(&t))?)
}

/// The rows of `weight` named by `index`; the row `padding` gets no gradient.
#[pyfunction]
#[pyo3(signature = (weight, index, padding=None))]
fn embedding<'py>(weight: &Bound<'py, PyAny>, index: &Bound<'py, PyAny>, padding: Option<i64>) -> Out<'py> {
    let (w, i) = (tensor("embedding", weight)?, tensor("embedding", index)?);
    let work = i.numel().saturating_mul(w.shape().last().copied().unwrap_or(1));
    wrap(
        weight.py(),
        run(weight.py(), work >= crate::tensor::HEAVY || heavy([&w, &i]), || index::embedding(&w, &i, padding))?,
    )
}

fn triangle<'py>(def: &'static OpDef, x: &Bound<'py, PyAny>, diagonal: i64) -> Out<'py> {
    let t = tensor(def.name, x)?;
    wrap(x.py(), run(x.py(), heavy([&t]), || call1(def, Attrs::Diagonal(diagonal), &[&t]))?)
}

/// The elements on and below a diagonal, zero above.
#[pyfunction]
#[pyo3(signature = (x, diagonal=0))]
fn tril<'py>(x: &Bound<'py, PyAny>, diagonal: i64) -> Out<'py> {
    triangle(&index::TRIL, x, diagonal)
}

/// The elements on and above a diagonal, zero below.
#[pyfunction]
#[pyo3(signature = (x, diagonal=0))]
fn triu<'py>(x: &Bound<'py, PyAny>, diagonal: i64) -> Out<'py> {
    triangle(&index::TRIU, x, diagonal)
}

/// Writes over (or, with `accumulate`, adds to) the elements named by one index tensor (or None) per dimension.
#[pyfunction]
#[pyo3(signature = (x, indices, value, accumulate=false))]
fn index_put_<'py>(
    x: &Bound<'py, PyAny>,
    indices: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
    accumulate: bool,
) -> PyResult<()> {
    let (t, value) = (tensor("index_put_", x)?, operand_of("index_put_", value, None)?);
    let indices = indices.try_iter()?.map(|i| crate::convert::opt_tensor("index_put_", Some(&i?)));
    let indices = indices.collect::<PyResult<Vec<_>>>()?;
    run(x.py(), heavy([&t]), || index::index_put(&t, &indices, &value, accumulate))
}

crate::register!(
    index_select,
    index_add,
    gather,
    scatter,
    scatter_add,
    masked_fill,
    masked_select,
    nonzero,
    embedding,
    tril,
    triu,
    index_put_,
);
