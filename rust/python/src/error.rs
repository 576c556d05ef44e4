//! Errors of the core as Python exceptions; panics as `RuntimeError`, never as `PanicException`.

use pyneuro_core::error::{Error, Kind, Result};
use pyo3::exceptions::{
    PyIndexError, PyMemoryError, PyNotImplementedError, PyOverflowError, PyRuntimeError, PyTypeError, PyValueError,
    PyZeroDivisionError,
};
use pyo3::prelude::*;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The exception that an error becomes; one that came out of a Python callback is raised as itself.
#[cold]
pub fn to_py(mut e: Error) -> PyErr {
    if let Some(foreign) = e.foreign.take()
        && let Ok(original) = foreign.downcast::<PyErr>()
    {
        return *original;
    }
    match e.kind {
        Kind::Value => PyValueError::new_err(e.message),
        Kind::Type => PyTypeError::new_err(e.message),
        Kind::Index => PyIndexError::new_err(e.message),
        Kind::Runtime => PyRuntimeError::new_err(e.message),
        Kind::Memory => PyMemoryError::new_err(e.message),
        Kind::NotImplemented => PyNotImplementedError::new_err(e.message),
        Kind::ZeroDivision => PyZeroDivisionError::new_err(e.message),
        Kind::Overflow => PyOverflowError::new_err(e.message),
    }
}

/// Carries a Python exception through the core.
#[cold]
pub fn from_py(e: PyErr) -> Error {
    Error::foreign(Box::new(e))
}

/// Calls into the core.  A panic there is a defect of ours, reported as a `RuntimeError` that a program can survive.
#[inline]
pub fn guard<R>(f: impl FnOnce() -> Result<R>) -> PyResult<R> {
    // Tensors stay usable after a panic: results are published whole, and poisoned locks are ignored.
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(to_py),
        Err(panic) => Err(internal(panic.as_ref())),
    }
}

/// As [`guard`], without the GIL: for work that takes longer than handing the GIL over and back.
pub fn guard_detached<R: Send>(py: Python<'_>, f: impl FnOnce() -> Result<R> + Send) -> PyResult<R> {
    py.detach(|| guard(f))
}

/// Calls into the core, without the GIL if the work is worth more than about 20 us.
#[inline]
pub fn run<R: Send>(py: Python<'_>, heavy: bool, f: impl FnOnce() -> Result<R> + Send) -> PyResult<R> {
    if heavy { guard_detached(py, f) } else { guard(f) }
}

#[cold]
fn internal(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    PyRuntimeError::new_err(format!("internal error: {text}; this is a defect of pyneuro, please report it"))
}
