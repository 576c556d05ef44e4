//! The Python classes `dtype`, `device` and `Size`, and how arguments name them.

use crate::error::to_py;
use pyneuro_core::storage::Device;
use pyneuro_core::{DType, err};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString, PyTuple, PyType};
use std::hash::{DefaultHasher, Hash, Hasher};

// -------------------------------------------------------------------------------------------------------------- dtype

/// The type of a tensor's elements: `pyneuro.float32`, `pyneuro.int64`, ...  There is one object of each.
#[pyclass(name = "dtype", module = "pyneuro", frozen)]
pub struct PyDType(pub DType);

static DTYPES: PyOnceLock<[Py<PyDType>; 10]> = PyOnceLock::new();

/// The Python object of a dtype.
pub fn dtype_object(py: Python<'_>, dtype: DType) -> PyResult<&Bound<'_, PyDType>> {
    let all = DTYPES.get_or_try_init(py, || -> PyResult<_> {
        let made = DType::ALL.map(|d| Py::new(py, PyDType(d)));
        let made: Vec<Py<PyDType>> = made.into_iter().collect::<PyResult<_>>()?;
        Ok(made.try_into().unwrap_or_else(|_| unreachable!("ten dtypes, ten objects")))
    })?;
    Ok(all[dtype as usize].bind(py))
}

#[pymethods]
impl PyDType {
    /// Its name without the module, as NumPy spells it.
    #[getter]
    fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Bytes of one element.
    #[getter]
    fn itemsize(&self) -> usize {
        self.0.size()
    }

    /// Whether it is float16, bfloat16, float32 or float64.
    #[getter]
    fn is_floating_point(&self) -> bool {
        self.0.is_float()
    }

    /// Whether it holds negative numbers.
    #[getter]
    fn is_signed(&self) -> bool {
        !matches!(self.0, DType::Bool | DType::U8)
    }

    /// Always false: there are no complex dtypes.
    #[getter]
    fn is_complex(&self) -> bool {
        false
    }

    fn __repr__(&self) -> String {
        format!("pyneuro.{}", self.0.name())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|o| o.get().0 == self.0)
    }

    fn __hash__(&self) -> u64 {
        hash_of(&("dtype", self.0))
    }

    /// By name, so that copying and unpickling give the one object of this dtype.
    fn __reduce__(&self) -> &'static str {
        self.0.name()
    }
}

/// The dtype that an argument names: a `pyneuro.dtype`, Python's `float`, `int` or `bool`, or a NumPy dtype.
pub fn dtype_of(arg: &Bound<'_, PyAny>) -> PyResult<DType> {
    if let Ok(d) = arg.cast::<PyDType>() {
        return Ok(d.get().0);
    }
    let py = arg.py();
    if let Ok(class) = arg.cast::<PyType>() {
        // As in torch: a Python float is a double.
        let builtin = [
            (py.get_type::<PyFloat>(), DType::F64),
            (py.get_type::<PyInt>(), DType::I64),
            (py.get_type::<PyBool>(), DType::Bool),
        ];
        if let Some((_, d)) = builtin.iter().find(|(t, _)| t.is(class)) {
            return Ok(*d);
        }
    }
    let name = if let Ok(s) = arg.cast::<PyString>() {
        s.to_string()
    } else {
        // A NumPy dtype has a name, a NumPy scalar class has one as a class.
        let named = arg.getattr("name").or_else(|_| arg.getattr("__name__"));
        named.and_then(|n| n.extract::<String>()).unwrap_or_default()
    };
    DType::from_name(&name).ok_or_else(|| {
        let known = DType::ALL.map(DType::name).join(", ");
        PyTypeError::new_err(format!("dtype: one of {known} is required, got {}", crate::convert::describe(arg)))
    })
}

/// As [`dtype_of`], for an optional argument.
pub fn opt_dtype(arg: Option<&Bound<'_, PyAny>>) -> PyResult<Option<DType>> {
    arg.filter(|a| !a.is_none()).map(dtype_of).transpose()
}

// ------------------------------------------------------------------------------------------------------------- device

