//! What a tensor says about itself.

use super::{PyTensor, wrap};
use crate::convert::{describe, tensor};
use crate::error::guard;
use crate::types::{PyDType, PyDevice, device_object, dtype_object, size};
use pyneuro_core::Tensor;
use pyneuro_core::layout::normalize_dim;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

#[pymethods]
impl PyTensor {
    /// The lengths of the dimensions.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        size(py, self.get().shape())
    }

    /// The shape, or the length of one dimension.
    #[pyo3(signature = (dim=None))]
    fn size<'py>(&self, py: Python<'py>, dim: Option<i64>) -> PyResult<Bound<'py, PyAny>> {
        let t = self.get();
        match dim {
            None => size(py, t.shape()),
            Some(_) if t.ndim() == 0 => {
                Err(pyo3::exceptions::PyIndexError::new_err("size: a 0-d tensor has no dimensions, got a dim"))
            }
            Some(dim) => {
                let d = guard(|| normalize_dim("size", dim, t.ndim()))?;
                Ok(t.shape()[d].into_pyobject(py)?.into_any())
            }
        }
    }

    /// How many dimensions it has.
    #[getter]
    fn ndim(&self) -> usize {
        self.get().ndim()
    }

    /// How many dimensions it has.
    fn dim(&self) -> usize {
        self.get().ndim()
    }

    /// How many elements it has.
    fn numel(&self) -> usize {
        self.get().numel()
    }

    /// How many elements it has.
    fn nelement(&self) -> usize {
        self.get().numel()
    }

    /// The type of its elements.
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDType>> {
        dtype_object(py, self.get().dtype()).cloned()
    }

    /// Where it lives.
    #[getter]
    fn device<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDevice>> {
        device_object(py, self.get().device())
    }

    /// Bytes of one element.
    #[getter]
    fn itemsize(&self) -> usize {
        self.get().dtype().size()
    }

    /// Bytes of one element.
    fn element_size(&self) -> usize {
        self.get().dtype().size()
    }

    /// Bytes of all elements.
    #[getter]
    fn nbytes(&self) -> usize {
        let t = self.get();
        t.numel() * t.dtype().size()
    }

    /// Elements from one index to the next, for each dimension or for one.
    #[pyo3(signature = (dim=None))]
    fn stride<'py>(&self, py: Python<'py>, dim: Option<i64>) -> PyResult<Bound<'py, PyAny>> {
        let t = self.get();
        let strides = &t.layout().strides;
        match dim {
            None => Ok(PyTuple::new(py, strides)?.into_any()),
            Some(dim) => {
                let d = guard(|| normalize_dim("stride", dim, t.ndim()))?;
                let Some(s) = strides.get(d) else {
                    return Err(pyo3::exceptions::PyIndexError::new_err(
                        "stride: a 0-d tensor has no dimensions, got a dim",
                    ));
                };
                Ok(s.into_pyobject(py)?.into_any())
            }
        }
    }

    /// Index of the first element in the memory that it shares with its views.
    fn storage_offset(&self) -> usize {
        self.get().layout().offset
    }

    /// Whether its elements lie in memory in row-major order.
    fn is_contiguous(&self) -> bool {
        self.get().is_contiguous()
    }

    /// Whether its dtype is floating point.
    fn is_floating_point(&self) -> bool {
        self.get().dtype().is_float()
    }

    /// Always false: there are no complex dtypes.
    fn is_complex(&self) -> bool {
        false
    }

    /// Address of its first element; of CPU tensors only.
    fn data_ptr(&self) -> PyResult<usize> {
        let t = self.get();
        match t.device() {
            pyneuro_core::Device::Cpu => Ok(crate::numpy::data_ptr(&t).addr()),
            d => Err(PyValueError::new_err(format!("data_ptr: a CPU tensor is required, got one on {d}"))),
        }
    }

    /// How often its memory was written in place.
    #[getter]
    fn _version(&self) -> u32 {
        self.get().storage().version()
    }

    /// Whether two tensors share their memory.
    fn is_set_to(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let (a, b): (Tensor, Tensor) = (self.get(), tensor("is_set_to", other)?);
        Ok(std::sync::Arc::ptr_eq(a.storage(), b.storage()) && a.layout() == b.layout())
    }

    /// The transposed matrix.
    #[getter(T)]
    fn transposed<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        if t.ndim() > 2 {
            return Err(PyValueError::new_err(format!(
                "T: at most 2 dimensions are required, got shape {:?}; use .mT or .permute(...)",
                t.shape()
            )));
        }
        wrap(slf.py(), guard(|| pyneuro_core::ops::transpose(&t, 0, -1))?)
    }

    /// With the last two dimensions exchanged.
    #[getter(mT)]
    fn matrix_transposed<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        if t.ndim() < 2 {
            let shape = t.shape();
            return Err(PyValueError::new_err(format!("mT: at least 2 dimensions are required, got shape {shape:?}")));
        }
        wrap(slf.py(), guard(|| pyneuro_core::ops::transpose(&t, -2, -1))?)
    }

    fn __len__(&self) -> PyResult<usize> {
        let t = self.get();
        t.shape().first().copied().ok_or_else(|| PyTypeError::new_err("len: a 0-d tensor has no length"))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        static FORMAT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        FORMAT.import(slf.py(), "pyneuro._repr", "format_tensor")?.call1((slf,))?.extract()
    }

    fn __format__(slf: &Bound<'_, Self>, spec: &Bound<'_, PyAny>) -> PyResult<String> {
        let t = slf.get().get();
        let value = if t.ndim() == 0 { slf.get().item(slf.py())? } else { slf.str()?.into_any() };
        let builtins = slf.py().import("builtins")?;
        builtins.call_method1(intern!(slf.py(), "format"), (value, spec))?.extract()
    }

    fn __contains__(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let equal = slf.rich_compare(value, pyo3::pyclass::CompareOp::Eq)?;
        match equal.cast::<Self>() {
            Ok(equal) => {
                let t = equal.get().get();
                guard(|| Ok(pyneuro_core::ops::reduce::any(&t, None, false)?.item_f64()? != 0.0))
            }
            Err(_) => {
                Err(PyTypeError::new_err(format!("in: a Tensor or a number is required, got {}", describe(value))))
            }
        }
    }
}
