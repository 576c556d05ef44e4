//! Classification losses.

use super::attrs::{Loss, Reduction};
use super::expr::Expr;
use super::index::GATHER;
use super::softmax::{LOG_SOFTMAX, SOFTMAX};
use super::{cast, elementwise as e, float_kernel, movement, reduce};
use crate::dtype::{DType, Typed};
use crate::error::Result;
use crate::op::{Attrs, Cpu, Gpu, Meta, OpDef, Saves, Tensors, Vjp, call, call1};
use crate::storage::Device;
use crate::tensor::Tensor;
use crate::{attrs, bail, dispatch, ensure};
use pyneuro_kernels::loss::{self, CrossEntropy};
use smallvec::{SmallVec, smallvec};

/// Every op of this file.
pub const ALL: &[&OpDef] = &[&CROSS_ENTROPY, &CROSS_ENTROPY_BACKWARD];

/// Checks logits `[n, c]`, targets `[n]` and weights `[c]`.
fn check(name: &str, l: &Loss, logits: &Tensor, target: &Tensor, weight: Option<&&Tensor>) -> Result<()> {
    let shape = logits.shape();
    ensure!(shape.len() == 2, Value, "{name}: 2-D logits are required, got {shape:?}");
    ensure!(logits.dtype().is_float(), Type, "{name}: floating-point logits are required, got {}", logits.dtype());
    ensure!(
        target.shape() == &shape[..1],
        Value,
        "{name}: one target for each of the {} rows is required, got shape {:?}",
        shape[0],
        target.shape()
    );
    let integer = !target.dtype().is_float() && target.dtype() != DType::Bool;
    ensure!(integer, Type, "{name}: class targets must be integers, got {}", target.dtype());
    if let Some(w) = weight {
        ensure!(w.shape() == &shape[1..], Value, "{name}: weight must have shape [{}], got {:?}", shape[1], w.shape());
        ensure!(w.dtype() == logits.dtype(), Type, "{name}: weight must be {}, got {}", logits.dtype(), w.dtype());
    }
    let smooth = (0.0..=1.0).contains(&l.label_smoothing);
    ensure!(smooth, Value, "{name}: label_smoothing must be in [0, 1], got {}", l.label_smoothing);
    if target.device() == Device::Cpu {
        let flat = positions(target)?;
        if let Some(bad) = loss::bad_target(flat.slice::<i64>(), shape[1], l.ignore_index) {
            bail!(Index, "{name}: targets must be in [0, {}) or ignore_index {}, got {bad}", shape[1], l.ignore_index);
        }
    }
    Ok(())
}

/// Targets as contiguous int64 on the CPU.
fn positions(target: &Tensor) -> Result<Tensor> {
    crate::autograd::no_grad(|| movement::contiguous(&cast(target, DType::I64)?))
}

fn settings<'a, T>(l: &Loss, weight: Option<&'a [T]>) -> CrossEntropy<'a, T> {
    CrossEntropy { weight, ignore_index: l.ignore_index, label_smoothing: l.label_smoothing }
}

/// Minus the logarithm of the softmax probability of the target class.
///
/// Inputs: logits, targets, perhaps class weights. Results: the loss (one number, or one per row without reduction), and
/// log(sum(exp(row))) of each row for the gradient.
pub static CROSS_ENTROPY: OpDef = OpDef {
    name: "cross_entropy",
    infer: |attrs, x| {
        let l = attrs!(attrs, Loss);
        check("cross_entropy", l, x[0], x[1], x.get(2))?;
        let rows = Meta::new(x[1].shape(), x[0].dtype());
        let loss = if l.reduction == Reduction::None { rows.clone() } else { Meta::new(&[][..], x[0].dtype()) };
        Ok(smallvec![loss, rows])
    },
    vjp: Vjp::Rule {
        saves: Saves::some(0xff, 0b10),
        rule: |c, gs| {
            let mut grads = smallvec![None; c.needs.len()];
            let Some(g) = &gs[0] else { return Ok(grads) };
            ensure!(
                !c.needs.get(2).copied().unwrap_or(false),
                NotImplemented,
                "cross_entropy: has no gradient for weight"
            );
            let lse = c.output(1).detach();
            let mut inputs: SmallVec<[&Tensor; 5]> = smallvec![g, c.input(0), c.input(1), &lse];
            inputs.extend(c.inputs.get(2).and_then(Option::as_ref));
            grads[0] = Some(call1(&CROSS_ENTROPY_BACKWARD, c.attrs.clone(), &inputs)?);
            Ok(grads)
        },
    },
    cpu: Cpu::Kernel(|attrs, x, out| {
        let l = *attrs!(attrs, Loss);
        let target = positions(x[1])?;
        let float: SmallVec<[&Tensor; 2]> = x.iter().enumerate().filter(|&(i, _)| i != 1).map(|(_, t)| *t).collect();
        float_kernel(&float, out, |x, out| {
            dispatch!(out[0].dtype(), T in float => {
                let target = target.slice::<i64>();
                let ce = settings(&l, x.get(1).map(Tensor::slice::<T>));
                let lse = out[1].slice_mut::<T>();
                if l.reduction == Reduction::None {
                    ce.forward(x[0].slice::<T>(), target, out[0].slice_mut::<T>(), lse);
                    return;
                }
                let mut rows = vec![T::default(); target.len()];
                ce.forward(x[0].slice::<T>(), target, &mut rows, lse);
                let total: f64 = rows.iter().map(|&v| v.to_f64()).sum();
                let divisor = if l.reduction == Reduction::Mean { ce.divisor(target).to_f64() } else { 1.0 };
                out[0].slice_mut::<T>()[0] = T::from_f64(total / divisor);
            }, _ => unreachable!());
        })
    }),
    gpu: Gpu::FromReference,
    reference: Some(|attrs, x| {
        let logits = call1(&LOG_SOFTMAX, Attrs::Dim(1), &[&x[0]])?;
        let loss = nll(attrs!(attrs, Loss), &logits, &x[1], x.get(2))?;
        let lse = (Expr::from(&x[0]) - Expr::from(&logits)).0?;
        let lse = movement::select(&lse, 1, 0)?;
        Ok(smallvec![loss, lse])
    }),
    elementwise: false,
};

