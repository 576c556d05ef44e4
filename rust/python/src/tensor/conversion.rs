//! Methods that convert to another dtype or device.

#![allow(
    unsafe_op_in_unsafe_fn,
    reason = "PyO3's expansion, which the lint sees where a macro of ours holds the methods"
)]

use super::{PyTensor, heavy, wrap_or_self};
use crate::convert::type_error;
use crate::error::run;
use crate::types::{PyDType, PyDevice, device_of, dtype_of, opt_device, opt_dtype};
use pyneuro_core::{DType, Device, ops};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

/// In another dtype and on another device; the object itself where nothing changes and no copy is asked for.
fn convert<'py>(
    slf: &Bound<'py, PyTensor>,
    dtype: Option<DType>,
    device: Option<Device>,
    copy: bool,
) -> PyResult<Bound<'py, PyTensor>> {
    let t = slf.get().get();
    let (dtype, device) = (dtype.unwrap_or(t.dtype()), device.unwrap_or(t.device()));
    let heavy = heavy([&t]) || device != t.device();
    let made = run(slf.py(), heavy, || {
        // Convert on the CPU where one side is there: GPUs lack some dtypes.
        let made = if device == Device::Cpu {
            ops::cast(&ops::to_device(&t, device)?, dtype)?
        } else {
            ops::to_device(&ops::cast(&t, dtype)?, device)?
        };
        if copy && made.is(&t) { ops::copy(&made) } else { Ok(made) }
    })?;
    wrap_or_self(slf, made)
}

macro_rules! casts { ($($name:ident $dtype:ident $doc:literal),* $(,)?) => {
    #[pymethods]
    impl PyTensor {
        $(
            #[doc = $doc]
            fn $name<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
                convert(slf, Some(DType::$dtype), None, false)
            }
        )*
    }
} }
casts!(
    float F32 "Converted to float32.",
    double F64 "Converted to float64.",
    half F16 "Converted to float16.",
    bfloat16 BF16 "Converted to bfloat16.",
    long I64 "Converted to int64.",
    int I32 "Converted to int32.",
    short I16 "Converted to int16.",
    char I8 "Converted to int8.",
    byte U8 "Converted to uint8.",
    bool Bool "Converted to bool: whether each element differs from 0.",
);

#[pymethods]
impl PyTensor {
    /// Converted to a dtype, a device, both, or those of another tensor; itself where nothing changes.
    #[pyo3(signature = (*args, dtype=None, device=None, non_blocking=false, copy=false))]
    fn to<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        dtype: Option<&Bound<'py, PyAny>>,
        device: Option<&Bound<'py, PyAny>>,
        non_blocking: bool,
        copy: bool,
    ) -> PyResult<Bound<'py, Self>> {
        let _ = non_blocking; // transfers are ordered by the stream
        let (mut dtype, mut device) = (opt_dtype(dtype)?, opt_device(device)?);
        let (mut copy, mut flags) = (copy, 0);
        for arg in args.iter() {
            if arg.is_none() {
                continue;
            }
            if let Ok(other) = arg.cast::<Self>() {
                let other = other.get().get();
                twice(dtype.replace(other.dtype()).is_some() || device.replace(other.device()).is_some())?;
            } else if arg.cast::<PyDevice>().is_ok() || is_device_text(&arg) {
                twice(device.replace(device_of(&arg)?).is_some())?;
            } else if let Ok(flag) = arg.cast::<pyo3::types::PyBool>() {
                // After the target torch takes non_blocking and copy by position.
                flags += 1;
                if flags == 2 {
                    copy = flag.is_true();
                }
            } else if arg.cast::<PyDType>().is_ok() || dtype_of(&arg).is_ok() {
                twice(dtype.replace(dtype_of(&arg)?).is_some())?;
            } else {
                return Err(type_error("to", "a dtype, a device or a Tensor", &arg));
            }
        }
        convert(slf, dtype, device, copy)
    }

    /// On the CPU.
    fn cpu<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        convert(slf, None, Some(Device::Cpu), false)
    }

    /// On a GPU, by default the first.
    #[pyo3(signature = (index=0))]
    fn gpu<'py>(slf: &Bound<'py, Self>, index: u8) -> PyResult<Bound<'py, Self>> {
        convert(slf, None, Some(Device::Gpu(index)), false)
    }

    /// Whether it lives on a GPU.
    #[getter]
    fn is_gpu(&self) -> bool {
        self.get().device() != Device::Cpu
    }

    /// Whether it lives on the CPU.
    #[getter]
    fn is_cpu(&self) -> bool {
        self.get().device() == Device::Cpu
    }

    /// Its dtype as text, or itself converted to a dtype.
    #[pyo3(name = "type", signature = (dtype=None))]
    fn kind<'py>(slf: &Bound<'py, Self>, dtype: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        match opt_dtype(dtype)? {
            Some(dtype) => convert(slf, Some(dtype), None, false).map(Bound::into_any),
            None => Ok(crate::types::dtype_object(slf.py(), slf.get().get().dtype())?.str()?.into_any()),
        }
    }
}

fn is_device_text(arg: &Bound<'_, PyAny>) -> bool {
    arg.cast::<PyString>().is_ok_and(|s| DType::from_name(&s.to_string()).is_none())
}

fn twice(already: bool) -> PyResult<()> {
    if already { Err(PyTypeError::new_err("to: one dtype and one device at most, got two")) } else { Ok(()) }
}
