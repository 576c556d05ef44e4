//! Reductions over any set of dimensions.

use super::elementwise::{convert, needs_math};
use super::launch::{Launch, Merged, buffer, rows_along, word_type};
use super::shader::ShaderKey;
use super::transfer::{dense, empty};
use crate::dtype::DType;
use crate::error::Result;
use crate::layout::Layout;
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// Results of a workgroup whose threads have one each.
const SERIAL_GROUP: usize = 64;

/// What a reduction does with two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are their own documentation")]
pub enum Kind {
    Sum,
    Mean,
    Prod,
    Max,
    Min,
    Any,
    All,
}

impl Kind {
    /// Neutral element and combination of `x` and `y`, for float or integer accumulators.
    fn code(self, float: bool) -> (&'static str, &'static str) {
        match (self, float) {
            (Self::Sum | Self::Mean, true) => ("0.0", "x + y"),
            (Self::Sum | Self::Mean, false) => ("0", "x + y"),
            (Self::Prod, true) => ("1.0", "x * y"),
            (Self::Prod, false) => ("1", "x * y"),
            (Self::Max, true) => ("-infinity()", "maximum_(x, y)"),
            (Self::Max, false) => ("(-2147483647 - 1)", "max(x, y)"),
            (Self::Min, true) => ("infinity()", "minimum_(x, y)"),
            (Self::Min, false) => ("2147483647", "min(x, y)"),
            (Self::Any, _) => ("0", "x | y"),
            (Self::All, _) => ("1", "x & y"),
        }
    }
}

/// The dimensions of `x` that stay and those that are reduced, each as kernels want them.
struct Parts {
    kept: Merged<1>,
    reduced: Merged<1>,
    outputs: usize,
    count: usize,
}

impl Parts {
    fn new(op: &str, layout: &Layout, dims: &[usize]) -> Result<Self> {
        let pick = |reduced: bool| -> (SmallVec<[usize; 6]>, SmallVec<[isize; 6]>) {
            (0..layout.shape.len())
                .filter(|d| dims.contains(d) == reduced)
                .map(|d| (layout.shape[d], layout.strides[d]))
                .unzip()
        };
        let (kept, reduced) = (pick(false), pick(true));
        Ok(Self {
            outputs: kept.0.iter().product(),
            count: reduced.0.iter().product(),
            kept: Merged::new(op, &kept.0, [&kept.1])?,
            reduced: Merged::new(op, &reduced.0, [&reduced.1])?,
        })
    }

    fn write(&self, call: &mut Launch) {
        call.dims(&self.kept.shape).dims(&self.kept.strides[0]);
        call.dims(&self.reduced.shape).dims(&self.reduced.strides[0]);
    }

    /// Whether neighbouring results lie closer together than the elements of one.
    fn kept_is_dense(&self) -> bool {
        let nearest = |m: &Merged<1>| m.strides[0].iter().map(|s| s.unsigned_abs()).min().unwrap_or(usize::MAX);
        nearest(&self.kept) < nearest(&self.reduced)
    }
}

/// `out[kept] = kind over x[kept, dims]`; `out` is contiguous, with or without the reduced dimensions.
pub fn reduce(op: &'static str, kind: Kind, x: &Tensor, dims: &[usize], out: &Tensor) -> Result<()> {
    let parts = Parts::new(op, x.layout(), dims)?;
    let acc = match kind {
        Kind::Any | Kind::All => DType::Bool,
        _ => out.dtype(),
    };
    let map = convert("v", x.dtype(), acc);
    // A long reduction to few results would keep few workgroups busy: cut it, and reduce the pieces' results.
    let pieces = if parts.outputs < 64 && parts.count >= 1 << 16 { (parts.count >> 14).min(256) } else { 1 };
    if pieces == 1 {
        return launch(op, kind, x, &parts, &map, out, 1, Some(parts.count));
    }
    let partial = empty(&[pieces, parts.outputs], acc, buffer(x).device())?;
    launch(op, kind, x, &parts, &map, &partial, pieces, None)?;
    let stages = Parts::new(op, partial.layout(), &[0])?;
    launch(op, kind, &partial, &stages, "v", out, 1, Some(parts.count))
}

