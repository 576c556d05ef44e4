//! Layer and batch normalisation.

use super::attrs::Norm;
use super::expr::Expr;
use super::reduce::{MEAN, SUM};
use super::{elementwise as e, float_kernel, movement};
use crate::dtype::Typed;
use crate::error::Result;
use crate::op::{Attrs, Cpu, Gpu, Meta, OpDef, Saves, Tensors, Vjp, call, call1};
use crate::ops::attrs::{Dims, Reduce};
use crate::tensor::Tensor;
use crate::{attrs, dispatch, ensure};
use pyneuro_kernels::norm as kernels;
use smallvec::smallvec;

/// Every op of this file.
pub const ALL: &[&OpDef] = &[&LAYER_NORM, &LAYER_NORM_BACKWARD, &BATCH_NORM, &BATCH_NORM_BACKWARD];

fn reduce(def: &'static OpDef, x: &Expr, dims: Dims, keepdim: bool) -> Expr {
    x.op_attrs(def, Attrs::Reduce(Reduce { dims: Some(dims), keepdim, ..Reduce::default() }))
}

fn float(name: &str, x: &[&Tensor]) -> Result<()> {
    let dtype = x[0].dtype();
    let ok = dtype.is_float() && x.iter().all(|t| t.dtype() == dtype);
    ensure!(ok, Type, "{name}: input, weight and bias must have one float dtype, got {dtype} and others");
    Ok(())
}

fn shaped(name: &str, what: &str, t: &Tensor, shape: &[usize]) -> Result<()> {
    ensure!(t.shape() == shape, Value, "{name}: {what} must have shape {shape:?}, got {:?}", t.shape());
    Ok(())
}

// -------------------------------------------------------------------------------------------------------------- layer

/// The trailing dimensions that are normalised together.
fn trailing(n: &Norm, ndim: usize) -> Dims {
    (ndim - n.dims..ndim).map(|d| d as i64).collect()
}

/// Lengths: rows, and what is normalised.
fn rows(n: &Norm, shape: &[usize]) -> [usize; 2] {
    let at = shape.len() - n.dims;
    [shape[..at].iter().product(), shape[at..].iter().product()]
}

/// Rows moved and scaled to mean 0 and variance 1, then scaled by a weight and moved by a bias.
///
/// Inputs: x, weight, bias. Results: y, mean and 1 / sqrt(var + eps) of each row.
pub static LAYER_NORM: OpDef = OpDef {
    name: "layer_norm",
    infer: |attrs, x| {
        let n = attrs!(attrs, Norm);
        float("layer_norm", x)?;
        let shape = x[0].shape();
        ensure!(n.dims > 0 && n.dims <= shape.len(), Value, "layer_norm: normalized_shape must fit input {shape:?}");
        let last = &shape[shape.len() - n.dims..];
        shaped("layer_norm", "weight", x[1], last)?;
        shaped("layer_norm", "bias", x[2], last)?;
        let [count, _] = rows(n, shape);
        let row = Meta::new([count].as_slice(), x[0].dtype());
        Ok(smallvec![Meta::of(x[0]), row.clone(), row])
    },
    vjp: Vjp::Rule {
        saves: Saves::some(0b011, 0b110),
        rule: |c, gs| {
            let Some(g) = &gs[0] else { return Ok(smallvec![None, None, None]) };
            let (mean, rstd) = (c.output(1).detach(), c.output(2).detach());
            let out = call(&LAYER_NORM_BACKWARD, c.attrs.clone(), &[g, c.input(0), c.input(1), &mean, &rstd])?;
            Ok(out.into_iter().map(Some).collect())
        },
    },
    cpu: Cpu::Kernel(|attrs, x, out| {
        let n = *attrs!(attrs, Norm);
        let [_, width] = rows(&n, x[0].shape());
        float_kernel(x, out, |x, out| {
            dispatch!(out[0].dtype(), T in float => kernels::layer_norm(
                x[0].slice::<T>(), width, Some(x[1].slice::<T>()), Some(x[2].slice::<T>()), n.eps,
                out[0].slice_mut::<T>(), out[1].slice_mut::<T>(), out[2].slice_mut::<T>(),
            ), _ => unreachable!());
        })
    }),
    gpu: Gpu::FromReference,
    reference: Some(|attrs, x| {
        let n = attrs!(attrs, Norm);
        let (normal, mean, rstd) = normalized(n, &x[0]);
        let y = normal * Expr::from(&x[1]) + Expr::from(&x[2]);
        let [count, _] = rows(n, x[0].shape());
        Ok(smallvec![y.0?, movement::reshape(&mean.0?, &[count])?, movement::reshape(&rstd.0?, &[count])?])
    }),
    elementwise: false,
};

