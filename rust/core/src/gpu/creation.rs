//! New tensors, and the triangles of matrices: what depends on an element's position.

use super::elementwise::{Operand, map_with};
use crate::attrs;
use crate::error::Result;
use crate::op::Attrs;
use crate::tensor::Tensor;

/// The kernel of `arange`.
pub fn arange(attrs: &Attrs, _: &[&Tensor], out: &[Tensor]) -> Result<()> {
    let create = attrs!(attrs, Create);
    let (start, step) = (create.start, create.step);
    let floats = [(start as f32).to_bits(), (step as f32).to_bits(), 0, 0];
    if create.dtype.is_float() {
        return map_with("arange", &out[0], &[], "fma(f32(i), p1, p0)", floats);
    }
    if start.fract() == 0.0 && step.fract() == 0.0 {
        let whole = [start as i32 as u32, step as i32 as u32, 0, 0];
        return map_with("arange", &out[0], &[], "p0 + i32(i) * p1", whole);
    }
    let float = "trunc_to_int(fma(f32(i), bitcast<f32>(p.extra.y), bitcast<f32>(p.extra.x)))";
    map_with("arange", &out[0], &[], float, floats)
}

/// The lower (`tril`) or upper triangle of the last two dimensions, zero elsewhere; `diagonal` is the last one kept of
/// the lower, or the first one kept of the upper.
pub fn triangle(op: &'static str, lower: bool, diagonal: i64, x: &Tensor, out: &Tensor) -> Result<()> {
    let n = x.ndim();
    let diagonal = i32::try_from(diagonal).unwrap_or(if diagonal > 0 { i32::MAX / 2 } else { i32::MIN / 2 });
    let extra = [x.shape()[n - 1] as u32, x.shape()[n - 2] as u32, diagonal as u32, 0];
    let keep = if lower { "<=" } else { ">=" };
    let place = "i32(i % p.extra.x) - i32((i / p.extra.x) % p.extra.y)";
    let zero = if x.dtype().is_float() { "0.0" } else { "0" };
    let expression = format!("select({zero}, x, {place} {keep} bitcast<i32>(p.extra.z))");
    map_with(op, out, &[Operand::from(x)], &expression, extra)
}
