//! Tensors from Python data: numbers, nested lists, NumPy arrays, and whatever NumPy can read.

use crate::convert::{Number, describe, tensor};
use crate::error::{guard, to_py};
use crate::numpy;
use crate::tensor::PyTensor;
use pyneuro_core::dtype::{Category, Typed};
use pyneuro_core::storage::Device;
use pyneuro_core::{DType, Tensor, dispatch, err, ops};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyRange, PyString, PyTuple};
use std::sync::atomic::{AtomicU8, Ordering};

static DEFAULT: AtomicU8 = AtomicU8::new(DType::F32 as u8);

/// The dtype of tensors made from Python floats, and of `zeros`, `rand` and the like.
pub fn default_dtype() -> DType {
    let number = DEFAULT.load(Ordering::Relaxed);
    DType::ALL.into_iter().find(|&d| d as u8 == number).unwrap_or(DType::F32)
}

/// Changes what [`default_dtype`] gives.
pub fn set_default_dtype(dtype: DType) -> PyResult<()> {
    if !dtype.is_float() {
        return Err(PyTypeError::new_err(format!(
            "set_default_dtype: a floating-point dtype is required, got {dtype}"
        )));
    }
    DEFAULT.store(dtype as u8, Ordering::Relaxed);
    Ok(())
}

/// A tensor from data; never with history.  Without `copy` it may share the memory of a tensor or a NumPy array.
pub fn make(data: &Bound<'_, PyAny>, dtype: Option<DType>, device: Option<Device>, copy: bool) -> PyResult<Tensor> {
    if let Ok(t) = data.cast::<PyTensor>() {
        let t = t.get().get().detach();
        let made = guard(|| {
            let moved = ops::to_device(&ops::cast(&t, dtype.unwrap_or(t.dtype()))?, device.unwrap_or(t.device()))?;
            let shared = std::sync::Arc::ptr_eq(moved.storage(), t.storage());
            if copy && shared { ops::copy(&moved) } else { Ok(moved) }
        });
        return made;
    }
    let made = host(data, dtype, copy)?;
    let dtype = dtype.unwrap_or(made.dtype());
    guard(|| ops::to_device(&ops::cast(&made, dtype)?, device.unwrap_or(Device::Cpu)))
}

fn host(data: &Bound<'_, PyAny>, dtype: Option<DType>, copy: bool) -> PyResult<Tensor> {
    if numpy::is_array(data)? || numpy::is_scalar(data)? {
        return numpy::import(data, copy);
    }
    if is_number(data) || is_sequence(data) {
        let mut nested = Nested::default();
        return match nested.read(data, 0) {
            Ok(()) => nested.build(dtype),
            // A list of arrays or NumPy scalars: NumPy knows best, and its dtypes count.
            Err(Stop::HasArrays) => numpy::import(&data.py().import("numpy")?.call_method1("array", (data,))?, false),
            Err(Stop::Error(e)) => Err(e),
        };
    }
    let readable = ["__array__", "__array_interface__", "__array_struct__", "__dlpack__"];
    let buffer = data.py().import("builtins")?.getattr("memoryview")?.call1((data,));
    let text = data.cast::<PyString>().is_ok();
    if !text && (buffer.is_ok() || readable.iter().any(|name| data.hasattr(*name).unwrap_or(false))) {
        return numpy::import(&numpy::asarray(data)?, copy);
    }
    Err(PyTypeError::new_err(format!(
        "tensor: numbers, nested sequences or an array are required, got {}",
        describe(data)
    )))
}

fn is_number(x: &Bound<'_, PyAny>) -> bool {
    x.cast::<PyFloat>().is_ok() || x.cast::<PyInt>().is_ok() || x.cast::<PyBool>().is_ok()
}

fn is_sequence(x: &Bound<'_, PyAny>) -> bool {
    x.cast::<PyList>().is_ok() || x.cast::<PyTuple>().is_ok() || x.cast::<PyRange>().is_ok()
}

enum Stop {
    /// There are NumPy objects among the elements.
    HasArrays,
    Error(PyErr),
}

impl From<PyErr> for Stop {
    fn from(e: PyErr) -> Self {
        Self::Error(e)
    }
}

