//! Two-dimensional convolution and its gradients: three ops that are each other's derivatives.

use super::attrs::Conv;
use super::{float_kernel, g, movement};
use crate::error::Result;
use crate::gpu::conv as gpu;
use crate::layout::Shape;
use crate::op::{Attrs, Cpu, Gpu, Meta, OpDef, Saves, Vjp, call1};
use crate::tensor::Tensor;
use crate::{attrs, dispatch, ensure};
use pyneuro_kernels::conv::{Conv2d, checked};
use smallvec::smallvec;

/// Every op of this file.
pub const ALL: &[&OpDef] = &[&CONV2D, &CONV2D_INPUT_GRAD, &CONV2D_WEIGHT_GRAD];

/// The kernel's description of a convolution of `x` with `w`.
fn geometry(c: &Conv, x: &[usize], w: &[usize]) -> Conv2d {
    Conv2d {
        batch: x[0],
        in_channels: x[1],
        input: (x[2], x[3]),
        out_channels: w[0],
        kernel: (w[2], w[3]),
        stride: c.stride.into(),
        padding: c.padding.into(),
        dilation: c.dilation.into(),
        groups: c.groups,
    }
}

/// Checks a convolution of `x` with `w` and gives the shape of its result.
fn output_shape(c: &Conv, x: &[usize], w: &[usize]) -> Result<Shape> {
    ensure!(x.len() == 4 && w.len() == 4, Value, "conv2d: 4-D input and weight are required, got {x:?} and {w:?}");
    ensure!(c.stride.iter().all(|&s| s > 0), Value, "conv2d: stride must be positive, got {:?}", c.stride);
    ensure!(c.dilation.iter().all(|&d| d > 0), Value, "conv2d: dilation must be positive, got {:?}", c.dilation);
    let fits = c.groups > 0 && w[0].is_multiple_of(c.groups) && x[1] == w[1] * c.groups;
    ensure!(
        fits,
        Value,
        "conv2d: input channels must be groups times the weight's, and output channels a multiple of groups; got input \
         {x:?}, weight {w:?}, groups {}",
        c.groups
    );
    let mut out: Shape = smallvec![x[0], w[0]];
    for i in 0..2 {
        ensure!(w[2 + i] > 0, Value, "conv2d: the kernel must not be empty, got weight {w:?}");
        let reach = c.dilation[i].saturating_mul(w[2 + i] - 1).saturating_add(1);
        let padded = c.padding[i].saturating_mul(2).saturating_add(x[2 + i]);
        ensure!(
            padded >= reach && padded < 1 << 31,
            Value,
            "conv2d: the kernel must not be larger than the padded input, got {reach} and {padded} at dimension {}",
            2 + i
        );
        out.push((padded - reach) / c.stride[i] + 1);
    }
    Ok(out)
}

fn same_float(name: &str, x: &[&Tensor]) -> Result<()> {
    let dtype = x[0].dtype();
    let ok = dtype.is_float() && x.iter().all(|t| t.dtype() == dtype);
    let all: Vec<_> = x.iter().map(|t| t.dtype().name()).collect();
    ensure!(ok, Type, "{name}: all tensors must have one float dtype, got {}", all.join(", "));
    Ok(())
}

/// Sums of products of a sliding kernel with the input, plus a bias per output channel.
pub static CONV2D: OpDef = OpDef {
    name: "conv2d",
    infer: |attrs, x| {
        same_float("conv2d", x)?;
        let shape = output_shape(attrs!(attrs, Conv), x[0].shape(), x[1].shape())?;
        if let Some(b) = x.get(2) {
            ensure!(b.shape() == [shape[1]], Value, "conv2d: bias must have shape [{}], got {:?}", shape[1], b.shape());
        }
        Ok(smallvec![Meta::new(shape, x[0].dtype())])
    },
    vjp: Vjp::Rule {
        saves: Saves::CROSS,
        rule: |c, gs| {
            let (conv, g) = (attrs!(c.attrs, Conv), g(gs));
            let (x, w) = (&c.in_metas[0].shape, &c.in_metas[1].shape);
            let gx = if c.needs[0] { Some(input_grad(g, c.input(1), conv, x)?) } else { None };
            let gw = if c.needs[1] { Some(weight_grad(g, c.input(0), conv, w)?) } else { None };
            let mut grads = smallvec![gx, gw];
            if c.needs.len() > 2 {
                let dims = smallvec![0, 2, 3];
                grads.push(if c.needs[2] { Some(super::reduce::sum(g, Some(dims), false)?) } else { None });
            }
            Ok(grads)
        },
    },
    cpu: Cpu::Kernel(|attrs, x, out| {
        let conv = geometry(attrs!(attrs, Conv), x[0].shape(), x[1].shape());
        float_kernel(x, out, |x, out| {
            dispatch!(out[0].dtype(), T in float => {
                let bias = x.get(2).map(Tensor::view::<T>);
                checked::forward(&conv, x[0].view::<T>(), x[1].view::<T>(), bias, out[0].view_mut::<T>());
            }, _ => unreachable!());
        })
    }),
    gpu: Gpu::Kernel(|attrs, x, out| gpu::conv2d(x[0], x[1], x.get(2).copied(), attrs!(attrs, Conv), &out[0])),
    reference: None,
    elementwise: false,
};