/// The gradient of cross-entropy for the logits; from that of the loss, logits, targets, row statistics, class weights.
pub static CROSS_ENTROPY_BACKWARD: OpDef = OpDef {
    name: "cross_entropy_backward",
    infer: |attrs, x| {
        check("cross_entropy_backward", attrs!(attrs, Loss), x[1], x[2], x.get(4))?;
        Ok(smallvec![Meta::of(x[1])])
    },
    vjp: Vjp::FromReference,
    cpu: Cpu::Kernel(|attrs, x, out| {
        let l = *attrs!(attrs, Loss);
        let target = positions(x[2])?;
        let mut float: SmallVec<[&Tensor; 4]> = smallvec![x[0], x[1], x[3]];
        float.extend(x.get(4).copied());
        float_kernel(&float, out, |x, out| {
            dispatch!(out[0].dtype(), T in float => {
                let target = target.slice::<i64>();
                let ce = settings(&l, x.get(3).map(Tensor::slice::<T>));
                let mut scale = x[0].slice::<T>().to_vec();
                if l.reduction == Reduction::Mean {
                    scale[0] /= ce.divisor(target);
                }
                ce.backward(x[1].slice::<T>(), target, x[2].slice::<T>(), &scale, out[0].slice_mut::<T>());
            }, _ => unreachable!());
        })
    }),
    gpu: Gpu::FromReference,
    reference: Some(|attrs, x| cross_entropy_backward(attrs!(attrs, Loss), x)),
    elementwise: false,
};

/// What each row counts: the weight of its class, nothing where the target is ignored.
struct Rows {
    /// Targets with a class in place of what is ignored, as a column.
    class: Tensor,
    /// Weight per row.
    weight: Expr,
    /// Sum of the weights.
    total: Expr,
    /// Rows that count.
    counted: Tensor,
}

fn rows(l: &Loss, like: &Tensor, target: &Tensor, weight: Option<&Tensor>) -> Result<Rows> {
    let ignore = Tensor::scalar_int(l.ignore_index)?;
    let target = cast(target, DType::I64)?;
    let counted = call1(&e::NE, Attrs::None, &[&target, &ignore])?;
    let zero = Tensor::scalar_int(0)?;
    let class = call1(&e::WHERE, Attrs::None, &[&counted, &target, &zero])?;
    let ones = super::full(target.shape(), 1.0, like.dtype(), like.device())?;
    let weight = match weight {
        Some(w) => call1(&super::index::INDEX_SELECT, Attrs::Dim(0), &[w, &class])?,
        None => ones,
    };
    let weight = Expr::from(&weight).masked(&Expr::from(&counted));
    let total = Expr(reduce::sum(weight.0.as_ref().map_err(crate::error::Error::copy)?, None, false));
    Ok(Rows { class: movement::unsqueeze(&class, 1)?, weight, total, counted })
}

