//! New tensors.

use super::attrs::Create;
use crate::dtype::{DType, Typed};
use crate::error::Result;
use crate::layout::checked_numel;
use crate::op::{Attrs, Cpu, Gpu, Meta, Metas, OpDef, Vjp, call1};
use crate::storage::Device;
use crate::tensor::Tensor;
use crate::{attrs, dispatch, ensure};
use pyneuro_kernels::elementwise::checked;
use smallvec::smallvec;

/// Every op of this file.
pub const ALL: &[&OpDef] = &[&FULL, &ARANGE];

fn made(name: &str, attrs: &Attrs) -> Result<Metas> {
    let c = attrs!(attrs, Create);
    checked_numel(name, &c.shape)?;
    Ok(smallvec![Meta::new(c.shape.clone(), c.dtype)])
}

/// One number everywhere.
pub static FULL: OpDef = OpDef {
    name: "full",
    infer: |attrs, _| made("full", attrs),
    vjp: Vjp::None { why: "it has no inputs" },
    cpu: Cpu::Kernel(|attrs, _, out| fill(&out[0], attrs!(attrs, Create).start)),
    gpu: Gpu::Kernel(|attrs, _, out| fill(&out[0], attrs!(attrs, Create).start)),
    reference: None,
    elementwise: false,
};

/// start, start + step, ...
pub static ARANGE: OpDef = OpDef {
    name: "arange",
    infer: |attrs, _| {
        let c = attrs!(attrs, Create);
        ensure!(c.dtype != DType::Bool, Type, "arange: a numeric dtype is required, got bool");
        made("arange", attrs)
    },
    vjp: Vjp::None { why: "it has no inputs" },
    cpu: Cpu::Kernel(|attrs, _, out| {
        let c = attrs!(attrs, Create);
        dispatch!(c.dtype, T in all => {
            for (i, x) in out[0].slice_mut::<T>().iter_mut().enumerate() {
                *x = T::from_f64(c.start + i as f64 * c.step);
            }
        });
        Ok(())
    }),
    gpu: Gpu::Kernel(crate::gpu::arange),
    reference: None,
    elementwise: false,
};

/// Below this many elements a plain loop is done before the strided machinery has looked at the shapes.
const SMALL: usize = 4096;

/// Writes one number everywhere, on either device, without history.
pub fn fill(t: &Tensor, value: f64) -> Result<()> {
    if let Device::Gpu(_) = t.device() {
        return crate::gpu::fill(t, value);
    }
    if t.is_contiguous() && t.numel() < SMALL {
        dispatch!(t.dtype(), T in all => t.view_mut::<T>().into_slice().into_iter().for_each(|s| s.fill(T::from_f64(value))));
        return Ok(());
    }
    let one = Tensor::scalar(value, t.dtype())?;
    let source = Tensor::from_parts(one.storage().clone(), one.layout().broadcast_to(t.shape()), t.dtype());
    dispatch!(t.dtype(), T in all => checked::map1(|x: T| x, source.view::<T>(), t.view_mut::<T>()));
    Ok(())
}

fn create(shape: &[usize], start: f64, step: f64, dtype: DType, device: Device) -> Attrs {
    Attrs::Create(Box::new(Create { shape: shape.into(), dtype, device, start, step }))
}

/// One number everywhere.
pub fn full(shape: &[usize], value: f64, dtype: DType, device: Device) -> Result<Tensor> {
    call1(&FULL, create(shape, value, 0.0, dtype, device), &[])
}

/// `len` numbers from `start` in steps of `step`.
pub fn arange(start: f64, step: f64, len: usize, dtype: DType, device: Device) -> Result<Tensor> {
    call1(&ARANGE, create(&[len], start, step, dtype, device), &[])
}

/// With unspecified contents.
pub fn empty(shape: &[usize], dtype: DType, device: Device) -> Result<Tensor> {
    checked_numel("empty", shape)?;
    Tensor::empty_on(shape, dtype, device)
}

/// An integer everywhere, exact for every int64.
pub fn full_int(shape: &[usize], value: i64, dtype: DType, device: Device) -> Result<Tensor> {
    if dtype == DType::I64 && value != value as f64 as i64 {
        let one = Tensor::scalar_int(value)?;
        return super::to_device(&super::copy(&super::expand(&one, shape)?)?, device);
    }
    full(shape, value.to_f64(), dtype, device)
}