/// The gradient of a convolution for its input: from that of the result and the weight.
pub static CONV2D_INPUT_GRAD: OpDef = OpDef {
    name: "conv2d_input_grad",
    infer: |attrs, x| {
        same_float("conv2d_input_grad", x)?;
        let c = attrs!(attrs, Conv);
        let expected = output_shape(c, &c.shape, x[1].shape())?;
        let fits = expected.as_slice() == x[0].shape();
        ensure!(fits, Value, "conv2d_input_grad: gradient must have shape {expected:?}, got {:?}", x[0].shape());
        Ok(smallvec![Meta::new(c.shape.clone(), x[0].dtype())])
    },
    vjp: Vjp::Rule {
        saves: Saves::CROSS,
        rule: |c, gs| {
            let (conv, h) = (attrs!(c.attrs, Conv), g(gs));
            let w = &c.in_metas[1].shape;
            let for_grad = if c.needs[0] { Some(conv2d_with(h, c.input(1), None, conv)?) } else { None };
            let for_weight = if c.needs[1] { Some(weight_grad(c.input(0), h, conv, w)?) } else { None };
            Ok(smallvec![for_grad, for_weight])
        },
    },
    cpu: Cpu::Kernel(|attrs, x, out| {
        let c = attrs!(attrs, Conv);
        let conv = geometry(c, &c.shape, x[1].shape());
        float_kernel(x, out, |x, out| {
            dispatch!(out[0].dtype(), T in float => {
                checked::backward_input(&conv, x[0].view::<T>(), x[1].view::<T>(), out[0].view_mut::<T>());
            }, _ => unreachable!());
        })
    }),
    gpu: Gpu::Kernel(|attrs, x, out| gpu::conv2d_input_grad(x[0], x[1], attrs!(attrs, Conv), &out[0])),
    reference: None,
    elementwise: false,
};

/// The gradient of a convolution for its weight: from that of the result and the input.
pub static CONV2D_WEIGHT_GRAD: OpDef = OpDef {
    name: "conv2d_weight_grad",
    infer: |attrs, x| {
        same_float("conv2d_weight_grad", x)?;
        let c = attrs!(attrs, Conv);
        let expected = output_shape(c, x[1].shape(), &c.shape)?;
        let fits = expected.as_slice() == x[0].shape();
        ensure!(fits, Value, "conv2d_weight_grad: gradient must have shape {expected:?}, got {:?}", x[0].shape());
        Ok(smallvec![Meta::new(c.shape.clone(), x[0].dtype())])
    },
    vjp: Vjp::Rule {
        saves: Saves::CROSS,
        rule: |c, gs| {
            let (conv, h) = (attrs!(c.attrs, Conv), g(gs));
            let x = &c.in_metas[1].shape;
            let for_grad = if c.needs[0] { Some(conv2d_with(c.input(1), h, None, conv)?) } else { None };
            let for_input = if c.needs[1] { Some(input_grad(c.input(0), h, conv, x)?) } else { None };
            Ok(smallvec![for_grad, for_input])
        },
    },
    cpu: Cpu::Kernel(|attrs, x, out| {
        let c = attrs!(attrs, Conv);
        let conv = geometry(c, x[1].shape(), &c.shape);
        float_kernel(x, out, |x, out| {
            dispatch!(out[0].dtype(), T in float => {
                checked::backward_weight(&conv, x[1].view::<T>(), x[0].view::<T>(), out[0].view_mut::<T>());
            }, _ => unreachable!());
        })
    }),
    gpu: Gpu::Kernel(|attrs, x, out| gpu::conv2d_weight_grad(x[0], x[1], attrs!(attrs, Conv), &out[0])),
    reference: None,
    elementwise: false,
};

