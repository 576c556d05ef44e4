//! Classification losses.

use crate::convert::{opt_tensor, tensor};
use crate::error::{run, to_py};
use crate::tensor::{PyTensor, heavy, wrap};
use pyneuro_core::err;
use pyneuro_core::ops::attrs::{Loss, Reduction};
use pyneuro_core::ops::loss;
use pyo3::prelude::*;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;
type Arg<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

fn reduction_of(op: &str, name: &str) -> PyResult<Reduction> {
    match name {
        "none" => Ok(Reduction::None),
        "mean" => Ok(Reduction::Mean),
        "sum" => Ok(Reduction::Sum),
        _ => Err(to_py(err!(Value, "{op}: reduction must be \"none\", \"mean\" or \"sum\", got {name:?}"))),
    }
}

/// Cross-entropy of logits with class indices.
#[pyfunction]
fn cross_entropy<'py>(
    logits: &Bound<'py, PyAny>,
    target: &Bound<'py, PyAny>,
    weight: Arg<'_, 'py>,
    ignore_index: i64,
    reduction: &str,
    label_smoothing: f64,
) -> Out<'py> {
    const OP: &str = "cross_entropy";
    let (x, t, w) = (tensor(OP, logits)?, tensor(OP, target)?, opt_tensor(OP, weight)?);
    let l = Loss { reduction: reduction_of(OP, reduction)?, ignore_index, label_smoothing };
    wrap(logits.py(), run(logits.py(), heavy([&x]), || loss::cross_entropy(&x, &t, w.as_ref(), l))?)
}

/// Negative log-likelihood of log-probabilities with class indices.
#[pyfunction]
fn nll_loss<'py>(
    log_probabilities: &Bound<'py, PyAny>,
    target: &Bound<'py, PyAny>,
    weight: Arg<'_, 'py>,
    ignore_index: i64,
    reduction: &str,
) -> Out<'py> {
    const OP: &str = "nll_loss";
    let (x, t, w) = (tensor(OP, log_probabilities)?, tensor(OP, target)?, opt_tensor(OP, weight)?);
    let l = Loss { reduction: reduction_of(OP, reduction)?, ignore_index, label_smoothing: 0.0 };
    let py = log_probabilities.py();
    wrap(py, run(py, heavy([&x]), || loss::nll_loss(&x, &t, w.as_ref(), l))?)
}

crate::register!(cross_entropy, nll_loss);