/// x normalised over its trailing dimensions, with the mean and 1 / sqrt(var + eps) that did it.
fn normalized(n: &Norm, x: &Tensor) -> (Expr, Expr, Expr) {
    let dims = trailing(n, x.ndim());
    let x = Expr::from(x);
    let mean = reduce(&MEAN, &x, dims.clone(), true);
    let away = &x - &mean;
    let rstd = (reduce(&MEAN, &away.op(&e::SQUARE), dims, true) + n.eps).op(&e::RSQRT);
    (&away * &rstd, mean, rstd)
}

/// The gradients of layer norm for x, weight and bias.  The row statistics are inputs only to spare their computation;
/// as far as further gradients go they are functions of x.
pub static LAYER_NORM_BACKWARD: OpDef = OpDef {
    name: "layer_norm_backward",
    infer: |attrs, x| {
        let n = attrs!(attrs, Norm);
        shaped("layer_norm_backward", "gradient", x[0], x[1].shape())?;
        let last = Meta::new(&x[1].shape()[x[1].ndim() - n.dims..], x[1].dtype());
        Ok(smallvec![Meta::of(x[1]), last.clone(), last])
    },
    vjp: Vjp::FromReference,
    cpu: Cpu::Kernel(|attrs, x, out| {
        let [_, width] = rows(attrs!(attrs, Norm), x[1].shape());
        float_kernel(x, out, |x, out| {
            dispatch!(out[0].dtype(), T in float => kernels::layer_norm_backward(
                x[0].slice::<T>(), x[1].slice::<T>(), width, Some(x[2].slice::<T>()), x[3].slice::<T>(), x[4].slice::<T>(),
                out[0].slice_mut::<T>(), Some(out[1].slice_mut::<T>()), Some(out[2].slice_mut::<T>()),
            ), _ => unreachable!());
        })
    }),
    gpu: Gpu::FromReference,
    reference: Some(|attrs, x| {
        let n = attrs!(attrs, Norm);
        let (dy, weight) = (&Expr::from(&x[0]), &Expr::from(&x[2]));
        let (normal, _, rstd) = normalized(n, &x[1]);
        let dims = trailing(n, x[1].ndim());
        let scaled = &(dy * weight);
        let mean = reduce(&MEAN, scaled, dims.clone(), true);
        let along = &normal * &reduce(&MEAN, &(scaled * &normal), dims, true);
        let dx = &rstd * &(scaled - &mean - along);
        let lead: Dims = (0..(x[1].ndim() - n.dims) as i64).collect();
        let dweight = reduce(&SUM, &(dy * &normal), lead.clone(), false);
        let dbias = reduce(&SUM, dy, lead, false);
        Ok(smallvec![dx.0?, dweight.0?, dbias.0?])
    }),
    elementwise: false,
};

// -------------------------------------------------------------------------------------------------------------- batch

/// Batch, channels, everything else.
fn channels(shape: &[usize]) -> [usize; 3] {
    [shape[0], shape[1], shape[2..].iter().product()]
}

/// All dimensions but the channels.
fn others(ndim: usize) -> Dims {
    (0..ndim as i64).filter(|&d| d != 1).collect()
}

/// A value per channel, shaped to broadcast against the input.
fn per_channel(t: &Tensor, ndim: usize) -> Expr {
    let mut shape: crate::layout::Shape = smallvec![1; ndim];
    shape[1] = t.numel();
    Expr(movement::reshape(t, &shape))
}

fn batch_infer(name: &str, attrs: &Attrs, x: &Tensor, per_channel: &[&Tensor]) -> Result<Meta> {
    let shape = x.shape();
    ensure!(shape.len() >= 2, Value, "{name}: input must have at least 2 dimensions, got {shape:?}");
    ensure!(x.dtype().is_float(), Type, "{name}: a floating-point input is required, got {}", x.dtype());
    for t in per_channel {
        shaped(name, "what is given per channel", t, &shape[1..2])?;
    }
    let n = attrs!(attrs, Norm);
    let [batch, _, length] = channels(shape);
    ensure!(
        !n.training || batch * length > 1,
        Value,
        "{name}: more than one value per channel is required in training, got input {shape:?}"
    );
    Ok(Meta::new(&shape[1..2], x.dtype()))
}

