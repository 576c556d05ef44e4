//! Methods that copy elements: into new memory, over the tensor's own, and out to Python.

use super::{PyTensor, heavy, wrap, wrap_or_self};
use crate::convert::Number;
use crate::data;
use crate::error::{guard, run};
use crate::numpy;
use crate::types::opt_dtype;
use pyneuro_core::dtype::{Category, Typed};
use pyneuro_core::{DType, Device, Tensor, dispatch, op, ops};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyTuple};

/// A number as a 0-d tensor of the given dtype: fractions are cut off for integers, integers that do not fit refused.
fn number_tensor(op: &str, n: Number, dtype: DType) -> PyResult<Tensor> {
    dispatch!(dtype, T in all => { let x = data::exact::<T>(op, n)?; guard(|| Tensor::from_slice(&[x], &[])) })
}

/// One element as a Python number.
fn element<T: Typed>(py: Python<'_>, x: T) -> PyResult<Bound<'_, PyAny>> {
    Ok(match T::DTYPE.category() {
        Category::Float => PyFloat::new(py, x.to_f64()).into_any(),
        Category::Int => x.to_i64().into_pyobject(py)?.into_any(),
        Category::Bool => PyBool::new(py, x.to_i64() != 0).to_owned().into_any(),
    })
}

/// Nested lists of row-major elements.
fn nested<'py, T: Typed>(py: Python<'py>, elements: &[T], shape: &[usize]) -> PyResult<Bound<'py, PyAny>> {
    let Some((&n, rest)) = shape.split_first() else { return element(py, elements[0]) };
    let row: usize = rest.iter().product();
    let items: Vec<Bound<'py, PyAny>> =
        (0..n).map(|i| nested(py, &elements[i * row..(i + 1) * row], rest)).collect::<PyResult<_>>()?;
    Ok(PyList::new(py, items)?.into_any())
}

impl PyTensor {
    /// The single element as a Python number.
    pub fn item<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let t = self.get();
        let far = t.device() != Device::Cpu;
        match t.dtype().category() {
            Category::Float => Ok(PyFloat::new(py, run(py, far, || t.item_f64())?).into_any()),
            Category::Int => Ok(run(py, far, || t.item_i64())?.into_pyobject(py)?.into_any()),
            Category::Bool => Ok(PyBool::new(py, run(py, far, || t.item_i64())? != 0).to_owned().into_any()),
        }
    }
}

