//! Softmax and normalisation.

use crate::convert::{ints, lengths, opt_tensor, tensor};
use crate::error::run;
use crate::tensor::{PyTensor, heavy, wrap};
use pyneuro_core::ensure;
use pyneuro_core::op::{Attrs, OpDef, call1};
use pyneuro_core::ops::{norm, softmax as s};
use pyo3::prelude::*;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;
type Arg<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

fn along<'py>(def: &'static OpDef, x: &Bound<'py, PyAny>, dim: i64) -> Out<'py> {
    let t = tensor(def.name, x)?;
    wrap(x.py(), run(x.py(), heavy([&t]), || call1(def, Attrs::Dim(dim), &[&t]))?)
}

/// exp(x) / sum exp(x) along `dim`.
#[pyfunction]
fn softmax<'py>(x: &Bound<'py, PyAny>, dim: i64) -> Out<'py> {
    along(&s::SOFTMAX, x, dim)
}

/// The logarithm of `softmax`.
#[pyfunction]
fn log_softmax<'py>(x: &Bound<'py, PyAny>, dim: i64) -> Out<'py> {
    along(&s::LOG_SOFTMAX, x, dim)
}

/// Normalisation over the last dimensions.
#[pyfunction]
fn layer_norm<'py>(
    x: &Bound<'py, PyAny>,
    normalized_shape: &Bound<'py, PyAny>,
    weight: Arg<'_, 'py>,
    bias: Arg<'_, 'py>,
    eps: f64,
) -> Out<'py> {
    const OP: &str = "layer_norm";
    let (t, w, b) = (tensor(OP, x)?, opt_tensor(OP, weight)?, opt_tensor(OP, bias)?);
    let shape = lengths(OP, &ints(OP, normalized_shape)?)?;
    wrap(x.py(), run(x.py(), heavy([&t]), || norm::layer_norm(&t, &shape, w.as_ref(), b.as_ref(), eps))?)
}

/// Normalisation of each channel over the batch; moves the running statistics when training.
#[pyfunction]
fn batch_norm<'py>(
    x: &Bound<'py, PyAny>,
    weight: Arg<'_, 'py>,
    bias: Arg<'_, 'py>,
    running_mean: Arg<'_, 'py>,
    running_var: Arg<'_, 'py>,
    training: bool,
    momentum: f64,
    eps: f64,
) -> Out<'py> {
    const OP: &str = "batch_norm";
    let (t, w, b) = (tensor(OP, x)?, opt_tensor(OP, weight)?, opt_tensor(OP, bias)?);
    let (mean, var) = (opt_tensor(OP, running_mean)?, opt_tensor(OP, running_var)?);
    let made = run(x.py(), heavy([&t]), || {
        ensure!(
            mean.is_some() == var.is_some(),
            Value,
            "batch_norm: running_mean and running_var must be given together, got one of them"
        );
        norm::batch_norm(&t, w.as_ref(), b.as_ref(), mean.as_ref().zip(var.as_ref()), training, momentum, eps)
    })?;
    wrap(x.py(), made)
}

crate::register!(softmax, log_softmax, layer_norm, batch_norm);
