//! Fused optimizer steps: one call updates every parameter.
//!
//! These two ops write into their inputs and have no results; [`step`] is how to call them.

use super::attrs::Optim;
use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::optim as gpu;
use crate::op::{Attrs, Cpu, Gpu, Metas, OpDef, Tensors, Vjp, call};
use crate::storage::Device;
use crate::tensor::Tensor;
use crate::{attrs, bail, dispatch, ensure};
use pyneuro_kernels::optim::{self, AdamParam, SgdParam};

/// Every op of this file.
pub const ALL: &[&OpDef] = &[&SGD, &ADAM];

/// Checks the columns of an optimizer's table: `rows` parameters, then their gradients, then their states.
fn infer(name: &str, attrs: &Attrs, x: &[&Tensor]) -> Result<Metas> {
    let rows = attrs!(attrs, Optim).steps.len();
    ensure!(
        rows > 0 && x.len().is_multiple_of(rows),
        Value,
        "{name}: one gradient and state per parameter are required, got {} tensors for {rows} parameters",
        x.len()
    );
    for (i, t) in x.iter().enumerate() {
        let p = x[i % rows];
        ensure!(p.dtype().is_float(), Type, "{name}: parameters must be floating-point, got {}", p.dtype());
        ensure!(
            t.shape() == p.shape() && t.dtype() == p.dtype() && t.device() == p.device(),
            Value,
            "{name}: gradients and states must match their parameter ({:?}, {}, {}), got {:?}, {}, {}",
            p.shape(),
            p.dtype(),
            p.device(),
            t.shape(),
            t.dtype(),
            t.device()
        );
        let written = i < rows || i >= 2 * rows;
        ensure!(!written || t.is_contiguous(), Value, "{name}: parameters and states must be contiguous");
    }
    Ok(Metas::new())
}

/// Stochastic gradient descent with momentum (Sutskever et al. 2013), in torch's form.
///
/// Inputs: parameters, gradients, and momentum buffers if there is momentum.
pub static SGD: OpDef = OpDef {
    name: "sgd",
    infer: |attrs, x| infer("sgd", attrs, x),
    vjp: Vjp::None { why: "it updates parameters in place" },
    cpu: Cpu::Dynamic(|attrs, x| {
        let o = attrs!(attrs, Optim);
        let settings = optim::Sgd {
            lr: o.lr,
            momentum: o.momentum,
            dampening: o.dampening,
            weight_decay: o.weight_decay,
            nesterov: o.nesterov,
            maximize: o.maximize,
        };
        let n = o.steps.len();
        by_dtype(x, n, |dtype, rows, x| {
            dispatch!(dtype, T in float => {
                let mut params: Vec<_> = rows.iter().map(|&i| SgdParam::<T> {
                    param: x[i].slice_mut(),
                    grad: x[n + i].slice(),
                    momentum: x.get(2 * n + i).map(|t| t.slice_mut()),
                    is_first: o.steps[i] <= 1,
                }).collect();
                optim::sgd(&settings, &mut params);
            }, _ => unreachable!());
        })
    }),
    gpu: Gpu::Dynamic(|attrs, x| {
        let o = attrs!(attrs, Optim);
        let n = o.steps.len();
        for (i, &step) in o.steps.iter().enumerate() {
            gpu::sgd(o, step, x[i], x[n + i], x.get(2 * n + i).copied())?;
        }
        Ok(Tensors::new())
    }),
    reference: None,
    elementwise: false,
};

