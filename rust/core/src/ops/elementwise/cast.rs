//! Conversion between dtypes, and strided copies.

use crate::dtype::{DType, Typed};
use crate::error::Result;
use crate::op::{Attrs, Cpu, Gpu, Meta, OpDef, Saves, Vjp, call1};
use crate::ops::{g, one};
use crate::tensor::Tensor;
use crate::{attrs, dispatch};
use pyneuro_kernels::elementwise::checked;
use smallvec::smallvec;

/// The same numbers in another dtype: floats to integers towards zero, integers wrapping, anything non-zero to true.
pub static CAST: OpDef = OpDef {
    name: "cast",
    infer: |attrs, x| Ok(smallvec![Meta::new(x[0].shape_vec(), *attrs!(attrs, Cast))]),
    vjp: Vjp::Rule { saves: Saves::NOTHING, rule: |c, gs| one(cast(g(gs), c.in_metas[0].dtype)) },
    cpu: Cpu::Kernel(|_, x, out| {
        convert_into(x[0], &out[0]);
        Ok(())
    }),
    gpu: Gpu::Elementwise { float: "x", int: "x" },
    reference: None,
    elementwise: true,
};

/// In another dtype, with history; itself if it has that dtype already.
#[inline]
pub fn cast(t: &Tensor, dtype: DType) -> Result<Tensor> {
    if t.dtype() == dtype { Ok(t.clone()) } else { call1(&CAST, Attrs::Cast(dtype), &[t]) }
}

/// In another dtype, without history, on the CPU.
pub fn converted(t: &Tensor, dtype: DType) -> Result<Tensor> {
    let out = Tensor::empty(t.shape(), dtype)?;
    convert_into(t, &out);
    Ok(out)
}

/// Writes `t`'s numbers into `out`, which has its shape.
pub fn convert_into(t: &Tensor, out: &Tensor) {
    dispatch!(t.dtype(), A in all => dispatch!(out.dtype(), O in all => convert::<A, O>(t, out)));
}

fn convert<A: Typed, O: Typed>(t: &Tensor, out: &Tensor) {
    use crate::dtype::Category::Float;
    // Through a double only between floats (exact) or from a float; integers go through int64 and keep every bit.
    match (A::DTYPE.category(), O::DTYPE.category()) {
        (Float, _) => checked::map1(|a: A| O::from_f64(a.to_f64()), t.view::<A>(), out.view_mut::<O>()),
        _ => checked::map1(|a: A| O::from_i64(a.to_i64()), t.view::<A>(), out.view_mut::<O>()),
    }
}

/// Copies elements between CPU tensors of one shape and dtype, by width alone.
pub fn copy_cpu(source: &Tensor, target: &Tensor) {
    macro_rules! copy {
        ($t:ty) => {
            checked::map1(|a: $t| a, source.view::<$t>(), target.view_mut::<$t>())
        };
    }
    match source.dtype().size() {
        1 => copy!(u8),
        2 => copy!(i16),
        4 => copy!(f32),
        _ => copy!(f64),
    }
}