fn conv2d_with(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, c: &Conv) -> Result<Tensor> {
    let attrs = Attrs::Conv(Box::new(Conv { shape: Shape::new(), ..c.clone() }));
    match bias {
        Some(b) => call1(&CONV2D, attrs, &[x, w, b]),
        None => call1(&CONV2D, attrs, &[x, w]),
    }
}

fn input_grad(grad: &Tensor, w: &Tensor, c: &Conv, shape: &[usize]) -> Result<Tensor> {
    call1(&CONV2D_INPUT_GRAD, Attrs::Conv(Box::new(Conv { shape: shape.into(), ..c.clone() })), &[grad, w])
}

fn weight_grad(grad: &Tensor, x: &Tensor, c: &Conv, shape: &[usize]) -> Result<Tensor> {
    call1(&CONV2D_WEIGHT_GRAD, Attrs::Conv(Box::new(Conv { shape: shape.into(), ..c.clone() })), &[grad, x])
}

/// Convolution of images `[n, c, h, w]`, or of one image `[c, h, w]`.
pub fn conv2d(
    x: &Tensor,
    w: &Tensor,
    bias: Option<&Tensor>,
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    groups: usize,
) -> Result<Tensor> {
    let conv = Conv { stride, padding, dilation, groups, shape: Shape::new() };
    if x.ndim() == 3 {
        return movement::squeeze_dim(&conv2d_with(&movement::unsqueeze(x, 0)?, w, bias, &conv)?, 0);
    }
    conv2d_with(x, w, bias, &conv)
}

/// Convolution of signals `[n, c, l]`, or of one signal `[c, l]`: of images of height 1.
pub fn conv1d(
    x: &Tensor,
    w: &Tensor,
    bias: Option<&Tensor>,
    stride: usize,
    padding: usize,
    dilation: usize,
    groups: usize,
) -> Result<Tensor> {
    let ok = (x.ndim() == 2 || x.ndim() == 3) && w.ndim() == 3;
    ensure!(ok, Value, "conv1d: 2-D or 3-D input and 3-D weight are required, got {:?} and {:?}", x.shape(), w.shape());
    let (x, w) = (movement::unsqueeze(x, -2)?, movement::unsqueeze(w, -2)?);
    let y = conv2d(&x, &w, bias, [1, stride], [0, padding], [1, dilation], groups)?;
    movement::squeeze_dim(&y, y.ndim() - 2)
}

/// The convolution of which `conv2d` is the input gradient: "transposed", for upsampling.
pub fn conv_transpose2d(
    x: &Tensor,
    w: &Tensor,
    bias: Option<&Tensor>,
    stride: [usize; 2],
    padding: [usize; 2],
    output_padding: [usize; 2],
    dilation: [usize; 2],
    groups: usize,
) -> Result<Tensor> {
    if x.ndim() == 3 {
        let y =
            conv_transpose2d(&movement::unsqueeze(x, 0)?, w, bias, stride, padding, output_padding, dilation, groups)?;
        return movement::squeeze_dim(&y, 0);
    }
    let (xs, ws) = (x.shape(), w.shape());
    ensure!(
        xs.len() == 4 && ws.len() == 4,
        Value,
        "conv_transpose2d: 4-D input and weight are required, got {xs:?} and {ws:?}"
    );
    ensure!(
        xs[1] == ws[0],
        Value,
        "conv_transpose2d: input channels must be the weight's first dimension, got {xs:?} and {ws:?}"
    );
    let mut shape: Shape = smallvec![xs[0], ws[1] * groups];
    for i in 0..2 {
        let small = output_padding[i] < stride[i].max(dilation[i]);
        ensure!(
            small,
            Value,
            "conv_transpose2d: output_padding must be less than stride or dilation, got {output_padding:?}"
        );
        let reach = dilation[i] * ws[2 + i].saturating_sub(1) + output_padding[i] + 1;
        let length = (xs[2 + i].max(1) - 1) * stride[i] + reach;
        ensure!(
            length > 2 * padding[i],
            Value,
            "conv_transpose2d: padding {padding:?} leaves nothing of length {length}"
        );
        shape.push(length - 2 * padding[i]);
    }
    let conv = Conv { stride, padding, dilation, groups, shape: Shape::new() };
    let y = input_grad(x, w, &conv, &shape)?;
    match bias {
        Some(b) => super::add(&y, &movement::reshape(b, &[1, shape[1], 1, 1])?),
        None => Ok(y),
    }
}
