//! The Python class `Tensor`.
//!
//! It is the Rust class itself, so that an operator costs one call and no Python frame.  Methods stand by topic in the
//! files beside this one; rare ones are written in Python and attached by `pyneuro.functions`.

mod advanced;
mod attributes;
mod autograd;
mod conversion;
mod indexing;
mod memory;
mod number;
mod shape;

pub use memory::_rebuild;
pub use shape::expand;

use crate::data;
use crate::error::guard;
use crate::types::{opt_device, opt_dtype};
use pyneuro_core::{Result, Tensor, ops};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A tensor: numbers of one dtype on one device, arranged in dimensions.
#[pyclass(name = "Tensor", module = "pyneuro", subclass, weakref, dict, frozen)]
pub struct PyTensor(Mutex<State>);

/// What may change behind a Python object: `x.data = y` puts another core tensor under the same name.
struct State {
    tensor: Tensor,
    extra: Option<Box<Extra>>,
}

/// What few tensors have.
#[derive(Default)]
struct Extra {
    /// The Python object of the gradient, so that `x.grad is x.grad`.
    grad: Option<Py<PyTensor>>,
    /// Where `retain_grad` collects.
    retained: Option<Arc<Mutex<Option<Tensor>>>>,
}

impl PyTensor {
    /// Wraps a tensor of the core.
    #[inline]
    pub fn new(tensor: Tensor) -> Self {
        Self(Mutex::new(State { tensor, extra: None }))
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tensor of the core.
    #[inline]
    pub fn get(&self) -> Tensor {
        self.lock().tensor.clone()
    }

    /// Puts another tensor behind the Python object.
    fn replace(&self, tensor: Tensor) {
        let old = std::mem::replace(&mut self.lock().tensor, tensor);
        drop(old);
    }
}

/// A new Python object for a tensor.
#[inline]
pub fn wrap(py: Python<'_>, t: Tensor) -> PyResult<Bound<'_, PyTensor>> {
    Bound::new(py, PyTensor::new(t))
}

/// The result of a call into the core, as a new Python object.
#[inline]
pub fn wrap_result(py: Python<'_>, f: impl FnOnce() -> Result<Tensor>) -> PyResult<Bound<'_, PyTensor>> {
    wrap(py, guard(f)?)
}

/// As [`wrap`], giving the very object back where the core returned its argument.
pub fn wrap_or_self<'py>(this: &Bound<'py, PyTensor>, t: Tensor) -> PyResult<Bound<'py, PyTensor>> {
    if this.get().lock().tensor.is(&t) { Ok(this.clone()) } else { wrap(this.py(), t) }
}

/// Elements from which on an elementwise op, whatever it computes, is worth giving up the GIL.
pub const HEAVY: usize = 1 << 15;

/// Whether to give up the GIL for an op on these tensors: because it takes longer than handing the GIL over and back, or
/// because the GPU's stream may be waited for, by a thread that itself may want the GIL for the executor.
#[inline]
pub fn heavy<'a>(inputs: impl IntoIterator<Item = &'a Tensor>) -> bool {
    inputs.into_iter().any(|t| t.numel() >= HEAVY || t.device() != pyneuro_core::Device::Cpu)
}

#[pymethods]
impl PyTensor {
    /// A tensor from data: numbers, nested sequences, a NumPy array (copied) or a tensor (shared).
    #[new]
    #[pyo3(signature = (data=None, dtype=None, device=None, requires_grad=false))]
    fn py_new(
        data: Option<&Bound<'_, PyAny>>,
        dtype: Option<&Bound<'_, PyAny>>,
        device: Option<&Bound<'_, PyAny>>,
        requires_grad: bool,
    ) -> PyResult<Self> {
        let (dtype, device) = (opt_dtype(dtype)?, opt_device(device)?);
        let made = match data {
            Some(data) => {
                let copy = data.cast::<Self>().is_err();
                data::make(data, dtype, device, copy)?
            }
            None => guard(|| {
                let empty = Tensor::empty(&[0], dtype.unwrap_or_else(data::default_dtype))?;
                ops::to_device(&empty, device.unwrap_or(pyneuro_core::Device::Cpu))
            })?,
        };
        if requires_grad {
            guard(|| made.set_requires_grad(true))?;
        }
        Ok(Self::new(made))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        // Another thread that holds the lock uses the object, so it is not garbage.
        if let Ok(state) = self.0.try_lock()
            && let Some(grad) = state.extra.as_ref().and_then(|e| e.grad.as_ref())
        {
            visit.call(grad)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let old = self.lock().extra.take();
        drop(old);
    }
}