/// Adam (Kingma, Ba 2014, arXiv 1412.6980), with AdamW's decoupled weight decay (Loshchilov, Hutter 2017, arXiv
/// 1711.05101) and AMSGrad (Reddi et al. 2018), in torch's form.
///
/// Inputs: parameters, gradients, averages, averages of squares, and their greatest values for AMSGrad.
pub static ADAM: OpDef = OpDef {
    name: "adam",
    infer: |attrs, x| infer("adam", attrs, x),
    vjp: Vjp::None { why: "it updates parameters in place" },
    cpu: Cpu::Dynamic(|attrs, x| {
        let o = attrs!(attrs, Optim);
        let settings = optim::Adam {
            lr: o.lr,
            beta1: o.beta1,
            beta2: o.beta2,
            eps: o.eps,
            weight_decay: o.weight_decay,
            decoupled: o.decoupled,
            maximize: o.maximize,
        };
        let n = o.steps.len();
        by_dtype(x, n, |dtype, rows, x| {
            dispatch!(dtype, T in float => {
                let mut params: Vec<_> = rows.iter().map(|&i| AdamParam::<T> {
                    param: x[i].slice_mut(),
                    grad: x[n + i].slice(),
                    exp_avg: x[2 * n + i].slice_mut(),
                    exp_avg_sq: x[3 * n + i].slice_mut(),
                    max_exp_avg_sq: x.get(4 * n + i).map(|t| t.slice_mut()),
                    step: o.steps[i],
                }).collect();
                optim::adam(&settings, &mut params);
            }, _ => unreachable!());
        })
    }),
    gpu: Gpu::Dynamic(|attrs, x| {
        let o = attrs!(attrs, Optim);
        let n = o.steps.len();
        for (i, &step) in o.steps.iter().enumerate() {
            gpu::adam(o, step, x[i], x[n + i], x[2 * n + i], x[3 * n + i], x.get(4 * n + i).copied())?;
        }
        Ok(Tensors::new())
    }),
    reference: None,
    elementwise: false,
};

/// Runs `step` on the float32 parameters, then on the float64 ones; half precision is stepped in float32 and rounded.
fn by_dtype(x: &[&Tensor], n: usize, step: impl Fn(DType, &[usize], &[Tensor])) -> Result<Tensors> {
    let mut tensors: Vec<Tensor> = Vec::with_capacity(x.len());
    for (i, t) in x.iter().enumerate() {
        let t = if i / n == 1 { crate::autograd::no_grad(|| super::contiguous(t))? } else { (*t).clone() };
        let half = matches!(t.dtype(), DType::F16 | DType::BF16);
        tensors.push(if half { super::elementwise::converted(&t, DType::F32)? } else { t });
    }
    for dtype in [DType::F32, DType::F64] {
        let rows: Vec<usize> = (0..n).filter(|&i| tensors[i].dtype() == dtype).collect();
        if !rows.is_empty() {
            step(dtype, &rows, &tensors);
        }
    }
    for (i, (t, original)) in tensors.iter().zip(x).enumerate() {
        if i / n != 1 && t.dtype() != original.dtype() {
            super::elementwise::convert_into(t, original);
        }
    }
    Ok(Tensors::new())
}

/// Runs an optimizer op over its table and notes that parameters and states were written.
pub fn step(def: &'static OpDef, o: Optim, columns: &[&[Tensor]]) -> Result<()> {
    let n = o.steps.len();
    if let Some(c) = columns.iter().find(|c| c.len() != n) {
        bail!(Value, "{}: as many gradients and states as parameters ({n}) are required, got {}", def.name, c.len());
    }
    if n == 0 {
        return Ok(());
    }
    let mut seen = std::collections::HashSet::new();
    for t in columns.iter().enumerate().filter(|(i, _)| *i != 1).flat_map(|(_, c)| c.iter()) {
        let own = seen.insert(std::sync::Arc::as_ptr(t.storage()) as usize) || t.numel() == 0;
        ensure!(own, Value, "{}: parameters and states must not share memory", def.name);
    }
    let inputs: Vec<&Tensor> = columns.iter().flat_map(|c| c.iter()).collect();
    crate::autograd::no_grad(|| call(def, Attrs::Optim(Box::new(o)), &inputs))?;
    if let Device::Gpu(index) = inputs[0].device() {
        crate::gpu::flush(index)?; // the end of a step: let the GPU work while the next one is recorded
    }
    for (i, column) in columns.iter().enumerate() {
        if i != 1 {
            column.iter().for_each(|t| t.storage().bump());
        }
    }
    Ok(())
}
