//! Reading and writing at positions that a tensor names.

use super::launch::{Launch, Merged, word_type};
use super::shader::ShaderKey;
use super::stream::FAULT_OPS;
use crate::error::Result;
use crate::layout::Layout;
use crate::tensor::Tensor;

const GROUP: usize = 256;
const SCATTER_GROUP: usize = 64;

/// The number by which a kernel names `op` when it reports a bad index or divisor.
pub(super) fn fault_number(op: &str) -> u32 {
    FAULT_OPS.iter().position(|&name| name == op).unwrap_or(0) as u32
}

/// `out[i, j, ...] = x[i, index[i, j, ...], ...]` along `dim`.  `index` has the shape of `out` (strides may be 0);
/// `x` is at least as long in every other dimension.
pub fn gather(
    op: &'static str,
    x: &Tensor,
    dim: usize,
    index: &Tensor,
    index_layout: &Layout,
    out: &Tensor,
) -> Result<()> {
    let mut x_strides = x.layout().strides.clone();
    let (size, stride) = match x.shape().get(dim) {
        Some(&size) => (size, std::mem::take(&mut x_strides[dim])),
        None => (1, 0), // a 0-d tensor counts as one element
    };
    let merged = Merged::new(op, out.shape(), [&out.layout().strides, &x_strides, &index_layout.strides])?;
    let key = ShaderKey::new("gather").with("T", word_type(x.dtype())?);
    let mut call = Launch::new(op, key, out);
    let out_offset = call.output(out)?;
    call.fault()?;
    let in_offset = call.input(x)?;
    let index_offset = call.input_as(index, index_layout)?;
    call.size(out.numel()).size(merged.shape.len()).size(size).signed(stride);
    call.word(out_offset).word(in_offset).word(index_offset).word(fault_number(op));
    call.dims(&merged.shape).dims(&merged.strides[1]).dims(&merged.strides[2]);
    call.record(out.numel().div_ceil(GROUP))
}

/// `out[i, index[i, j, ...], ...] = source[i, j, ...]` along `dim`, or `+=`.  `out` already holds what is written over;
/// `source` is at least as long as `index` in every dimension.
pub fn scatter(
    op: &'static str,
    add: bool,
    out: &Tensor,
    dim: usize,
    index: &Tensor,
    index_layout: &Layout,
    source: &Tensor,
) -> Result<()> {
    // One thread per column: all dimensions of the index but the indexed one.
    let split = |l: &Layout| {
        let mut strides = l.strides.clone();
        let stride = if strides.is_empty() { 0 } else { strides.remove(dim) };
        (stride, strides)
    };
    let mut shape = index_layout.shape.clone();
    let length = if shape.is_empty() { 1 } else { shape.remove(dim) };
    let columns: usize = shape.iter().product();
    let (out_stride, out_strides) = split(out.layout());
    let (source_stride, source_strides) = split(source.layout());
    let (index_stride, index_strides) = split(index_layout);
    let merged = Merged::new(op, &shape, [&out_strides, &source_strides, &index_strides])?;
    let key = ShaderKey::new("scatter").with("T", word_type(out.dtype())?).when(add, "ADD");
    let mut call = Launch::new(op, key, out);
    let out_offset = call.output(out)?;
    call.fault()?;
    let index_offset = call.input_as(index, index_layout)?;
    let source_offset = call.input(source)?;
    call.size(columns).size(merged.shape.len()).size(length).size(out.shape().get(dim).copied().unwrap_or(1));
    call.word(out_offset).word(source_offset).word(index_offset).word(fault_number(op));
    call.signed(out_stride).signed(source_stride).signed(index_stride).word(0);
    call.dims(&merged.shape);
    for strides in &merged.strides {
        call.dims(strides);
    }
    call.record(if length == 0 { 0 } else { columns.div_ceil(SCATTER_GROUP) })
}