/// Numbers gathered from nested sequences, with the shape that the first element of each level gave.
#[derive(Default)]
struct Nested {
    numbers: Vec<Number>,
    shape: Vec<usize>,
    /// Levels whose length is known; a number may only stand below all of them.
    settled: bool,
    /// Index of the element being read, for messages.
    position: Vec<usize>,
    /// Dtypes of tensors among the elements.
    tensors: Option<DType>,
}

impl Nested {
    fn read(&mut self, x: &Bound<'_, PyAny>, depth: usize) -> Result<(), Stop> {
        // NumPy's float64 is a Python float too, so its scalars are looked for first.
        let plain =
            x.cast_exact::<PyFloat>().is_ok() || x.cast_exact::<PyInt>().is_ok() || x.cast_exact::<PyBool>().is_ok();
        if !plain && depth > 0 && (numpy::is_scalar(x)? || numpy::is_array(x)?) {
            return Err(Stop::HasArrays);
        }
        if plain || is_number(x) {
            if self.settled && depth != self.shape.len() {
                return Err(self
                    .ragged(&format!("a number where a sequence of length {} is due", self.shape[depth]))
                    .into());
            }
            self.settled = true;
            self.numbers.push(Number::of("tensor", x)?);
            return Ok(());
        }
        if x.cast::<PyTensor>().is_ok() && depth > 0 {
            let t = tensor("tensor", x)?;
            self.tensors = Some(self.tensors.map_or(t.dtype(), |d| d.promote(t.dtype())));
            return self.read(&x.call_method0("tolist")?, depth);
        }
        if !is_sequence(x) {
            let got = describe(x);
            return Err(PyTypeError::new_err(format!(
                "tensor: numbers are required, got {got} at {:?}",
                self.position
            ))
            .into());
        }
        let n = x.len()?;
        if depth == self.shape.len() {
            if self.settled {
                return Err(self.ragged("a sequence where a number is due").into());
            }
            if depth >= pyneuro_core::layout::MAX_DIMS {
                let most = pyneuro_core::layout::MAX_DIMS;
                return Err(PyValueError::new_err(format!("tensor: at most {most} nested levels are supported")).into());
            }
            self.shape.push(n);
        } else if self.shape[depth] != n {
            return Err(self.ragged(&format!("a sequence of length {n} where {} is due", self.shape[depth])).into());
        }
        self.settled |= n == 0;
        for i in 0..n {
            self.position.push(i);
            // A list that changes its length while it is read is refused by get_item.
            self.read(&x.get_item(i)?, depth + 1)?;
            self.position.pop();
        }
        Ok(())
    }

    #[cold]
    fn ragged(&self, what: &str) -> PyErr {
        PyValueError::new_err(format!("tensor: rows of equal length are required, got {what} at {:?}", self.position))
    }

    fn build(self, dtype: Option<DType>) -> PyResult<Tensor> {
        let category = self.numbers.iter().map(|n| n.dtype(DType::F32).category()).max().unwrap_or(Category::Float);
        let natural = match category {
            Category::Float => default_dtype(),
            Category::Int => DType::I64,
            Category::Bool => DType::Bool,
        };
        let natural = self.tensors.map_or(natural, |d| if d.category() >= category { d } else { natural });
        let dtype = dtype.unwrap_or(natural);
        dispatch!(dtype, T in all => {
            let data = self.numbers.iter().map(|&n| exact::<T>("tensor", n)).collect::<PyResult<Vec<T>>>()?;
            guard(|| Tensor::from_slice(&data, &self.shape))
        })
    }
}

/// A number as an element, refusing integers that do not fit.
pub fn exact<T: Typed>(op: &str, n: Number) -> PyResult<T> {
    match n {
        Number::Int(i) => {
            let made = T::from_i64(i);
            if matches!(T::DTYPE.category(), Category::Int) && made.to_i64() != i {
                return Err(to_py(err!(Overflow, "{op}: an integer that {} can hold is required, got {i}", T::DTYPE)));
            }
            Ok(made)
        }
        Number::Bool(b) => Ok(T::from_i64(i64::from(b))),
        Number::Float(f) => Ok(T::from_f64(f)),
    }
}
