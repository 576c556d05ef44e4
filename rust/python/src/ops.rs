//! `_core.ops`: the elementwise ops by name, straight from the core's table, and `_core.op_list()`: what every op can do.

use crate::convert::{Number, operand_of};
use crate::error::run;
use crate::tensor::{PyTensor, heavy, wrap};
use pyneuro_core::Tensor;
use pyneuro_core::op::{Attrs, Cpu, Gpu, OpDef, Vjp, call_inplace, call1};
use pyneuro_core::ops::elementwise::{self, Arity};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use smallvec::SmallVec;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One elementwise op; `ops[name]` is a builtin function bound to it.
#[pyclass(module = "pyneuro._core", frozen)]
pub struct Op {
    def: &'static OpDef,
    arity: Arity,
    inplace: bool,
}

impl Op {
    fn name(&self) -> String {
        format!("{}{}", self.def.name, if self.inplace { "_" } else { "" })
    }

    #[cold]
    fn wrong_count(&self, got: usize) -> PyErr {
        let (tensors, scalars) = (self.arity.tensors, self.arity.scalars);
        let numbers =
            if scalars.is_empty() { String::new() } else { format!(" and the numbers {}", scalars.join(", ")) };
        let name = self.name();
        PyTypeError::new_err(format!("{name}: {tensors} operands{numbers} are required, got {got} arguments"))
    }

    fn call<'py>(&self, py: Python<'py>, args: &[Bound<'py, PyAny>]) -> PyResult<Bound<'py, PyTensor>> {
        let (n, numbers) = (self.arity.tensors, self.arity.scalars.len());
        if args.len() != n + numbers {
            return Err(self.wrong_count(args.len()));
        }
        let mut inputs: SmallVec<[Tensor; 3]> = SmallVec::new();
        // Where one operand is a tensor, numbers are made to suit it.
        let tensor = if n > 1 { args[..n].iter().find_map(|a| a.cast::<PyTensor>().ok()) } else { None };
        let beside = tensor.map(|t| t.get().get().dtype());
        for arg in &args[..n] {
            inputs.push(operand_of(self.def.name, arg, beside)?);
        }
        let mut attrs = Attrs::None;
        if numbers > 0 {
            let mut values = [0.0; 2];
            for (value, arg) in values.iter_mut().zip(&args[n..]) {
                *value = Number::of(self.def.name, arg)?.as_f64();
            }
            attrs = Attrs::Scalars(values);
        }
        let refs: SmallVec<[&Tensor; 3]> = inputs.iter().collect();
        let heavy = heavy(&inputs);
        if !self.inplace {
            return wrap(py, run(py, heavy, || call1(self.def, attrs, &refs))?);
        }
        let Ok(target) = args[0].cast::<PyTensor>() else {
            return Err(crate::convert::type_error(&self.name(), "a Tensor to write to", &args[0]));
        };
        run(py, heavy, || call_inplace(self.def, attrs, &refs))?;
        Ok(target.clone())
    }
}

/// What Python calls: positional arguments in an array, so that no tuple is made for an op.
unsafe extern "C" fn call_op(
    slf: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    nargs: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    Python::attach(|py| {
        let outcome = catch_unwind(AssertUnwindSafe(|| -> PyResult<*mut ffi::PyObject> {
            // SAFETY: `slf` is the `Op` that the function was made with, alive while it is called.
            let op = unsafe { Bound::from_borrowed_ptr(py, slf) }.cast_into::<Op>()?;
            let n = usize::try_from(nargs).unwrap_or(0);
            let mut objects: SmallVec<[Bound<'_, PyAny>; 4]> = SmallVec::with_capacity(n);
            for i in 0..n {
                // SAFETY: the caller passes `nargs` live objects.
                objects.push(unsafe { Bound::from_borrowed_ptr(py, *args.add(i)) });
            }
            Ok(op.get().call(py, &objects)?.into_ptr())
        }));
        let result = outcome.unwrap_or_else(|_| Err(PyRuntimeError::new_err("internal error: an op panicked")));
        result.unwrap_or_else(|e| {
            e.restore(py);
            std::ptr::null_mut()
        })
    })
}

/// The builtin function of an op.
fn function<'py>(py: Python<'py>, def: &'static OpDef, arity: Arity, inplace: bool) -> PyResult<Bound<'py, PyAny>> {
    let op = Bound::new(py, Op { def, arity, inplace })?;
    let leak = |s: String| CString::new(s).unwrap_or_default().into_raw();
    // A method definition must live as long as the function, that is, as long as the process.
    let method = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: leak(op.get().name()),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFast: call_op },
        ml_flags: ffi::METH_FASTCALL,
        ml_doc: std::ptr::null(),
    }));
    // SAFETY: the definition is never freed; `op` is a live object, of which the function takes its own reference.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyCFunction_NewEx(method, op.as_ptr(), std::ptr::null_mut())) }
}

/// The dict `ops`, or `ops_` with the in-place forms.
pub fn table(py: Python<'_>, inplace: bool) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    for (def, arity) in elementwise::all() {
        dict.set_item(def.name, function(py, def, arity, inplace)?)?;
    }
    Ok(dict)
}

/// One dict per op: `name`, `operands` and `numbers` (of elementwise ops), `elementwise`, `differentiable`, `cpu`, `gpu`,
/// `reference`; where something is missing the reason stands in `no_gradient` or `no_gpu`.
#[pyfunction]
pub fn op_list(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for def in pyneuro_core::ops::list() {
        let d = PyDict::new(py);
        d.set_item("name", def.name)?;
        d.set_item("elementwise", def.elementwise)?;
        let arity = elementwise::all().find(|(e, _)| std::ptr::eq(*e, def)).map(|(_, arity)| arity);
        d.set_item("operands", arity.map(|a| a.tensors))?;
        d.set_item("numbers", arity.map(|a| a.scalars.to_vec()))?;
        let no_gradient = match def.vjp {
            Vjp::None { why } => Some(why),
            Vjp::Rule { .. } | Vjp::FromReference => None,
        };
        d.set_item("differentiable", no_gradient.is_none())?;
        d.set_item("no_gradient", no_gradient)?;
        let cpu = match def.cpu {
            Cpu::Kernel(_) => "kernel",
            Cpu::Dynamic(_) => "dynamic",
            Cpu::View(_) => "view",
            Cpu::FromReference => "reference",
        };
        d.set_item("cpu", cpu)?;
        let (gpu, no_gpu) = match def.gpu {
            Gpu::Kernel(_) => (Some("kernel"), None),
            Gpu::Elementwise { .. } => (Some("elementwise"), None),
            Gpu::View => (Some("view"), None),
            Gpu::Dynamic(_) => (Some("dynamic"), None),
            Gpu::FromReference => (Some("reference"), None),
            Gpu::Unavailable { why } => (None, Some(why)),
        };
        d.set_item("gpu", gpu)?;
        d.set_item("no_gpu", no_gpu)?;
        d.set_item("reference", def.reference.is_some())?;
        list.append(d)?;
    }
    Ok(list)
}
