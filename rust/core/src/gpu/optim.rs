//! Optimizer steps for one parameter, in place.

use super::launch::Launch;
use super::shader::ShaderKey;
use super::transfer::{copy_into, dense};
use crate::dtype::DType;
use crate::ensure;
use crate::error::Result;
use crate::ops::attrs::Optim;
use crate::tensor::Tensor;
use smallvec::SmallVec;

const GROUP: usize = 256;

/// Runs `step` on contiguous forms of `state`, and writes those that had to be copied back.
fn in_place<const N: usize>(
    op: &str,
    state: [&Tensor; N],
    step: impl FnOnce([&Tensor; N]) -> Result<()>,
) -> Result<()> {
    for t in state {
        ensure!(t.dtype() == DType::F32, Type, "{op}: GPUs update float32 parameters only, got {}", t.dtype());
    }
    if state.iter().all(|t| t.is_contiguous()) {
        return step(state);
    }
    let copies: SmallVec<[Tensor; 4]> = state.iter().map(|t| dense(t)).collect::<Result<_>>()?;
    step(std::array::from_fn(|i| &copies[i]))?;
    for (t, copy) in state.iter().zip(&copies) {
        if !t.is_contiguous() {
            copy_into(copy, t)?;
        }
    }
    Ok(())
}

fn sign(o: &Optim) -> f64 {
    if o.maximize { -1.0 } else { 1.0 }
}

/// One step of SGD; `momentum` is the momentum buffer, where there is momentum.
pub fn sgd(o: &Optim, step_number: u64, param: &Tensor, grad: &Tensor, momentum: Option<&Tensor>) -> Result<()> {
    let grad = &dense(grad)?;
    let step = |param: &Tensor, momentum: Option<&Tensor>| -> Result<()> {
        let key = ShaderKey::new("sgd").when(momentum.is_some(), "MOMENTUM").when(o.nesterov, "NESTEROV");
        let mut call = Launch::new("sgd", key, param);
        let param_offset = call.output(param)?;
        let momentum_offset = momentum.map_or(Ok(0), |t| call.output(t))?;
        let grad_offset = call.input(grad)?;
        let binding = call.bound().to_string();
        call.define("GRAD_BINDING", binding);
        call.size(param.numel()).word(param_offset).word(momentum_offset).word(grad_offset);
        call.float(o.lr).float(o.momentum).float(1.0 - o.dampening).float(o.weight_decay);
        call.float(sign(o)).word(u32::from(step_number <= 1));
        call.record(param.numel().div_ceil(GROUP))
    };
    match momentum {
        Some(momentum) => in_place("sgd", [param, momentum], |[param, momentum]| step(param, Some(momentum))),
        None => in_place("sgd", [param], |[param]| step(param, None)),
    }
}

/// One step of Adam, or of AdamW where the decay is decoupled; `max_square` is there for AMSGrad.
pub fn adam(
    o: &Optim,
    step_number: u64,
    param: &Tensor,
    grad: &Tensor,
    mean: &Tensor,
    square: &Tensor,
    max_square: Option<&Tensor>,
) -> Result<()> {
    let grad = &dense(grad)?;
    let step = |param: &Tensor, mean: &Tensor, square: &Tensor, max_square: Option<&Tensor>| -> Result<()> {
        let mut call = Launch::new("adam", ShaderKey::new("adam").when(max_square.is_some(), "AMSGRAD"), param);
        let param_offset = call.output(param)?;
        let mean_offset = call.output(mean)?;
        let square_offset = call.output(square)?;
        let max_offset = max_square.map_or(Ok(0), |t| call.output(t))?;
        let grad_offset = call.input(grad)?;
        let binding = call.bound().to_string();
        call.define("GRAD_BINDING", binding);
        call.size(param.numel()).word(param_offset).word(mean_offset).word(square_offset);
        call.word(grad_offset).word(max_offset);
        // What depends on the step number is data, so one pipeline serves every step.
        call.float(o.lr / (1.0 - o.beta1.powf(step_number as f64)))
            .float(1.0 / (1.0 - o.beta2.powf(step_number as f64)).sqrt());
        call.float(o.beta1).float(o.beta2).float(1.0 - o.beta1).float(1.0 - o.beta2).float(o.eps);
        let (decay, shrink) = if o.decoupled { (0.0, 1.0 - o.lr * o.weight_decay) } else { (o.weight_decay, 1.0) };
        call.float(decay).float(shrink).float(sign(o));
        call.record(param.numel().div_ceil(GROUP))
    };
    match max_square {
        Some(max) => in_place("adam", [param, mean, square, max], |[p, m, s, max]| step(p, m, s, Some(max))),
        None => in_place("adam", [param, mean, square], |[p, m, s]| step(p, m, s, None)),
    }
}
