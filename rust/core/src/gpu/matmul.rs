//! Matrix products.

use super::elementwise::map;
use super::launch::{Launch, Merged, buffer};
use super::reduce::{Kind, reduce};
use super::shader::ShaderKey;
use super::transfer::empty;
use crate::dtype::DType;
use crate::ensure;
use crate::error::Result;
use crate::layout::Layout;
use crate::tensor::Tensor;

/// The tile of a workgroup, in rows and columns: small where the result is, so that few lanes compute nothing.
pub fn tile(m: usize, n: usize) -> (usize, usize) {
    match (m, n) {
        (..=16, _) => (16, 64),
        (_, ..=16) => (64, 16),
        (..=32, _) | (_, ..=32) => (32, 32),
        _ => (64, 64),
    }
}

/// Into how many pieces to cut a sum of length `k` when there are this many workgroups: enough to keep a GPU busy.
pub fn pieces(k: usize, groups: usize) -> usize {
    if groups >= 64 || k < 1024 { 1 } else { (k / 512).min(16) }
}

/// `out[..., m, n] = sum over k of a[..., m, k] b[..., k, n] (+ bias[n])`; leading dimensions broadcast to those of
/// `out`, which is contiguous.  Layouts may be any; `a` and `b` have at least two dimensions.
pub fn matmul(
    op: &'static str,
    (a, a_layout): (&Tensor, &Layout),
    (b, b_layout): (&Tensor, &Layout),
    bias: Option<&Tensor>,
    out: &Tensor,
) -> Result<()> {
    for t in [a, b] {
        ensure!(t.dtype() == DType::F32, Type, "{op}: GPUs multiply float32 matrices only, got {}", t.dtype());
    }
    let lead = out.ndim() - 2;
    let batch_shape = &out.shape()[..lead];
    let (mut m, n) = (out.shape()[lead], out.shape()[lead + 1]);
    let k = a_layout.shape[a_layout.shape.len() - 1];
    let spread = |l: &Layout, rows: usize, cols: usize| {
        let mut shape = out.shape_vec();
        shape[lead] = rows;
        shape[lead + 1] = cols;
        l.broadcast_to(&shape)
    };
    let (mut a_layout, b_layout) = (spread(a_layout, m, k), spread(b_layout, k, n));
    let mut batch = Merged::new(op, batch_shape, [&a_layout.strides[..lead], &b_layout.strides[..lead]])?;
    // One matrix on the right of all batches: their rows follow each other, so it is one tall product.
    if let ([count], [step], [0]) = (&batch.shape[..], &batch.strides[0][..], &batch.strides[1][..])
        && *step == a_layout.strides[lead] * m as isize
    {
        m *= count;
        a_layout.shape[lead] = m;
        batch = Merged::new(op, &[], [&[], &[]])?;
    }
    let batches: usize = batch.shape.iter().product();
    let (tile_m, tile_n) = tile(m, n);
    let groups = m.div_ceil(tile_m) * n.div_ceil(tile_n) * batches;
    let pieces = pieces(k, groups);

    let partial =
        if pieces > 1 { Some(empty(&[pieces, batches * m * n], DType::F32, buffer(out).device())?) } else { None };
    let target = partial.as_ref().unwrap_or(out);
    let bias_here = bias.filter(|_| pieces == 1);
    let key = ShaderKey::new("matmul")
        .with("TILE_M", tile_m.to_string())
        .with("TILE_N", tile_n.to_string())
        .when(bias_here.is_some(), "BIAS");
    let mut call = Launch::new(op, key, out);
    let out_offset = call.output(target)?;
    let a_offset = call.input_as(a, &a_layout)?;
    let b_offset = call.input_as(b, &b_layout)?;
    let bias_offset = bias_here.map_or(Ok(0), |bias| call.input(bias))?;
    let bias_stride = bias_here.map_or(0, |bias| bias.layout().strides.last().copied().unwrap_or(0));
    let (a_m, a_k) = (a_layout.strides[lead], a_layout.strides[lead + 1]);
    let (b_k, b_n) = (b_layout.strides[lead], b_layout.strides[lead + 1]);
    call.size(m).size(n).size(k).size(pieces * batches);
    call.word(u32::from(a_k == 1)).word(u32::from(b_k == 1 && b_n != 1)).size(k.div_ceil(pieces).max(1)).size(batches);
    call.word(a_offset).word(b_offset).word(bias_offset).signed(bias_stride);
    call.signed(a_m).signed(a_k).signed(b_k).signed(b_n);
    call.word(out_offset).size(batch.shape.len()).word(0).word(0);
    call.dims(&batch.shape).dims(&batch.strides[0]).dims(&batch.strides[1]);
    call.record(groups * pieces)?;

    if let Some(partial) = &partial {
        let flat = Tensor::from_parts(out.storage().clone(), flat_layout(out), out.dtype());
        reduce(op, Kind::Sum, partial, &[0], &flat)?;
        if let Some(bias) = bias {
            map(op, out, &[out.into(), bias.into()], "x + y")?;
        }
    }
    Ok(())
}

/// A contiguous tensor seen as one dimension.
fn flat_layout(t: &Tensor) -> Layout {
    Layout { offset: t.layout().offset, ..Layout::contiguous(&[t.numel()]) }
}