#[pymethods]
impl PyTensor {
    /// The single element as a Python number.
    #[pyo3(name = "item")]
    fn py_item<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.item(py)
    }

    /// All elements as nested lists of Python numbers.
    fn tolist<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let t = self.get();
        dispatch!(t.dtype(), T in all => {
            let elements = run(py, heavy([&t]), || t.to_vec::<T>())?;
            nested(py, &elements, t.shape())
        })
    }

    /// A NumPy array over the same memory; of CPU tensors without grad only, unless `force`, which copies.
    #[pyo3(signature = (*, force=false))]
    fn numpy<'py>(&self, py: Python<'py>, force: bool) -> PyResult<Bound<'py, PyAny>> {
        let mut t = self.get();
        if force {
            t = run(py, true, || t.detach().to_cpu())?;
        }
        numpy::export(py, &t)
    }

    /// The NumPy protocol: what `numpy.asarray(tensor)` calls.
    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        &self,
        py: Python<'py>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let array = numpy::export(py, &self.get())?;
        let Some(dtype) = dtype.filter(|d| !d.is_none()) else {
            return if copy == Some(true) { array.call_method0("copy") } else { Ok(array) };
        };
        let wanted = py.import("numpy")?.getattr("dtype")?.call1((dtype,))?;
        match (array.getattr("dtype")?.eq(&wanted)?, copy) {
            (true, Some(true)) => array.call_method0("copy"),
            (true, _) => Ok(array),
            (false, Some(false)) => Err(PyValueError::new_err(format!(
                "__array__: without a copy the dtype must be {}, got {wanted}",
                array.getattr("dtype")?
            ))),
            (false, _) => array.call_method1("astype", (wanted,)),
        }
    }

    /// NumPy's operators and functions leave tensors alone, so that `array + tensor` is a tensor.
    #[classattr]
    fn __array_ufunc__(py: Python<'_>) -> Py<PyAny> {
        py.None()
    }

    #[classattr]
    fn __array_priority__() -> i64 {
        1000
    }

    /// The same elements in memory of their own, with history.
    #[pyo3(signature = (*, memory_format=None))]
    fn clone<'py>(slf: &Bound<'py, Self>, memory_format: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, Self>> {
        let _ = memory_format; // row-major is the only one
        let t = slf.get().get();
        wrap(slf.py(), run(slf.py(), heavy([&t]), || ops::copy(&t))?)
    }

    /// Itself if its elements lie in row-major order, else a copy in which they do.
    #[pyo3(signature = (*, memory_format=None))]
    fn contiguous<'py>(
        slf: &Bound<'py, Self>,
        memory_format: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let _ = memory_format;
        let t = slf.get().get();
        wrap_or_self(slf, run(slf.py(), heavy([&t]), || ops::contiguous(&t))?)
    }

    /// Writes the elements of `src` (broadcast and converted) over this tensor's.
    #[pyo3(signature = (src, non_blocking=false))]
    fn copy_<'py>(slf: &Bound<'py, Self>, src: &Bound<'py, PyAny>, non_blocking: bool) -> PyResult<Bound<'py, Self>> {
        let _ = non_blocking; // transfers are ordered by the stream
        let t = slf.get().get();
        let source = crate::convert::operand_of("copy_", src, None)?;
        run(slf.py(), heavy([&t]), || op::assign(&t, &source))?;
        Ok(slf.clone())
    }

    /// Writes one number over every element.
    fn fill_<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        let source = match value.cast::<Self>() {
            Ok(v) if v.get().get().ndim() == 0 => v.get().get(),
            _ => number_tensor("fill_", Number::of("fill_", value)?, t.dtype())?,
        };
        run(slf.py(), heavy([&t]), || op::assign(&t, &source))?;
        Ok(slf.clone())
    }

    /// Writes 0 over every element.
    fn zero_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        let zero = number_tensor("zero_", Number::Bool(false), t.dtype())?;
        run(slf.py(), heavy([&t]), || op::assign(&t, &zero))?;
        Ok(slf.clone())
    }

    /// A tensor with its own copy of the memory, as `copy.copy` and `copy.deepcopy` want it; leaves only.
    fn __deepcopy__<'py>(slf: &Bound<'py, Self>, memo: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let key = slf.as_ptr() as usize;
        if let Some(done) = memo.get_item(key)? {
            return Ok(done);
        }
        let t = slf.get().get();
        if !t.is_leaf() {
            return Err(pyo3::exceptions::PyRuntimeError::new_err(
                "deepcopy: only leaf tensors can be copied, got the result of an op; use .detach() or .clone()",
            ));
        }
        let copy = run(py, heavy([&t]), || {
            let copy = ops::copy(&t.detach())?;
            copy.set_requires_grad(t.requires_grad())?;
            if let (Some(leaf), Some(grad)) = (copy.leaf(), t.grad()) {
                leaf.set_grad(Some(ops::copy(&grad.detach())?))?;
            }
            Ok(copy)
        })?;
        let object = wrap(py, copy)?.into_any();
        memo.set_item(key, &object)?;
        let attributes = slf.getattr("__dict__")?;
        if attributes.len()? > 0 {
            let copied = py.import("copy")?.call_method1("deepcopy", (attributes, memo))?;
            object.getattr("__dict__")?.call_method1("update", (copied,))?;
        }
        Ok(object)
    }

    /// Pickling, for multiprocessing and the like: as raw bytes.  Files are written with `pyneuro.save`.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let t = slf.get().get();
        if !t.is_leaf() {
            return Err(pyo3::exceptions::PyRuntimeError::new_err(
                "pickle: only leaf tensors can be pickled, got the result of an op; use .detach()",
            ));
        }
        let bytes = run(py, true, || crate::io::to_bytes(&t))?;
        let args = (
            slf.get_type(),
            pyo3::types::PyBytes::new(py, &bytes),
            crate::types::dtype_object(py, t.dtype())?,
            PyTuple::new(py, t.shape())?,
            t.requires_grad(),
            t.device().to_string(),
            slf.getattr("__dict__")?,
        );
        Ok((py.import("pyneuro._core")?.getattr("_rebuild")?, args.into_pyobject(py)?))
    }
}

/// The inverse of `Tensor.__reduce__`.
#[pyfunction]
#[pyo3(signature = (class, bytes, dtype, shape, requires_grad, device, attributes))]
pub fn _rebuild<'py>(
    class: &Bound<'py, PyAny>,
    bytes: &[u8],
    dtype: &Bound<'py, PyAny>,
    shape: Vec<usize>,
    requires_grad: bool,
    device: &str,
    attributes: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let dtype = opt_dtype(Some(dtype))?.unwrap_or(DType::F32);
    let device = crate::types::device_of(pyo3::types::PyString::new(py, device).as_any())?;
    let t = guard(|| {
        let t = ops::to_device(&crate::io::from_bytes(bytes, &shape, dtype)?, device)?;
        t.set_requires_grad(requires_grad)?;
        Ok(t)
    })?;
    let object = if class.is(py.get_type::<PyTensor>()) {
        wrap(py, t)?.into_any()
    } else {
        // A subclass such as Parameter makes itself from a tensor.
        let made = class.call1((wrap(py, t.detach())?,))?;
        made.call_method1("requires_grad_", (requires_grad,))?;
        made
    };
    if !attributes.is_empty() {
        object.getattr("__dict__")?.call_method1("update", (attributes,))?;
    }
    Ok(object)
}