/// Channels moved and scaled to mean 0 and variance 1, by the statistics of the batch (training) or by given ones, then
/// scaled by a weight and moved by a bias.
///
/// Inputs: x, weight, bias, mean, var (the last two are ignored in training). Results: y and the mean and (biased)
/// variance that were used.
pub static BATCH_NORM: OpDef = OpDef {
    name: "batch_norm",
    infer: |attrs, x| {
        float("batch_norm", x)?;
        let row = batch_infer("batch_norm", attrs, x[0], &x[1..])?;
        Ok(smallvec![Meta::of(x[0]), row.clone(), row])
    },
    vjp: Vjp::Rule {
        saves: Saves::some(0b00011, 0b110),
        rule: |c, gs| {
            let Some(g) = &gs[0] else { return Ok(smallvec![None; 5]) };
            let (mean, var) = (c.output(1).detach(), c.output(2).detach());
            let out = call(&BATCH_NORM_BACKWARD, c.attrs.clone(), &[g, c.input(0), c.input(1), &mean, &var])?;
            Ok(out.into_iter().map(Some).chain([None, None]).collect())
        },
    },
    cpu: Cpu::Kernel(|attrs, x, out| {
        let n = *attrs!(attrs, Norm);
        let shape = channels(x[0].shape());
        float_kernel(x, out, |x, out| {
            dispatch!(out[0].dtype(), T in float => {
                let (mean, var) = (out[1].slice_mut::<T>(), out[2].slice_mut::<T>());
                if n.training {
                    kernels::batch_moments(x[0].slice::<T>(), shape, mean, var);
                } else {
                    mean.copy_from_slice(x[3].slice::<T>());
                    var.copy_from_slice(x[4].slice::<T>());
                }
                let rstd: Vec<T> = var.iter().map(|v| T::from_f64((v.to_f64() + n.eps).sqrt().recip())).collect();
                let norm = kernels::BatchNorm { shape, mean, rstd: &rstd, weight: Some(x[1].slice::<T>()) };
                norm.apply(x[0].slice::<T>(), Some(x[2].slice::<T>()), out[0].slice_mut::<T>());
            }, _ => unreachable!());
        })
    }),
    gpu: Gpu::FromReference,
    reference: Some(|attrs, x| {
        let (n, ndim) = (attrs!(attrs, Norm), x[0].ndim());
        let (mean, var) = moments(n, &x[0], &x[3], &x[4])?;
        let rstd = (per_channel(&var, ndim) + n.eps).op(&e::RSQRT);
        let normal = (Expr::from(&x[0]) - per_channel(&mean, ndim)) * rstd;
        let y = normal * per_channel(&x[1], ndim) + per_channel(&x[2], ndim);
        Ok(smallvec![y.0?, mean, var])
    }),
    elementwise: false,
};

/// The statistics that normalise x.
fn moments(n: &Norm, x: &Tensor, mean: &Tensor, var: &Tensor) -> Result<(Tensor, Tensor)> {
    if !n.training {
        return Ok((mean.clone(), var.clone()));
    }
    let dims = others(x.ndim());
    let x = Expr::from(x);
    let mean = reduce(&MEAN, &x, dims.clone(), true);
    let var = reduce(&MEAN, &(&x - &mean).op(&e::SQUARE), dims, false).0?;
    let flat = movement::reshape(&mean.0?, var.shape())?;
    Ok((flat, var))
}

/// The gradients of batch norm for x, weight and bias.  In training the statistics are inputs only to spare their
/// computation; as far as further gradients go they are functions of x.
pub static BATCH_NORM_BACKWARD: OpDef = OpDef {
    name: "batch_norm_backward",
    infer: |attrs, x| {
        shaped("batch_norm_backward", "gradient", x[0], x[1].shape())?;
        let row = batch_infer("batch_norm_backward", attrs, x[1], &x[2..])?;
        Ok(smallvec![Meta::of(x[1]), row.clone(), row])
    },
    vjp: Vjp::FromReference,
    cpu: Cpu::Kernel(|attrs, x, out| {
        let n = *attrs!(attrs, Norm);
        let shape = channels(x[1].shape());
        float_kernel(x, out, |x, out| {
            dispatch!(out[0].dtype(), T in float => {
                let rstd: Vec<T> =
                    x[4].slice::<T>().iter().map(|v| T::from_f64((v.to_f64() + n.eps).sqrt().recip())).collect();
                let (mean, weight) = (x[3].slice::<T>(), Some(x[2].slice::<T>()));
                kernels::BatchNorm { shape, mean, rstd: &rstd, weight }.backward(
                    x[0].slice::<T>(), x[1].slice::<T>(), n.training,
                    out[0].slice_mut::<T>(), out[1].slice_mut::<T>(), out[2].slice_mut::<T>(),
                );
            }, _ => unreachable!());
        })
    }),
    gpu: Gpu::FromReference,
    reference: Some(batch_norm_backward),
    elementwise: false,
};

