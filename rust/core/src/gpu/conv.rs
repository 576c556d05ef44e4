//! Two-dimensional convolution and its gradients, each as an implicit matrix product.

use super::launch::{Launch, buffer};
use super::matmul::{pieces, tile};
use super::reduce::{Kind, reduce};
use super::shader::ShaderKey;
use super::transfer::{dense, empty};
use crate::dtype::DType;
use crate::ensure;
use crate::error::Result;
use crate::layout::Layout;
use crate::ops::attrs::Conv;
use crate::tensor::Tensor;

/// Sizes of one convolution: `x` is (n, c, h, w), `w` is (o, c / groups, kh, kw), `y` is (n, o, oh, ow).
struct Geometry<'a> {
    x: &'a [usize],
    w: &'a [usize],
    y: &'a [usize],
    conv: &'a Conv,
}

impl Geometry<'_> {
    /// Checks dtypes and makes the call, with the matrix product's sizes filled in; returns it and its workgroups.
    fn start(
        &self,
        op: &'static str,
        on: &Tensor,
        file: &'static str,
        (m, n): (usize, usize),
    ) -> Result<(Launch, usize)> {
        ensure!(on.dtype() == DType::F32, Type, "{op}: GPUs convolve float32 tensors only, got {}", on.dtype());
        let (tile_m, tile_n) = tile(m, n);
        let key = ShaderKey::new(file).with("TILE_M", tile_m.to_string()).with("TILE_N", tile_n.to_string());
        Ok((Launch::new(op, key, on), m.div_ceil(tile_m) * n.div_ceil(tile_n)))
    }

    fn write(&self, call: &mut Launch, [m, n, k]: [usize; 3], pieces: usize, k_fast: [bool; 2], offsets: [u32; 4]) {
        let Self { x, w, y, conv } = self;
        call.size(m).size(n).size(k).size(conv.groups * pieces);
        call.word(u32::from(k_fast[0])).word(u32::from(k_fast[1])).size(k.div_ceil(pieces).max(1)).size(conv.groups);
        call.size(x[1]).size(x[2]).size(x[3]).size(w[1]);
        call.size(y[1]).size(y[2]).size(y[3]).size(y[1] / conv.groups);
        call.size(w[2]).size(w[3]).sizes(&conv.stride).sizes(&conv.padding).sizes(&conv.dilation);
        for offset in offsets {
            call.word(offset);
        }
    }
}

/// `out = conv2d(x, w) + bias`.
pub fn conv2d(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, conv: &Conv, out: &Tensor) -> Result<()> {
    let (x, w) = (&dense(x)?, &dense(w)?);
    let geometry = Geometry { x: x.shape(), w: w.shape(), y: out.shape(), conv };
    let k = w.shape()[1] * w.shape()[2] * w.shape()[3];
    let (m, n) = (w.shape()[0] / conv.groups, out.shape()[0] * out.shape()[2] * out.shape()[3]);
    let (mut call, groups) = geometry.start("conv2d", out, "conv2d", (m, n))?;
    let out_offset = call.output(out)?;
    let x_offset = call.input(x)?;
    let w_offset = call.input(w)?;
    let mut bias_offset = 0;
    let bias = bias.map(dense).transpose()?;
    if let Some(bias) = &bias {
        bias_offset = call.input(bias)?;
        call.define("BIAS", "");
    }
    geometry.write(&mut call, [m, n, k], 1, [true, false], [out_offset, x_offset, w_offset, bias_offset]);
    call.record(groups * conv.groups)
}

/// The gradient for the input, which `out` has the shape of: also the transposed convolution.
pub fn conv2d_input_grad(grad: &Tensor, w: &Tensor, conv: &Conv, out: &Tensor) -> Result<()> {
    let (grad, w) = (&dense(grad)?, &dense(w)?);
    let geometry = Geometry { x: out.shape(), w: w.shape(), y: grad.shape(), conv };
    let k = w.shape()[0] / conv.groups * w.shape()[2] * w.shape()[3];
    let (m, n) = (w.shape()[1], out.shape()[0] * out.shape()[2] * out.shape()[3]);
    let (mut call, groups) = geometry.start("conv2d_input_grad", out, "conv2d_input_grad", (m, n))?;
    let out_offset = call.output(out)?;
    let grad_offset = call.input(grad)?;
    let w_offset = call.input(w)?;
    geometry.write(&mut call, [m, n, k], 1, [true, false], [out_offset, grad_offset, w_offset, 0]);
    call.record(groups * conv.groups)
}

/// The gradient for the weight, which `out` has the shape of.
pub fn conv2d_weight_grad(grad: &Tensor, x: &Tensor, conv: &Conv, out: &Tensor) -> Result<()> {
    let (grad, x) = (&dense(grad)?, &dense(x)?);
    let geometry = Geometry { x: x.shape(), w: out.shape(), y: grad.shape(), conv };
    let k = grad.shape()[0] * grad.shape()[2] * grad.shape()[3];
    let (m, n) = (out.shape()[0] / conv.groups, out.shape()[1] * out.shape()[2] * out.shape()[3]);
    let (mut call, groups) = geometry.start("conv2d_weight_grad", out, "conv2d_weight_grad", (m, n))?;
    let pieces = pieces(k, groups * conv.groups);
    let partial =
        if pieces > 1 { Some(empty(&[pieces, out.numel()], DType::F32, buffer(out).device())?) } else { None };
    let out_offset = call.output(partial.as_ref().unwrap_or(out))?;
    let x_offset = call.input(x)?;
    let grad_offset = call.input(grad)?;
    geometry.write(&mut call, [m, n, k], pieces, [true, true], [out_offset, x_offset, grad_offset, 0]);
    call.record(groups * conv.groups * pieces)?;
    if let Some(partial) = &partial {
        let layout = Layout { offset: out.layout().offset, ..Layout::contiguous(&[out.numel()]) };
        let flat = Tensor::from_parts(out.storage().clone(), layout, DType::F32);
        reduce("conv2d_weight_grad", Kind::Sum, partial, &[0], &flat)?;
    }
    Ok(())
}
