//! Two-dimensional pooling and its gradients.

use super::attrs::Pool;
use super::index::GATHER;
use super::{float_kernel, g, movement, one};
use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::pooling as gpu;
use crate::layout::Shape;
use crate::op::{Attrs, Cpu, Gpu, Meta, OpDef, Saves, Vjp, call, call1};
use crate::tensor::Tensor;
use crate::{attrs, dispatch, ensure};
use pyneuro_kernels::pooling::{Divisor, Pool2d, checked};
use smallvec::{SmallVec, smallvec};

/// Every op of this file.
pub const ALL: &[&OpDef] = &[&MAX_POOL2D, &MAX_POOL2D_BACKWARD, &AVG_POOL2D, &AVG_POOL2D_BACKWARD];

/// Checks a pooling of `x` and gives the shape of its result.
fn output_shape(name: &str, p: &Pool, x: &[usize]) -> Result<Shape> {
    ensure!(x.len() == 4, Value, "{name}: 3-D or 4-D input is required, got {x:?}");
    for (what, pair) in [("kernel_size", p.kernel), ("stride", p.stride), ("dilation", p.dilation)] {
        ensure!(pair.iter().all(|&v| v > 0), Value, "{name}: {what} must be positive, got {pair:?}");
    }
    ensure!(p.divisor != Some(0), Value, "{name}: divisor_override must be positive, got 0");
    let mut out: Shape = smallvec![x[0], x[1]];
    for i in 0..2 {
        let (k, s, d, pad) = (p.kernel[i], p.stride[i], p.dilation[i], p.padding[i]);
        ensure!(
            2 * pad <= k,
            Value,
            "{name}: padding must be at most half of kernel_size, got {:?} and {:?}",
            p.padding,
            p.kernel
        );
        let reach = d.saturating_mul(k - 1).saturating_add(1);
        let padded = x[2 + i] + 2 * pad;
        ensure!(
            padded >= reach && x[2 + i] > 0,
            Value,
            "{name}: the window must not be larger than the padded input, got {reach} and {padded} at dimension {}",
            2 + i
        );
        let room = padded - reach;
        let mut n = if p.ceil_mode { room.div_ceil(s) } else { room / s } + 1;
        // With ceil_mode the last window must start inside the input or the padding before it.
        if p.ceil_mode && (n - 1) * s >= x[2 + i] + pad {
            n -= 1;
        }
        out.push(n);
    }
    Ok(out)
}

fn geometry(p: &Pool, x: &[usize], y: &[usize]) -> Pool2d {
    Pool2d {
        planes: x[0] * x[1],
        input: (x[2], x[3]),
        output: (y[2], y[3]),
        kernel: p.kernel.into(),
        stride: p.stride.into(),
        padding: p.padding.into(),
        dilation: p.dilation.into(),
    }
}

fn divisor(p: &Pool) -> Divisor {
    match p.divisor {
        Some(d) => Divisor::Fixed(d as f64),
        None if p.count_include_pad => Divisor::WithPadding,
        None => Divisor::WithoutPadding,
    }
}

fn float(name: &str, x: &Tensor) -> Result<()> {
    ensure!(x.dtype().is_float(), Type, "{name}: a floating-point input is required, got {}", x.dtype());
    Ok(())
}

fn with_shape(p: &Pool, shape: &[usize]) -> Attrs {
    Attrs::Pool(Box::new(Pool { shape: shape.into(), ..p.clone() }))
}

/// The greatest element of each window, and where it is in its plane; NaN wins, of equals the first.
pub static MAX_POOL2D: OpDef = OpDef {
    name: "max_pool2d",
    infer: |attrs, x| {
        float("max_pool2d", x[0])?;
        let shape = output_shape("max_pool2d", attrs!(attrs, Pool), x[0].shape())?;
        Ok(smallvec![Meta::new(shape.clone(), x[0].dtype()), Meta::new(shape, DType::I64)])
    },
    vjp: Vjp::Rule {
        saves: Saves::some(0, 0b10),
        rule: |c, gs| {
            let Some(g) = &gs[0] else { return Ok(smallvec![None]) };
            one(call1(&MAX_POOL2D_BACKWARD, with_shape(attrs!(c.attrs, Pool), &c.in_metas[0].shape), &[g, c.output(1)]))
        },
    },
    cpu: Cpu::Kernel(|attrs, x, out| {
        let pool = geometry(attrs!(attrs, Pool), x[0].shape(), out[0].shape());
        let indices = out[1].clone();
        float_kernel(x, &out[..1], |x, out| {
            dispatch!(out[0].dtype(), T in float => {
                checked::max_pool2d(&pool, x[0].view::<T>(), out[0].view_mut::<T>(), indices.view_mut::<i64>());
            }, _ => unreachable!());
        })
    }),
    gpu: Gpu::Kernel(|attrs, x, out| gpu::max_pool2d(x[0], attrs!(attrs, Pool), &out[0], &out[1])),
    reference: None,
    elementwise: false,
};

