//! Fused optimizer steps: one call for all parameters.

use crate::convert::{Number, tensors};
use crate::error::guard_detached;
use pyneuro_core::ops::attrs::Optim;
use pyneuro_core::ops::optim;
use pyo3::prelude::*;

type Arg<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// One step of stochastic gradient descent; without momentum `momentum_buffers` is empty.
#[pyfunction]
fn sgd_<'py>(
    py: Python<'py>,
    params: &Bound<'py, PyAny>,
    grads: &Bound<'py, PyAny>,
    momentum_buffers: &Bound<'py, PyAny>,
    lr: &Bound<'py, PyAny>,
    momentum: f64,
    dampening: f64,
    weight_decay: f64,
    nesterov: bool,
    maximize: bool,
    first_step: bool,
) -> PyResult<()> {
    const OP: &str = "sgd_";
    let (params, grads, buffers) = (tensors(OP, params)?, tensors(OP, grads)?, tensors(OP, momentum_buffers)?);
    let steps = vec![if first_step { 1 } else { 2 }; params.len()];
    let lr = Number::of(OP, lr)?.as_f64();
    let o = Optim { lr, momentum, dampening, weight_decay, nesterov, maximize, steps, ..Optim::default() };
    guard_detached(py, || {
        let all = [params.as_slice(), &grads, &buffers];
        optim::step(&optim::SGD, o, if buffers.is_empty() { &all[..2] } else { &all })
    })
}

/// One step of Adam or (with `decoupled` weight decay) AdamW; with `max_exp_avg_sqs` of their AMSGrad variants.
#[pyfunction]
fn adam_<'py>(
    py: Python<'py>,
    params: &Bound<'py, PyAny>,
    grads: &Bound<'py, PyAny>,
    exp_avgs: &Bound<'py, PyAny>,
    exp_avg_sqs: &Bound<'py, PyAny>,
    max_exp_avg_sqs: Arg<'_, 'py>,
    step: u64,
    lr: &Bound<'py, PyAny>,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    decoupled: bool,
    maximize: bool,
) -> PyResult<()> {
    const OP: &str = "adam_";
    let (params, grads) = (tensors(OP, params)?, tensors(OP, grads)?);
    let (averages, squares) = (tensors(OP, exp_avgs)?, tensors(OP, exp_avg_sqs)?);
    let greatest = max_exp_avg_sqs.filter(|m| !m.is_none()).map(|m| tensors(OP, m)).transpose()?;
    let lr = Number::of(OP, lr)?.as_f64();
    let steps = vec![step; params.len()];
    let o = Optim { lr, beta1, beta2, eps, weight_decay, decoupled, maximize, steps, ..Optim::default() };
    guard_detached(py, || {
        let mut all = vec![params.as_slice(), &grads, &averages, &squares];
        all.extend(greatest.as_deref());
        optim::step(&optim::ADAM, o, &all)
    })
}

crate::register!(sgd_, adam_);
