//! Operators.

#![allow(
    unsafe_op_in_unsafe_fn,
    reason = "PyO3's expansion, which the lint sees where a macro of ours holds the methods"
)]

use super::{PyTensor, heavy, wrap};
use crate::convert::operand;
use crate::error::{guard, run};
use pyneuro_core::op::{Attrs, OpDef, call_inplace, call1};
use pyneuro_core::ops::elementwise as e;
use pyneuro_core::{DType, Tensor};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;

/// The result of an elementwise op on tensors, outside of the GIL where that pays.
#[inline]
pub fn elementwise(py: Python<'_>, def: &'static OpDef, inputs: &[&Tensor]) -> PyResult<Tensor> {
    run(py, heavy(inputs.iter().copied()), || call1(def, Attrs::None, inputs))
}

type Object = Py<PyAny>;

#[inline]
fn unary(this: &Bound<'_, PyTensor>, def: &'static OpDef) -> PyResult<Object> {
    let t = this.get().get();
    Ok(wrap(this.py(), elementwise(this.py(), def, &[&t])?)?.into_any().unbind())
}

/// `this op other`; `NotImplemented` where `other` is nothing that a tensor can be combined with.
#[inline]
fn binary(this: &Bound<'_, PyTensor>, other: &Bound<'_, PyAny>, def: &'static OpDef) -> PyResult<Object> {
    let py = this.py();
    let a = this.get().get();
    let Some(b) = operand(other, Some(a.dtype()))? else { return Ok(py.NotImplemented()) };
    Ok(wrap(py, elementwise(py, def, &[&a, &b])?)?.into_any().unbind())
}

/// `other op this`.
#[inline]
fn reflected(this: &Bound<'_, PyTensor>, other: &Bound<'_, PyAny>, def: &'static OpDef) -> PyResult<Object> {
    let py = this.py();
    let b = this.get().get();
    let Some(a) = operand(other, Some(b.dtype()))? else { return Ok(py.NotImplemented()) };
    Ok(wrap(py, elementwise(py, def, &[&a, &b])?)?.into_any().unbind())
}

/// `this op= other`.
#[inline]
fn inplace(this: &Bound<'_, PyTensor>, other: &Bound<'_, PyAny>, def: &'static OpDef) -> PyResult<()> {
    let a = this.get().get();
    let Some(b) = operand(other, Some(a.dtype()))? else {
        let got = other.get_type().name()?;
        return Err(PyTypeError::new_err(format!("{}_: a Tensor or a number is required, got {got}", def.name)));
    };
    run(this.py(), heavy([&a, &b]), || call_inplace(def, Attrs::None, &[&a, &b]))
}

/// `~this`: not for bools, every bit flipped for integers.
fn invert(this: &Bound<'_, PyTensor>) -> PyResult<Object> {
    let t = this.get().get();
    if t.dtype() == DType::Bool {
        return unary(this, &e::LOGICAL_NOT);
    }
    if t.dtype().is_float() {
        let dtype = t.dtype();
        return Err(PyTypeError::new_err(format!("bitwise_not: an integer or bool tensor is required, got {dtype}")));
    }
    let ones = guard(|| Tensor::scalar_int(-1))?;
    Ok(wrap(this.py(), elementwise(this.py(), &e::BITWISE_XOR, &[&t, &ones])?)?.into_any().unbind())
}

fn no_modulo(modulo: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    match modulo.filter(|m| !m.is_none()) {
        None => Ok(()),
        Some(_) => Err(PyTypeError::new_err("pow: no modulo is supported, got one")),
    }
}

