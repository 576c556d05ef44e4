//! Two-dimensional pooling and its gradients, over contiguous (..., height, width) tensors.

use super::launch::Launch;
use super::shader::ShaderKey;
use super::transfer::dense;
use crate::dtype::DType;
use crate::ensure;
use crate::error::Result;
use crate::ops::attrs::Pool;
use crate::tensor::Tensor;

const GROUP: usize = 256;

/// The sizes, as `pool2d_params.wgsl` has them; `count` threads.
fn write(call: &mut Launch, count: usize, x: &[usize], y: &[usize], pool: &Pool, offsets: [u32; 3]) {
    let (x, y) = (&x[x.len() - 2..], &y[y.len() - 2..]);
    call.size(count).sizes(x).sizes(y);
    call.sizes(&pool.kernel).sizes(&pool.stride).sizes(&pool.padding).sizes(&pool.dilation);
    // The divisor travels as a signed number.
    call.word(u32::from(pool.count_include_pad)).size(pool.divisor.unwrap_or(0));
    for offset in offsets {
        call.word(offset);
    }
}

fn check(op: &str, t: &Tensor) -> Result<()> {
    ensure!(t.dtype() == DType::F32, Type, "{op}: GPUs pool float32 tensors only, got {}", t.dtype());
    Ok(())
}

/// The largest element of each window and its position in the plane.
pub fn max_pool2d(x: &Tensor, pool: &Pool, out: &Tensor, indices: &Tensor) -> Result<()> {
    check("max_pool2d", x)?;
    let x = &dense(x)?;
    let mut call = Launch::new("max_pool2d", ShaderKey::new("max_pool2d"), out);
    let out_offset = call.output(out)?;
    let indices_offset = call.output(indices)?;
    let in_offset = call.input(x)?;
    write(&mut call, out.numel(), x.shape(), out.shape(), pool, [out_offset, in_offset, indices_offset]);
    call.record(out.numel().div_ceil(GROUP))
}

/// The gradient of [`max_pool2d`], from its indices.
pub fn max_pool2d_backward(grad: &Tensor, indices: &Tensor, pool: &Pool, out: &Tensor) -> Result<()> {
    check("max_pool2d_backward", grad)?;
    let (grad, indices) = (&dense(grad)?, &dense(indices)?);
    let mut call = Launch::new("max_pool2d_backward", ShaderKey::new("max_pool2d_backward"), out);
    let out_offset = call.output(out)?;
    let grad_offset = call.input(grad)?;
    let indices_offset = call.input(indices)?;
    write(&mut call, out.numel(), out.shape(), grad.shape(), pool, [out_offset, grad_offset, indices_offset]);
    call.record(out.numel().div_ceil(GROUP))
}

/// The mean of each window.
pub fn avg_pool2d(x: &Tensor, pool: &Pool, out: &Tensor) -> Result<()> {
    check("avg_pool2d", x)?;
    let x = &dense(x)?;
    let mut call = Launch::new("avg_pool2d", ShaderKey::new("avg_pool2d"), out);
    let out_offset = call.output(out)?;
    let in_offset = call.input(x)?;
    write(&mut call, out.numel(), x.shape(), out.shape(), pool, [out_offset, in_offset, 0]);
    call.record(out.numel().div_ceil(GROUP))
}

/// The gradient of [`avg_pool2d`].
pub fn avg_pool2d_backward(grad: &Tensor, pool: &Pool, out: &Tensor) -> Result<()> {
    check("avg_pool2d_backward", grad)?;
    let grad = &dense(grad)?;
    let mut call = Launch::new("avg_pool2d_backward", ShaderKey::new("avg_pool2d_backward"), out);
    let out_offset = call.output(out)?;
    let grad_offset = call.input(grad)?;
    write(&mut call, out.numel(), out.shape(), grad.shape(), pool, [out_offset, grad_offset, 0]);
    call.record(out.numel().div_ceil(GROUP))
}
