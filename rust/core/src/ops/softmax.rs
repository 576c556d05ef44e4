//! softmax and its logarithm along one dimension.

use super::expr::Expr;
use super::reduce::{AMAX, SUM};
use super::{around, elementwise as e, float_kernel, g, one};
use crate::error::Result;
use crate::gpu::softmax as gpu;
use crate::layout::normalize_dim;
use crate::op::{Attrs, Cpu, Gpu, Meta, Metas, OpDef, Saves, Tensors, Vjp, call1};
use crate::ops::attrs::Reduce;
use crate::tensor::Tensor;
use crate::{attrs, dispatch, ensure};
use pyneuro_kernels::softmax as kernels;
use smallvec::smallvec;

/// Every op of this file.
pub const ALL: &[&OpDef] = &[&SOFTMAX, &LOG_SOFTMAX, &SOFTMAX_BACKWARD, &LOG_SOFTMAX_BACKWARD];

fn infer(name: &str, attrs: &mut Attrs, x: &[&Tensor]) -> Result<Metas> {
    let Attrs::Dim(dim) = attrs else { unreachable!("{name} has a dim") };
    *dim = normalize_dim(name, *dim, x[0].ndim())? as i64;
    ensure!(x[0].dtype().is_float(), Type, "{name}: a floating-point tensor is required, got {}", x[0].dtype());
    Ok(smallvec![Meta::of(x[0])])
}

/// A reduction along the dim that keeps it.
fn along(def: &'static OpDef, attrs: &Attrs, x: &Expr) -> Expr {
    let dims = Some(smallvec![*attrs!(attrs, Dim)]);
    x.op_attrs(def, Attrs::Reduce(Reduce { dims, keepdim: true, ..Reduce::default() }))
}

/// x less its greatest element, which is a constant as far as gradients go: it cancels.
fn shifted(attrs: &Attrs, x: &Tensor) -> Expr {
    Expr::from(x) - along(&AMAX, attrs, &Expr::from(&x.detach()))
}

macro_rules! softmaxes { ($($(#[$doc:meta])* $NAME:ident $BACKWARD:ident $name:literal $backward:literal $log:literal
    $kernel:ident $kernel_backward:ident reference |$attrs:ident, $x:ident| $reference:expr,
    gradient |$ga:ident, $dy:ident, $y:ident| $gradient:expr;)*) => { $(
    $(#[$doc])*
    pub static $NAME: OpDef = OpDef {
        name: $name,
        infer: |attrs, x| infer($name, attrs, x),
        vjp: Vjp::Rule {
            saves: Saves::OUTPUTS,
            rule: |c, gs| one(call1(&$BACKWARD, c.attrs.clone(), &[g(gs), c.output(0)])),
        },
        cpu: Cpu::Kernel(|attrs, x, out| {
            let shape = around(x[0].shape(), *attrs!(attrs, Dim) as usize);
            float_kernel(x, out, |x, out| {
                dispatch!(out[0].dtype(), T in float => kernels::$kernel(x[0].slice::<T>(), shape, out[0].slice_mut::<T>()),
                    _ => unreachable!());
            })
        }),
        gpu: Gpu::Kernel(|attrs, x, out| gpu::softmax($name, $log, x[0], *attrs!(attrs, Dim) as usize, &out[0])),
        reference: Some(|$attrs, x| {
            let $x = &x[0];
            single($reference)
        }),
        elementwise: false,
    };

    /// The gradient, from that of the result and the result itself.
    pub static $BACKWARD: OpDef = OpDef {
        name: $backward,
        infer: |attrs, x| infer($backward, attrs, x),
        vjp: Vjp::FromReference,
        cpu: Cpu::Kernel(|attrs, x, out| {
            let shape = around(x[0].shape(), *attrs!(attrs, Dim) as usize);
            float_kernel(x, out, |x, out| {
                dispatch!(out[0].dtype(), T in float => {
                    kernels::$kernel_backward(x[1].slice::<T>(), x[0].slice::<T>(), shape, out[0].slice_mut::<T>());
                }, _ => unreachable!());
            })
        }),
        gpu: Gpu::Kernel(|attrs, x, out| {
            gpu::softmax_backward($backward, $log, x[0], x[1], *attrs!(attrs, Dim) as usize, &out[0])
        }),
        reference: Some(|$ga, x| {
            let ($dy, $y) = (&Expr::from(&x[0]), &Expr::from(&x[1]));
            single($gradient)
        }),
        elementwise: false,
    };
)* } }

fn single(y: Expr) -> Result<Tensors> {
    Ok(smallvec![y.0?])
}

softmaxes! {
    /// exp(x) divided by its sum.
    SOFTMAX SOFTMAX_BACKWARD "softmax" "softmax_backward" false softmax softmax_backward
        reference |attrs, x| {
            let y = &shifted(attrs, x).op(&e::EXP);
            y / along(&SUM, attrs, y)
        },
        gradient |attrs, dy, y| y * (dy - along(&SUM, attrs, &(dy * y)));
    /// The logarithm of softmax, without its rounding.
    LOG_SOFTMAX LOG_SOFTMAX_BACKWARD "log_softmax" "log_softmax_backward" true log_softmax log_softmax_backward
        reference |attrs, x| {
            let y = &shifted(attrs, x);
            y - along(&SUM, attrs, &y.op(&e::EXP)).op(&e::LOG)
        },
        gradient |attrs, dy, y| dy - y.op(&e::EXP) * along(&SUM, attrs, dy);
}