macro_rules! operators {
    ($($op:ident $rop:ident $iop:ident $def:ident),*; $($cmp:ident $cdef:ident),*) => {
        #[pymethods]
        impl PyTensor {
            $(
                #[inline]
                fn $op(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Object> {
                    binary(slf, other, &e::$def)
                }
                fn $rop(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Object> {
                    reflected(slf, other, &e::$def)
                }
                fn $iop(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
                    inplace(slf, other, &e::$def)
                }
            )*

            fn __pow__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>, modulo: Option<&Bound<'_, PyAny>>) -> PyResult<Object> {
                no_modulo(modulo)?;
                binary(slf, other, &e::POW)
            }
            fn __rpow__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>, modulo: Option<&Bound<'_, PyAny>>) -> PyResult<Object> {
                no_modulo(modulo)?;
                reflected(slf, other, &e::POW)
            }
            fn __ipow__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>, modulo: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
                no_modulo(modulo)?;
                inplace(slf, other, &e::POW)
            }

            fn __matmul__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Object> {
                let py = slf.py();
                let Some(b) = operand(other, None)?.filter(|b| !b.is_scalar()) else { return Ok(py.NotImplemented()) };
                Ok(wrap(py, crate::functions::linalg::product(py, &slf.get().get(), &b)?)?.into_any().unbind())
            }
            fn __rmatmul__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Object> {
                let py = slf.py();
                let Some(a) = operand(other, None)?.filter(|a| !a.is_scalar()) else { return Ok(py.NotImplemented()) };
                Ok(wrap(py, crate::functions::linalg::product(py, &a, &slf.get().get())?)?.into_any().unbind())
            }

            #[inline]
            fn __richcmp__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Object> {
                if other.is_none() {
                    return Ok(slf.py().NotImplemented());
                }
                binary(slf, other, match op { $(CompareOp::$cmp => &e::$cdef),* })
            }

            /// By identity: `==` compares elements, so tensors are found in sets and dicts as objects.
            fn __hash__(slf: &Bound<'_, Self>) -> usize {
                // Objects are aligned; the low bits would be the same for all.
                (slf.as_ptr() as usize).rotate_right(4)
            }

            fn __neg__(slf: &Bound<'_, Self>) -> PyResult<Object> {
                unary(slf, &e::NEG)
            }
            fn __pos__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
                slf.clone()
            }
            fn __abs__(slf: &Bound<'_, Self>) -> PyResult<Object> {
                unary(slf, &e::ABS)
            }
            fn __invert__(slf: &Bound<'_, Self>) -> PyResult<Object> {
                invert(slf)
            }

            fn __bool__(slf: &Bound<'_, Self>) -> PyResult<bool> {
                let t = slf.get().get();
                if t.numel() != 1 {
                    return Err(PyValueError::new_err(format!(
                        "bool: a tensor with one element is required, got shape {:?}; use .any() or .all()",
                        t.shape()
                    )));
                }
                run(slf.py(), heavy([&t]), || t.item_f64().map(|x| x != 0.0))
            }
            fn __float__(slf: &Bound<'_, Self>) -> PyResult<f64> {
                let t = slf.get().get();
                run(slf.py(), heavy([&t]), || t.item_f64())
            }
            fn __int__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
                // Through Python's own int, which knows what to do with 1e300, inf and nan.
                slf.py().get_type::<pyo3::types::PyInt>().call1((slf.get().item(slf.py())?,))
            }
            fn __index__(slf: &Bound<'_, Self>) -> PyResult<i64> {
                let t = slf.get().get();
                if t.dtype().is_float() || t.numel() != 1 {
                    return Err(PyTypeError::new_err(format!(
                        "index: an integer tensor with one element is required, got {} of shape {:?}",
                        t.dtype(),
                        t.shape()
                    )));
                }
                run(slf.py(), heavy([&t]), || t.item_i64())
            }
        }
    };
}

operators!(
    __add__ __radd__ __iadd__ ADD,
    __sub__ __rsub__ __isub__ SUB,
    __mul__ __rmul__ __imul__ MUL,
    __truediv__ __rtruediv__ __itruediv__ DIV,
    __floordiv__ __rfloordiv__ __ifloordiv__ FLOOR_DIVIDE,
    __mod__ __rmod__ __imod__ REMAINDER,
    __and__ __rand__ __iand__ BITWISE_AND,
    __or__ __ror__ __ior__ BITWISE_OR,
    __xor__ __rxor__ __ixor__ BITWISE_XOR,
    __lshift__ __rlshift__ __ilshift__ LEFT_SHIFT,
    __rshift__ __rrshift__ __irshift__ RIGHT_SHIFT;
    Eq EQ, Ne NE, Lt LT, Le LE, Gt GT, Ge GE
);