fn batch_norm_backward(attrs: &Attrs, x: &[Tensor]) -> Result<Tensors> {
    let (n, ndim) = (attrs!(attrs, Norm), x[1].ndim());
    let dims = others(ndim);
    let (mean, var) = moments(n, &x[1], &x[3], &x[4])?;
    let rstd = &(per_channel(&var, ndim) + n.eps).op(&e::RSQRT);
    let normal = &((Expr::from(&x[1]) - per_channel(&mean, ndim)) * rstd);
    let dy = &Expr::from(&x[0]);
    let dweight = reduce(&SUM, &(dy * normal), dims.clone(), false);
    let dbias = reduce(&SUM, dy, dims.clone(), false);
    let scale = per_channel(&x[2], ndim) * rstd;
    let dx = if n.training {
        let along = normal * reduce(&MEAN, &(dy * normal), dims.clone(), true);
        scale * (dy - reduce(&MEAN, dy, dims, true) - along)
    } else {
        scale * dy
    };
    Ok(smallvec![dx.0?, dweight.0?, dbias.0?])
}

// ---------------------------------------------------------------------------------------------------------- functions

fn filled(given: Option<&Tensor>, shape: &[usize], value: f64, x: &Tensor) -> Result<Tensor> {
    given.map_or_else(|| super::full(shape, value, x.dtype(), x.device()), |t| Ok(t.clone()))
}

/// Layer normalisation over the trailing `normalized` dimensions (Ba, Kiros, Hinton 2016, arXiv 1607.06450).
pub fn layer_norm(
    x: &Tensor,
    normalized: &[usize],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    ensure!(
        !normalized.is_empty() && x.shape().ends_with(normalized),
        Value,
        "layer_norm: the input's last dimensions must be normalized_shape {normalized:?}, got input {:?}",
        x.shape()
    );
    let (w, b) = (filled(weight, normalized, 1.0, x)?, filled(bias, normalized, 0.0, x)?);
    let attrs = Attrs::Norm(Norm { eps, dims: normalized.len(), training: true });
    Ok(call(&LAYER_NORM, attrs, &[x, &w, &b])?.swap_remove(0))
}

/// Batch normalisation (Ioffe, Szegedy 2015, arXiv 1502.03167).  In training the running statistics, if given, move by
/// `momentum` towards those of the batch (with the unbiased variance).
pub fn batch_norm(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    running: Option<(&Tensor, &Tensor)>,
    training: bool,
    momentum: f64,
    eps: f64,
) -> Result<Tensor> {
    ensure!(x.ndim() >= 2, Value, "batch_norm: input must have at least 2 dimensions, got {:?}", x.shape());
    let c = [x.shape()[1]];
    ensure!(training || running.is_some(), Value, "batch_norm: running statistics are required when not training");
    let (w, b) = (filled(weight, &c, 1.0, x)?, filled(bias, &c, 0.0, x)?);
    let (mean, var) = match running {
        Some((m, v)) => (super::cast(m, x.dtype())?, super::cast(v, x.dtype())?),
        None => (b.detach(), w.detach()),
    };
    let attrs = Attrs::Norm(Norm { eps, dims: 0, training });
    let out = call(&BATCH_NORM, attrs, &[x, &w, &b, &mean.detach(), &var.detach()])?;
    if let (true, Some((m, v))) = (training, running) {
        let [batch, _, length] = channels(x.shape());
        let n = (batch * length) as f64;
        crate::autograd::no_grad(|| {
            follow(m, &out[1], momentum)?;
            follow(v, &super::mul_scalar(&out[2].detach(), n / (n - 1.0))?, momentum)
        })?;
    }
    Ok(out.into_iter().next().expect("three results"))
}

/// Moves a running statistic towards a new value, in place.
fn follow(running: &Tensor, now: &Tensor, momentum: f64) -> Result<()> {
    let now = super::cast(&now.detach(), running.dtype())?;
    let weight = super::scalar_like(momentum, running)?;
    let moved = call1(&e::LERP, Attrs::None, &[running, &now, &weight])?;
    crate::op::assign(running, &moved)
}