/// `total` is given for the last stage: what a mean divides by.
fn launch(
    op: &'static str,
    kind: Kind,
    x: &Tensor,
    parts: &Parts,
    map: &str,
    out: &Tensor,
    pieces: usize,
    total: Option<usize>,
) -> Result<()> {
    let word = word_type(out.dtype())?;
    let (init, combine) = kind.code(word == "f32");
    let serial = pieces == 1
        && (parts.count <= 32
            || (parts.outputs >= 16384 && parts.count <= 256)
            || (parts.outputs >= 1024 && parts.count <= 8192 && parts.kept_is_dense()));
    let finish = if kind == Kind::Mean && total.is_some() { "x / bitcast<f32>(p.scale)" } else { "x" };
    let key = ShaderKey::new("reduce")
        .with("IN", word_type(x.dtype())?)
        .with("ACC", word)
        .with("OUT", word)
        .with("INIT", init)
        .with("MAP", map)
        .with("COMBINE", combine)
        .with("FINISH", finish)
        .when(needs_math(map), "MATH")
        .when(serial, "SERIAL");
    let mut call = Launch::new(op, key, out);
    let out_offset = call.output(out)?;
    let in_offset = call.input(x)?;
    call.size(parts.outputs).size(parts.count).size(parts.count.div_ceil(pieces)).size(pieces);
    call.word(out_offset).word(in_offset).size(parts.kept.shape.len()).size(parts.reduced.shape.len());
    call.float(total.unwrap_or(1) as f64).word(0).word(0).word(0);
    parts.write(&mut call);
    call.record(if serial { parts.outputs.div_ceil(SERIAL_GROUP) } else { parts.outputs * pieces })
}

/// The extreme element over `dims` and its index (row-major over the reduced dimensions), either of which may be unwanted.
pub fn arg_reduce(
    op: &'static str,
    max: bool,
    x: &Tensor,
    dims: &[usize],
    values: Option<&Tensor>,
    indices: Option<&Tensor>,
) -> Result<()> {
    let Some(on) = values.or(indices) else { return Ok(()) };
    let parts = Parts::new(op, x.layout(), dims)?;
    let word = word_type(x.dtype())?;
    let key = ShaderKey::new("arg_reduce")
        .with("T", word)
        .with("BEATS", if max { "x > y" } else { "x < y" })
        .when(word == "f32", "FLOAT");
    let mut call = Launch::new(op, key, on);
    let mut offsets = [0, 0];
    for (name, t, offset) in [("VALUES", values, 0), ("INDICES", indices, 1)] {
        if let Some(t) = t {
            offsets[offset] = call.output(t)?;
            let binding = call.bound().to_string();
            call.define(name, binding);
        }
    }
    let in_offset = call.input(x)?;
    let binding = call.bound().to_string();
    call.define("IN_BINDING", binding);
    call.size(parts.outputs).size(parts.count).word(offsets[0]).word(offsets[1]).word(in_offset);
    call.size(parts.kept.shape.len()).size(parts.reduced.shape.len()).word(0);
    parts.write(&mut call);
    call.record(parts.outputs)
}

/// Running sums along `dim`, in the dtype of `out`.
pub fn cumsum(x: &Tensor, dim: usize, out: &Tensor) -> Result<()> {
    if out.numel() == 0 {
        return Ok(());
    }
    let x = &dense(x)?;
    let (rows, n, inner) = rows_along(x.shape(), dim);
    let map = convert("v", x.dtype(), out.dtype());
    let key = ShaderKey::new("cumsum")
        .with("T", word_type(out.dtype())?)
        .with("IN", word_type(x.dtype())?)
        .when(out.dtype().is_float(), "FLOAT")
        .with("MAP", map);
    let mut call = Launch::new("cumsum", key, out);
    let out_offset = call.output(out)?;
    let in_offset = call.input(x)?;
    call.size(rows).size(n).size(inner).word(out_offset).word(in_offset);
    call.record(rows)
}
