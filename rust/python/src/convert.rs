//! Python arguments as the core wants them: operands, lists of dimensions, numbers; and tensors on their way back.

use crate::numpy;
use crate::tensor::PyTensor;
use pyneuro_core::{DType, Tensor};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyTuple};
use smallvec::SmallVec;

/// What an argument is, for messages: its type, and its value where that is short.
pub fn describe(arg: &Bound<'_, PyAny>) -> String {
    let class = arg.get_type().name().map_or_else(|_| "an object".to_owned(), |n| n.to_string());
    if arg.cast::<PyTensor>().is_ok() {
        return "a Tensor".to_owned();
    }
    match arg.repr() {
        Ok(r) if r.to_string().chars().count() <= 60 => format!("{r} ({class})"),
        _ => class,
    }
}

/// A `TypeError` that names the op: `op: requirement, got value`.
#[cold]
pub fn type_error(op: &str, requirement: &str, got: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(format!("{op}: {requirement} is required, got {}", describe(got)))
}

// ------------------------------------------------------------------------------------------------------------ tensors

/// The tensor that an argument must be.
#[inline]
pub fn tensor(op: &str, arg: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    match arg.cast::<PyTensor>() {
        Ok(t) => Ok(t.get().get()),
        Err(_) => Err(type_error(op, "a Tensor", arg)),
    }
}

/// As [`tensor`], where None stands for absence.
pub fn opt_tensor(op: &str, arg: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Tensor>> {
    arg.filter(|a| !a.is_none()).map(|a| tensor(op, a)).transpose()
}

/// A list or tuple of tensors.
pub fn tensors(op: &str, arg: &Bound<'_, PyAny>) -> PyResult<Vec<Tensor>> {
    if arg.cast::<PyTensor>().is_ok() {
        return Err(type_error(op, "a list of tensors", arg));
    }
    let items = arg.try_iter().map_err(|_| type_error(op, "a list of tensors", arg))?;
    items.map(|item| tensor(op, &item?)).collect()
}

/// A tensor, Python number, NumPy array or NumPy scalar, as the operand of an elementwise op; `None` for anything else.
///
/// Python numbers become scalars that give way in promotion.  `beside` is the dtype of a tensor that the number meets: a
/// float32 or float64 tensor decides the dtype of the op, so the number is made in that dtype and need not be converted.
#[inline]
pub fn operand(arg: &Bound<'_, PyAny>, beside: Option<DType>) -> PyResult<Option<Tensor>> {
    if let Ok(t) = arg.cast::<PyTensor>() {
        return Ok(Some(t.get().get()));
    }
    number_or_array(arg, beside)
}

fn number_or_array(arg: &Bound<'_, PyAny>, beside: Option<DType>) -> PyResult<Option<Tensor>> {
    use crate::error::guard;
    let float = beside.filter(|d| matches!(d, DType::F32 | DType::F64));
    if let Ok(f) = arg.cast::<PyFloat>() {
        return guard(|| Tensor::scalar(f.value(), float.unwrap_or(DType::F64))).map(Some);
    }
    if let Ok(b) = arg.cast::<PyBool>() {
        return guard(|| Tensor::scalar(f64::from(u8::from(b.is_true())), float.unwrap_or(DType::Bool))).map(Some);
    }
    if arg.cast::<PyInt>().is_ok() {
        let i = int64("int", arg)?;
        return guard(|| float.map_or_else(|| Tensor::scalar_int(i), |d| Tensor::scalar(i as f64, d))).map(Some);
    }
    if numpy::is_scalar(arg)? {
        return number_or_array(&arg.call_method0("item")?, beside);
    }
    if numpy::is_array(arg)? {
        return numpy::import(arg, false).map(Some);
    }
    Ok(None)
}

/// As [`operand`], with a `TypeError` for anything else.
#[inline]
pub fn operand_of(op: &str, arg: &Bound<'_, PyAny>, beside: Option<DType>) -> PyResult<Tensor> {
    operand(arg, beside)?.ok_or_else(|| type_error(op, "a Tensor or a number", arg))
}

// ------------------------------------------------------------------------------------------------------------ numbers

/// An integer that fits into 64 bits.
pub fn int64(op: &str, arg: &Bound<'_, PyAny>) -> PyResult<i64> {
    arg.extract::<i64>().map_err(|e| {
        if e.is_instance_of::<PyOverflowError>(arg.py()) {
            PyOverflowError::new_err(format!("{op}: an integer within 64 bits is required, got {}", describe(arg)))
        } else {
            type_error(op, "an integer", arg)
        }
    })
}

/// A Python number with its kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `float`
    Float(f64),
}

