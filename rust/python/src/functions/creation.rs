//! New tensors.

use crate::convert::{Number, ints, lengths, type_error};
use crate::data;
use crate::error::{guard, run};
use crate::tensor::{HEAVY, PyTensor, heavy, wrap};
use crate::types::{PyDType, dtype_object, dtype_of, opt_device, opt_dtype};
use pyneuro_core::{DType, Device, ops};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;
type Arg<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// A tensor with a copy of the data.
#[pyfunction]
#[pyo3(signature = (data, dtype=None, device=None))]
fn tensor<'py>(data: &Bound<'py, PyAny>, dtype: Arg<'_, 'py>, device: Arg<'_, 'py>) -> Out<'py> {
    wrap(data.py(), data::make(data, opt_dtype(dtype)?, opt_device(device)?, true)?)
}

/// A tensor that shares the data's memory where it can; a tensor that needs no change is returned itself.
#[pyfunction]
#[pyo3(signature = (data, dtype=None, device=None))]
fn as_tensor<'py>(data: &Bound<'py, PyAny>, dtype: Arg<'_, 'py>, device: Arg<'_, 'py>) -> Out<'py> {
    let (dtype, device) = (opt_dtype(dtype)?, opt_device(device)?);
    if let Ok(same) = data.cast::<PyTensor>() {
        let t = same.get().get();
        let made = run(data.py(), heavy([&t]), || {
            ops::to_device(&ops::cast(&t, dtype.unwrap_or(t.dtype()))?, device.unwrap_or(t.device()))
        })?;
        return crate::tensor::wrap_or_self(same, made);
    }
    wrap(data.py(), data::make(data, dtype, device, false)?)
}

/// A tensor over the memory of a NumPy array (read-only arrays are copied).
#[pyfunction]
fn from_numpy<'py>(array: &Bound<'py, PyAny>) -> Out<'py> {
    if !crate::numpy::is_array(array)? {
        return Err(type_error("from_numpy", "a numpy.ndarray", array));
    }
    wrap(array.py(), crate::numpy::import(array, false)?)
}

/// With unspecified contents.
#[pyfunction]
#[pyo3(signature = (shape, dtype=None, device=None))]
fn empty<'py>(shape: &Bound<'py, PyAny>, dtype: Arg<'_, 'py>, device: Arg<'_, 'py>) -> Out<'py> {
    let lens = lengths("empty", &ints("empty", shape)?)?;
    let dtype = opt_dtype(dtype)?.unwrap_or_else(data::default_dtype);
    let device = opt_device(device)?.unwrap_or(Device::Cpu);
    wrap(shape.py(), guard(|| ops::creation::empty(&lens, dtype, device))?)
}

/// One value everywhere; the dtype follows the value where it is not given.
#[pyfunction]
#[pyo3(signature = (shape, value, dtype=None, device=None))]
fn full<'py>(
    shape: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
    dtype: Arg<'_, 'py>,
    device: Arg<'_, 'py>,
) -> Out<'py> {
    let lens = lengths("full", &ints("full", shape)?)?;
    let value = Number::of("full", value)?;
    let dtype = opt_dtype(dtype)?.unwrap_or_else(|| value.dtype(data::default_dtype()));
    let device = opt_device(device)?.unwrap_or(Device::Cpu);
    pyneuro_core::dispatch!(dtype, T in all => data::exact::<T>("full", value).map(drop))?;
    let heavy = lens.iter().product::<usize>() >= HEAVY;
    let made = run(shape.py(), heavy, || match value {
        Number::Int(i) => ops::creation::full_int(&lens, i, dtype, device),
        other => ops::full(&lens, other.as_f64(), dtype, device),
    })?;
    wrap(shape.py(), made)
}