/// Where tensors live: `device("cpu")`, `device("gpu")`, `device("gpu:1")`.
#[pyclass(name = "device", module = "pyneuro", frozen)]
pub struct PyDevice(pub Device);

#[pymethods]
impl PyDevice {
    #[new]
    #[pyo3(signature = (device, index=None))]
    fn new(device: &Bound<'_, PyAny>, index: Option<u8>) -> PyResult<Self> {
        let parsed = device_of(device)?;
        Ok(Self(match (parsed, index) {
            (_, None) | (Device::Cpu, Some(0)) => parsed,
            (Device::Gpu(0), Some(i)) => Device::Gpu(i),
            _ => {
                let got = format!("{parsed} and index {}", index.unwrap_or(0));
                return Err(PyValueError::new_err(format!(
                    "device: an index once, and none but 0 for the CPU, got {got}"
                )));
            }
        }))
    }

    /// `"cpu"` or `"gpu"`.
    #[getter]
    #[pyo3(name = "type")]
    fn kind(&self) -> &'static str {
        match self.0 {
            Device::Cpu => "cpu",
            Device::Gpu(_) => "gpu",
        }
    }

    /// Which adapter; None for the CPU.
    #[getter]
    fn index(&self) -> Option<u8> {
        match self.0 {
            Device::Cpu => None,
            Device::Gpu(i) => Some(i),
        }
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        match self.0 {
            Device::Cpu => "device(type='cpu')".to_owned(),
            Device::Gpu(i) => format!("device(type='gpu', index={i})"),
        }
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        match other.cast::<Self>() {
            Ok(d) => d.get().0 == self.0,
            // `x.device == "gpu"` reads well and is a common slip when porting.
            Err(_) => other.cast::<PyString>().is_ok_and(|s| *s == *self.0.to_string()),
        }
    }

    fn __hash__(&self) -> u64 {
        hash_of(&("device", self.0))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> (Bound<'py, PyType>, (String,)) {
        (py.get_type::<Self>(), (self.0.to_string(),))
    }
}

/// The device that an argument names.
pub fn device_of(arg: &Bound<'_, PyAny>) -> PyResult<Device> {
    if let Ok(d) = arg.cast::<PyDevice>() {
        return Ok(d.get().0);
    }
    let Ok(text) = arg.extract::<String>() else {
        return Err(PyTypeError::new_err(format!(
            "device: a string or pyneuro.device is required, got {}",
            crate::convert::describe(arg)
        )));
    };
    match text.split_once(':') {
        None if text == "cpu" => Some(Device::Cpu),
        None if text == "gpu" => Some(Device::Gpu(0)),
        Some(("cpu", "0")) => Some(Device::Cpu),
        Some(("gpu", i)) if i.bytes().all(|b| b.is_ascii_digit()) => i.parse().ok().map(Device::Gpu),
        _ => None,
    }
    .ok_or_else(|| {
        let foreign = ["cuda", "mps", "xpu", "hip", "vulkan", "wgpu"].iter().any(|p| text.starts_with(p));
        let hint = if foreign { "; every GPU is called \"gpu\" here" } else { "" };
        to_py(err!(Value, "device: \"cpu\", \"gpu\" or \"gpu:<index>\" is required, got {text:?}{hint}"))
    })
}

/// As [`device_of`], for an optional argument.
pub fn opt_device(arg: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Device>> {
    arg.filter(|a| !a.is_none()).map(device_of).transpose()
}

/// The Python object of a device.
pub fn device_object(py: Python<'_>, device: Device) -> PyResult<Bound<'_, PyDevice>> {
    Bound::new(py, PyDevice(device))
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut h = DefaultHasher::new();
    value.hash(&mut h);
    h.finish()
}

// --------------------------------------------------------------------------------------------------------------- Size

static SIZE: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// The class `Size`.  It is written in Python: the stable ABI lets no extension class derive from tuple before 3.12.
pub fn size_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    SIZE.import(py, "pyneuro._size", "Size")
}

/// A shape as Python sees it.
pub fn size<'py>(py: Python<'py>, shape: &[usize]) -> PyResult<Bound<'py, PyAny>> {
    size_class(py)?.call1((PyTuple::new(py, shape)?,))
}