/// The gradient of max pooling: each goes to the element that was the greatest.
pub static MAX_POOL2D_BACKWARD: OpDef = OpDef {
    name: "max_pool2d_backward",
    infer: |attrs, x| {
        float("max_pool2d_backward", x[0])?;
        ensure!(x[0].shape() == x[1].shape(), Value, "max_pool2d_backward: gradient and indices must have one shape");
        Ok(smallvec![Meta::new(attrs!(attrs, Pool).shape.clone(), x[0].dtype())])
    },
    vjp: Vjp::Rule {
        saves: Saves::inputs(0b10),
        rule: |c, gs| {
            let (h, at) = (g(gs), c.input(1));
            let planes = h.shape()[0] * h.shape()[1];
            let flat = movement::reshape(h, &[planes, h.numel() / planes.max(1)])?;
            let at = movement::reshape(at, &[planes, at.numel() / planes.max(1)])?;
            let picked = call1(&GATHER, Attrs::Dim(1), &[&flat, &at])?;
            Ok(smallvec![Some(movement::reshape(&picked, &c.in_metas[0].shape)?), None])
        },
    },
    cpu: Cpu::Kernel(|attrs, x, out| {
        let pool = geometry(attrs!(attrs, Pool), out[0].shape(), x[0].shape());
        let at = crate::autograd::no_grad(|| movement::contiguous(x[1]))?;
        float_kernel(&x[..1], out, |x, out| {
            dispatch!(out[0].dtype(), T in float => {
                checked::max_pool2d_backward(&pool, x[0].view::<T>(), at.view::<i64>(), out[0].view_mut::<T>());
            }, _ => unreachable!());
        })
    }),
    gpu: Gpu::Kernel(|attrs, x, out| gpu::max_pool2d_backward(x[0], x[1], attrs!(attrs, Pool), &out[0])),
    reference: None,
    elementwise: false,
};

/// The mean of each window.
pub static AVG_POOL2D: OpDef = OpDef {
    name: "avg_pool2d",
    infer: |attrs, x| {
        float("avg_pool2d", x[0])?;
        Ok(smallvec![Meta::new(output_shape("avg_pool2d", attrs!(attrs, Pool), x[0].shape())?, x[0].dtype())])
    },
    vjp: Vjp::Rule {
        saves: Saves::NOTHING,
        rule: |c, gs| {
            one(call1(&AVG_POOL2D_BACKWARD, with_shape(attrs!(c.attrs, Pool), &c.in_metas[0].shape), &[g(gs)]))
        },
    },
    cpu: Cpu::Kernel(|attrs, x, out| {
        let p = attrs!(attrs, Pool);
        let pool = geometry(p, x[0].shape(), out[0].shape());
        float_kernel(x, out, |x, out| {
            dispatch!(out[0].dtype(), T in float => {
                checked::avg_pool2d(&pool, divisor(p), x[0].view::<T>(), out[0].view_mut::<T>());
            }, _ => unreachable!());
        })
    }),
    gpu: Gpu::Kernel(|attrs, x, out| gpu::avg_pool2d(x[0], attrs!(attrs, Pool), &out[0])),
    reference: None,
    elementwise: false,
};

/// The gradient of average pooling: spread over the window.
pub static AVG_POOL2D_BACKWARD: OpDef = OpDef {
    name: "avg_pool2d_backward",
    infer: |attrs, x| {
        float("avg_pool2d_backward", x[0])?;
        Ok(smallvec![Meta::new(attrs!(attrs, Pool).shape.clone(), x[0].dtype())])
    },
    vjp: Vjp::Rule { saves: Saves::NOTHING, rule: |c, gs| one(call1(&AVG_POOL2D, c.attrs.clone(), &[g(gs)])) },
    cpu: Cpu::Kernel(|attrs, x, out| {
        let p = attrs!(attrs, Pool);
        let pool = geometry(p, out[0].shape(), x[0].shape());
        float_kernel(x, out, |x, out| {
            dispatch!(out[0].dtype(), T in float => {
                checked::avg_pool2d_backward(&pool, divisor(p), x[0].view::<T>(), out[0].view_mut::<T>());
            }, _ => unreachable!());
        })
    }),
    gpu: Gpu::Kernel(|attrs, x, out| gpu::avg_pool2d_backward(x[0], attrs!(attrs, Pool), &out[0])),
    reference: None,
    elementwise: false,
};

/// Pools images `[n, c, h, w]` or one image `[c, h, w]`.
fn pooled(def: &'static OpDef, x: &Tensor, p: Pool) -> Result<SmallVec<[Tensor; 1]>> {
    let attrs = Attrs::Pool(Box::new(p));
    if x.ndim() != 3 {
        return call(def, attrs, &[x]);
    }
    let out = call(def, attrs, &[&movement::unsqueeze(x, 0)?])?;
    out.iter().map(|t| movement::squeeze_dim(t, 0)).collect()
}

/// The greatest element of each window and its flat index in its plane.
pub fn max_pool2d(
    x: &Tensor,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    ceil_mode: bool,
) -> Result<(Tensor, Tensor)> {
    let p = Pool {
        kernel,
        stride,
        padding,
        dilation,
        ceil_mode,
        count_include_pad: false,
        divisor: None,
        shape: Shape::new(),
    };
    let mut out = pooled(&MAX_POOL2D, x, p)?;
    let indices = out.pop().expect("two results");
    Ok((out.pop().expect("two results"), indices))
}

/// The mean of each window.
pub fn avg_pool2d(
    x: &Tensor,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: Option<usize>,
) -> Result<Tensor> {
    let p =
        Pool { kernel, stride, padding, dilation: [1; 2], ceil_mode, count_include_pad, divisor, shape: Shape::new() };
    Ok(pooled(&AVG_POOL2D, x, p)?.swap_remove(0))
}
