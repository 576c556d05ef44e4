//! softmax and log-softmax along one dimension.

use super::launch::{Launch, rows_along};
use super::shader::ShaderKey;
use super::transfer::dense;
use crate::dtype::DType;
use crate::ensure;
use crate::error::Result;
use crate::tensor::Tensor;

/// Rows up to this length are done by one thread each.
const SERIAL: usize = 64;
/// Rows of a workgroup whose threads have one each.
const SERIAL_GROUP: usize = 64;

fn key(file: &'static str, n: usize, log: bool) -> ShaderKey {
    ShaderKey::new(file).when(log, "LOG").when(n <= SERIAL, "SERIAL")
}

fn groups(rows: usize, n: usize) -> usize {
    if n <= SERIAL { rows.div_ceil(SERIAL_GROUP) } else { rows }
}

/// `out = softmax(x, dim)` or its logarithm.
pub fn softmax(op: &'static str, log: bool, x: &Tensor, dim: usize, out: &Tensor) -> Result<()> {
    ensure!(x.dtype() == DType::F32, Type, "{op}: GPUs need a float32 tensor, got {}", x.dtype());
    let x = &dense(x)?;
    let (rows, n, inner) = rows_along(x.shape(), dim);
    let mut call = Launch::new(op, key("softmax", n, log), out);
    let out_offset = call.output(out)?;
    let in_offset = call.input(x)?;
    call.size(rows).size(n).size(inner).word(out_offset).word(in_offset);
    call.record(if n == 0 { 0 } else { groups(rows, n) })
}

/// The gradient of [`softmax`] from its result `y`.
pub fn softmax_backward(
    op: &'static str,
    log: bool,
    grad: &Tensor,
    y: &Tensor,
    dim: usize,
    out: &Tensor,
) -> Result<()> {
    let (grad, y) = (&dense(grad)?, &dense(y)?);
    let (rows, n, inner) = rows_along(y.shape(), dim);
    let mut call = Launch::new(op, key("softmax_backward", n, log), out);
    let out_offset = call.output(out)?;
    let grad_offset = call.input(grad)?;
    let y_offset = call.input(y)?;
    call.size(rows).size(n).size(inner).word(out_offset).word(grad_offset).word(y_offset);
    call.record(if n == 0 { 0 } else { groups(rows, n) })
}