/// start, start + step, ... up to but without end.
#[pyfunction]
#[pyo3(signature = (start, end, step, dtype=None, device=None))]
fn arange<'py>(
    start: &Bound<'py, PyAny>,
    end: &Bound<'py, PyAny>,
    step: &Bound<'py, PyAny>,
    dtype: Arg<'_, 'py>,
    device: Arg<'_, 'py>,
) -> Out<'py> {
    let py = start.py();
    let numbers = [Number::of("arange", start)?, Number::of("arange", end)?, Number::of("arange", step)?];
    let whole = numbers.iter().all(|n| !matches!(n, Number::Float(_)));
    let dtype = opt_dtype(dtype)?.unwrap_or_else(|| if whole { DType::I64 } else { data::default_dtype() });
    let device = opt_device(device)?.unwrap_or(Device::Cpu);
    let [a, b, s] = numbers.map(Number::as_f64);
    let count = ((b - a) / s).ceil();
    if s == 0.0 || !count.is_finite() {
        return Err(PyValueError::new_err(format!(
            "arange: finite numbers and a step that is not 0 are required, got {a}, {b}, {s}"
        )));
    }
    if count < 0.0 {
        return Err(PyValueError::new_err(format!("arange: the step must lead from start to end, got {a}, {b}, {s}")));
    }
    wrap(py, run(py, count >= HEAVY as f64, || ops::arange(a, s, count as usize, dtype, device))?)
}

/// `steps` evenly spaced values from `start` to `end`, both included.
#[pyfunction]
#[pyo3(signature = (start, end, steps, dtype=None, device=None))]
fn linspace<'py>(
    start: &Bound<'py, PyAny>,
    end: &Bound<'py, PyAny>,
    steps: i64,
    dtype: Arg<'_, 'py>,
    device: Arg<'_, 'py>,
) -> Out<'py> {
    let (a, b) = (Number::of("linspace", start)?.as_f64(), Number::of("linspace", end)?.as_f64());
    let dtype = opt_dtype(dtype)?.unwrap_or_else(data::default_dtype);
    let device = opt_device(device)?.unwrap_or(Device::Cpu);
    let n = usize::try_from(steps)
        .map_err(|_| PyValueError::new_err(format!("linspace: steps must not be negative, got {steps}")))?;
    if dtype == DType::Bool {
        return Err(PyTypeError::new_err("linspace: a numeric dtype is required, got bool"));
    }
    let step = if n > 1 { (b - a) / (n - 1) as f64 } else { 0.0 };
    // From both ends, so that the last value is exactly `end`.
    let value = |i: usize| if i < n / 2 { a + step * i as f64 } else { b - step * (n - 1 - i) as f64 };
    let py = start.py();
    let made = run(py, n >= HEAVY, || {
        let t = pyneuro_core::Tensor::empty(&[n], DType::F64)?;
        for (i, x) in t.view_mut::<f64>().into_slice().into_iter().flatten().enumerate() {
            *x = if n == 1 { a } else { value(i) };
        }
        ops::to_device(&ops::cast(&t, dtype)?, device)
    })?;
    wrap(py, made)
}

/// The dtype of tensors made from Python floats.
#[pyfunction]
fn get_default_dtype(py: Python<'_>) -> PyResult<Bound<'_, PyDType>> {
    dtype_object(py, data::default_dtype()).cloned()
}

/// Changes the dtype of tensors made from Python floats.
#[pyfunction]
fn set_default_dtype(dtype: &Bound<'_, PyAny>) -> PyResult<()> {
    data::set_default_dtype(dtype_of(dtype)?)
}

/// The dtype of an op over tensors and numbers.
#[pyfunction]
#[pyo3(signature = (*operands))]
fn result_type<'py>(py: Python<'py>, operands: &Bound<'py, pyo3::types::PyTuple>) -> PyResult<Bound<'py, PyDType>> {
    let all =
        operands.iter().map(|x| crate::convert::operand_of("result_type", &x, None)).collect::<PyResult<Vec<_>>>()?;
    if all.is_empty() {
        return Err(PyTypeError::new_err("result_type: at least one operand is required, got none"));
    }
    let refs: Vec<&pyneuro_core::Tensor> = all.iter().collect();
    dtype_object(py, pyneuro_core::dtype::result_type(&refs)).cloned()
}

/// The smallest dtype that holds both.
#[pyfunction]
fn promote_types<'py>(a: &Bound<'py, PyAny>, b: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDType>> {
    dtype_object(a.py(), dtype_of(a)?.promote(dtype_of(b)?)).cloned()
}

crate::register!(
    tensor,
    as_tensor,
    from_numpy,
    empty,
    full,
    arange,
    linspace,
    get_default_dtype,
    set_default_dtype,
    result_type,
    promote_types,
);