/// The negative log-likelihood of rows of log-probabilities.
pub(crate) fn nll(l: &Loss, logp: &Tensor, target: &Tensor, weight: Option<&Tensor>) -> Result<Tensor> {
    let r = rows(l, logp, target, weight)?;
    let picked = movement::squeeze_dim(&call1(&GATHER, Attrs::Dim(1), &[logp, &r.class])?, 1)?;
    let mut loss = -(Expr::from(&picked) * &r.weight);
    if l.label_smoothing > 0.0 {
        let all = match weight {
            Some(w) => Expr::from(logp) * Expr::from(w),
            None => Expr::from(logp),
        };
        let spread = Expr(reduce::sum(&all.0?, Some(smallvec![1]), false)).masked(&Expr::from(&r.counted));
        let share = l.label_smoothing / logp.shape()[1] as f64;
        loss = loss * (1.0 - l.label_smoothing) - spread * share;
    }
    match l.reduction {
        Reduction::None => loss.0,
        Reduction::Sum => reduce::sum(&loss.0?, None, false),
        Reduction::Mean => (Expr(reduce::sum(&loss.0?, None, false)) / r.total).0,
    }
}

fn cross_entropy_backward(l: &Loss, x: &[Tensor]) -> Result<Tensors> {
    let (g, logits, weight) = (&x[0], &x[1], x.get(4));
    let r = rows(l, logits, &x[2], weight)?;
    let classes = logits.shape()[1];
    let p = &Expr(call1(&SOFTMAX, Attrs::Dim(1), &[logits]));
    let index = super::arange(0.0, 1.0, classes, DType::I64, logits.device())?;
    let hot = Expr(cast(&call1(&e::EQ, Attrs::None, &[&r.class, &index])?, logits.dtype()));
    let column = |t: &Expr| t.map(|t| movement::unsqueeze(t, 1));
    let mut dx = (p - hot) * column(&r.weight);
    if l.label_smoothing > 0.0 {
        let share = l.label_smoothing / classes as f64;
        let spread = match weight {
            Some(w) => p * Expr(reduce::sum(w, None, false)) - Expr::from(w),
            None => p * classes as f64 - 1.0,
        };
        let counted = Expr(movement::unsqueeze(&r.counted, 1));
        dx = dx * (1.0 - l.label_smoothing) + spread.masked(&counted) * share;
    }
    let scale = match l.reduction {
        Reduction::None => column(&Expr::from(g)),
        Reduction::Sum => Expr::from(g),
        Reduction::Mean => Expr::from(g) / r.total,
    };
    Ok(smallvec![(dx * scale).0?])
}

/// Brings logits `[n, c, ...]` or `[c]` and targets `[n, ...]` or `[]` to rows, applies `f`, and restores the shape of
/// an unreduced loss.
fn over_rows(
    name: &str,
    logits: &Tensor,
    target: &Tensor,
    reduction: Reduction,
    f: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (shape, ndim) = (logits.shape(), logits.ndim());
    ensure!(ndim >= 1, Value, "{name}: input must have a class dimension, got a 0-d tensor");
    let class = usize::from(ndim > 1);
    let mut expected = logits.shape_vec();
    expected.remove(class);
    ensure!(
        target.shape() == expected.as_slice(),
        Value,
        "{name}: class targets must have shape {expected:?} for input {shape:?}, got {:?}",
        target.shape()
    );
    let rows = if ndim > 2 {
        let order = std::iter::once(0).chain(2..ndim as i64).chain([1]).collect::<SmallVec<[i64; 6]>>();
        movement::permute(logits, &order)?
    } else {
        logits.clone()
    };
    let rows = movement::reshape(&rows, &[target.numel(), shape[class]])?;
    let loss = f(&rows, &movement::reshape(target, &[target.numel()])?)?;
    if reduction == Reduction::None { movement::reshape(&loss, &expected) } else { Ok(loss) }
}

/// Cross-entropy of logits with class targets; the class dimension is 1 (0 for a single row).
pub fn cross_entropy(logits: &Tensor, target: &Tensor, weight: Option<&Tensor>, l: Loss) -> Result<Tensor> {
    over_rows("cross_entropy", logits, target, l.reduction, |rows, target| {
        let mut inputs: SmallVec<[&Tensor; 3]> = smallvec![rows, target];
        inputs.extend(weight);
        Ok(call(&CROSS_ENTROPY, Attrs::Loss(l), &inputs)?.swap_remove(0))
    })
}

/// Negative log-likelihood of log-probabilities with class targets.
pub fn nll_loss(logp: &Tensor, target: &Tensor, weight: Option<&Tensor>, l: Loss) -> Result<Tensor> {
    over_rows("nll_loss", logp, target, l.reduction, |rows, target| {
        check("nll_loss", &l, rows, target, weight.as_ref())?;
        nll(&l, rows, target, weight)
    })
}