impl Number {
    /// The number of a Python or NumPy scalar or of a one-element tensor.
    pub fn of(op: &str, arg: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(f) = arg.cast::<PyFloat>() {
            return Ok(Self::Float(f.value()));
        }
        if let Ok(b) = arg.cast::<PyBool>() {
            return Ok(Self::Bool(b.is_true()));
        }
        if arg.cast::<PyInt>().is_ok() {
            return int64(op, arg).map(Self::Int);
        }
        if numpy::is_scalar(arg)? || arg.cast::<PyTensor>().is_ok() {
            return Self::of(op, &arg.call_method0("item")?);
        }
        Err(type_error(op, "a number", arg))
    }

    /// As a double.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Bool(b) => f64::from(u8::from(b)),
            Self::Int(i) => i as f64,
            Self::Float(f) => f,
        }
    }

    /// The dtype of a tensor made from it.
    pub fn dtype(self, default_float: DType) -> DType {
        match self {
            Self::Bool(_) => DType::Bool,
            Self::Int(_) => DType::I64,
            Self::Float(_) => default_float,
        }
    }
}

// --------------------------------------------------------------------------------------------------------- dimensions

/// A few dimensions or lengths.
pub type Ints = SmallVec<[i64; 6]>;

/// A list or tuple of integers.
pub fn ints(op: &str, arg: &Bound<'_, PyAny>) -> PyResult<Ints> {
    if let Ok(tuple) = arg.cast::<PyTuple>() {
        return tuple.iter_borrowed().map(|i| int64(op, &i)).collect();
    }
    if let Ok(list) = arg.cast::<PyList>() {
        return list.iter().map(|i| int64(op, &i)).collect();
    }
    let items = arg.try_iter().map_err(|_| type_error(op, "a sequence of integers", arg))?;
    items.map(|item| int64(op, &item?)).collect()
}

/// One integer or a sequence of them.
pub fn int_or_ints(op: &str, arg: &Bound<'_, PyAny>) -> PyResult<Ints> {
    if arg.cast::<PyInt>().is_ok() { Ok(SmallVec::from_iter([int64(op, arg)?])) } else { ints(op, arg) }
}

/// `*args` that are either integers or one sequence of integers, as in `x.view(2, 3)` and `x.view((2, 3))`.
pub fn varargs(op: &str, args: &Bound<'_, PyTuple>) -> PyResult<Ints> {
    if args.len() == 1 {
        return int_or_ints(op, &args.get_item(0)?);
    }
    ints(op, args.as_any())
}

/// Lengths of dimensions: non-negative integers.
pub fn lengths(op: &str, given: &[i64]) -> PyResult<pyneuro_core::layout::Shape> {
    given
        .iter()
        .map(|&n| {
            usize::try_from(n).map_err(|_| {
                pyo3::exceptions::PyValueError::new_err(format!("{op}: lengths must not be negative, got {given:?}"))
            })
        })
        .collect()
}

/// A pair from one integer or two.
pub fn pair(op: &str, arg: &Bound<'_, PyAny>) -> PyResult<[usize; 2]> {
    let given = int_or_ints(op, arg)?;
    let both = match given.as_slice() {
        [a] => [*a, *a],
        [a, b] => [*a, *b],
        _ => return Err(type_error(op, "one integer or two", arg)),
    };
    let shape = lengths(op, &both)?;
    Ok([shape[0], shape[1]])
}

/// One length, also from a sequence of one.
pub fn single(op: &str, arg: &Bound<'_, PyAny>) -> PyResult<usize> {
    match int_or_ints(op, arg)?.as_slice() {
        [n] => Ok(lengths(op, &[*n])?[0]),
        _ => Err(type_error(op, "one integer", arg)),
    }
}
