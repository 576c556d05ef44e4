//! Backward, grad mode, graph nodes, hooks, and functions whose backward is written in Python.

use crate::convert::{opt_tensor, tensor, tensors};
use crate::error::{from_py, guard, guard_detached};
use crate::tensor::{PyTensor, wrap};
use pyneuro_core::autograd::{self, CustomBackward, Hook, HookHandle, Node, Saved, Target};
use pyneuro_core::op::Grads;
use pyneuro_core::{Result, Tensor, bail};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::{Arc, OnceLock, Weak};

// --------------------------------------------------------------------------------------------------------------- mode

/// Whether this thread records ops for backward.
#[pyfunction]
pub fn is_grad_enabled() -> bool {
    autograd::is_recording()
}

/// Switches recording in this thread and returns what it was.
#[pyfunction]
pub fn set_grad_enabled(mode: bool) -> bool {
    autograd::set_recording(mode)
}

/// Whether this thread is in inference mode.
#[pyfunction]
pub fn is_inference_mode_enabled() -> bool {
    autograd::is_inference()
}

/// Switches inference mode in this thread and returns what it was.
#[pyfunction]
pub fn set_inference_mode(mode: bool) -> bool {
    autograd::inference_mode(mode)
}

// ----------------------------------------------------------------------------------------------------------- backward

/// Accumulates gradients into leaves.  The GIL is released: hooks and Python functions take it when they run.
pub fn backward(
    py: Python<'_>,
    outputs: &[Tensor],
    grads: &[Option<Tensor>],
    inputs: Option<&[Tensor]>,
    retain_graph: Option<bool>,
    create_graph: bool,
) -> PyResult<()> {
    let retain = retain_graph.unwrap_or(create_graph);
    guard_detached(py, || autograd::backward(outputs, grads, inputs, retain, create_graph))
}

fn optional_tensors(op: &str, arg: Option<&Bound<'_, PyAny>>, n: usize) -> PyResult<Vec<Option<Tensor>>> {
    let Some(arg) = arg.filter(|a| !a.is_none()) else { return Ok(vec![None; n]) };
    let items: Vec<Option<Tensor>> =
        arg.try_iter()?.map(|item| opt_tensor(op, Some(&item?))).collect::<PyResult<_>>()?;
    if items.len() != n {
        return Err(PyRuntimeError::new_err(format!(
            "{op}: one gradient for each of {n} outputs is required, got {}",
            items.len()
        )));
    }
    Ok(items)
}

/// `Tensor.backward` for several outputs at once.
#[pyfunction]
#[pyo3(name = "backward", signature = (outputs, grads, retain_graph, create_graph, inputs))]
pub fn backward_many(
    py: Python<'_>,
    outputs: &Bound<'_, PyAny>,
    grads: Option<&Bound<'_, PyAny>>,
    retain_graph: Option<bool>,
    create_graph: bool,
    inputs: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let outputs = tensors("backward", outputs)?;
    let grads = optional_tensors("backward", grads, outputs.len())?;
    let inputs = inputs.filter(|i| !i.is_none()).map(|i| tensors("backward", i)).transpose()?;
    backward(py, &outputs, &grads, inputs.as_deref(), retain_graph, create_graph)
}

/// Gradients of `outputs` with respect to `inputs`; None where nothing connects them.
#[pyfunction]
#[pyo3(signature = (outputs, inputs, grads, retain_graph, create_graph))]
pub fn grad<'py>(
    py: Python<'py>,
    outputs: &Bound<'py, PyAny>,
    inputs: &Bound<'py, PyAny>,
    grads: Option<&Bound<'py, PyAny>>,
    retain_graph: Option<bool>,
    create_graph: bool,
) -> PyResult<Bound<'py, PyTuple>> {
    let (outputs, inputs) = (tensors("grad", outputs)?, tensors("grad", inputs)?);
    let grads = optional_tensors("grad", grads, outputs.len())?;
    let retain = retain_graph.unwrap_or(create_graph);
    let found = guard_detached(py, || autograd::grad(&outputs, &inputs, &grads, retain, create_graph))?;
    let objects = found.into_iter().map(|g| g.map(|g| wrap(py, g)).transpose()).collect::<PyResult<Vec<_>>>()?;
    PyTuple::new(py, objects)
}

// -------------------------------------------------------------------------------------------------------------- nodes

/// A node of the graph: what computed a tensor, or the accumulator of a leaf.
#[pyclass(name = "Node", module = "pyneuro.autograd", frozen)]
pub struct PyNode(pub Target);

impl PyNode {
    fn address(&self) -> usize {
        match &self.0 {
            Target::Node(n, _) => Arc::as_ptr(n).addr(),
            Target::Leaf(l) => Arc::as_ptr(l).addr(),
        }
    }
}

#[pymethods]
impl PyNode {
    /// `AddBackward`, `AccumulateGrad`, ...
    fn name(&self) -> String {
        match &self.0 {
            Target::Leaf(_) => "AccumulateGrad".to_owned(),
            Target::Node(n, _) => {
                let name = n.name();
                if name.ends_with("Backward") {
                    return name;
                }
                let words = name.split('_').map(|w| {
                    let mut letters = w.chars();
                    letters.next().map_or_else(String::new, |c| c.to_uppercase().chain(letters).collect())
                });
                words.collect::<String>() + "Backward"
            }
        }
    }

    /// For each input: the node that its gradient goes to (None if it needs none) and which output of that node it was.
    #[getter]
    fn next_functions(&self) -> Vec<(Option<Self>, u32)> {
        match &self.0 {
            Target::Leaf(_) => Vec::new(),
            Target::Node(n, _) => n
                .edges()
                .iter()
                .map(|edge| match edge {
                    Some(Target::Node(_, i)) => (edge.clone().map(Self), *i),
                    other => (other.clone().map(Self), 0),
                })
                .collect(),
        }
    }

    fn __repr__(&self) -> String {
        format!("<{}>", self.name())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|o| o.get().address() == self.address())
    }

    fn __hash__(&self) -> usize {
        self.address().rotate_right(4)
    }
}

// -------------------------------------------------------------------------------------------------------------- hooks

/// Takes a hook away again.
#[pyclass(module = "pyneuro.autograd", frozen)]
pub struct RemovableHandle(pub HookHandle);

#[pymethods]
impl RemovableHandle {
    /// Takes the hook away; does nothing the second time.
    fn remove(&self) {
        self.0.remove();
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __exit__(&self, _kind: &Bound<'_, PyAny>, _value: &Bound<'_, PyAny>, _traceback: &Bound<'_, PyAny>) {
        self.0.remove();
    }
}

/// A hook that calls a Python callable with the gradient.
pub fn python_hook(callable: Py<PyAny>) -> Hook {
    Arc::new(move |grad: &Tensor| {
        Python::attach(|py| {
            let answer = callable.bind(py).call1((wrap(py, grad.clone())?,))?;
            opt_tensor("register_hook: the hook's result", Some(&answer))
        })
        .map_err(from_py)
    })
}

// ---------------------------------------------------------------------------------------------------------- functions

/// A tensor kept for a Python function's backward, with the version that it had.
#[pyclass(module = "pyneuro.autograd", frozen)]
pub struct SavedTensor {
    saved: Saved,
    /// The node whose output it is, once that is recorded.
    node: OnceLock<Weak<Node>>,
}

#[pymethods]
impl SavedTensor {
    /// Keeps a tensor; `output` is its index among the function's results if it is one of them.
    #[new]
    #[pyo3(signature = (tensor, output=None))]
    fn new(tensor: &Bound<'_, PyAny>, output: Option<usize>) -> PyResult<Self> {
        let t = crate::convert::tensor("save_for_backward", tensor)?;
        let saved = match output {
            None => Saved::input(&t),
            Some(i) => Saved::output(&t, i),
        };
        Ok(Self { saved, node: OnceLock::new() })
    }

    /// The tensor again; an error if it was written in place in the meantime.
    fn unpack<'py>(&self, py: Python<'py>, op: &str) -> PyResult<Bound<'py, PyTensor>> {
        let node = self.node.get().and_then(Weak::upgrade);
        wrap(py, guard(|| self.saved.unpack(op, node.as_ref()))?)
    }
}

/// The backward of a Python function.
struct PythonBackward {
    name: String,
    /// `backward(*grads)` gives one gradient or None for each tensor input.
    backward: Py<PyAny>,
    /// `release()` lets go of saved tensors.
    release: Py<PyAny>,
    inputs: usize,
}

impl CustomBackward for PythonBackward {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn backward(&self, grads: &[Option<Tensor>]) -> Result<Grads> {
        let out = Python::attach(|py| -> PyResult<Grads> {
            let objects =
                grads.iter().map(|g| g.clone().map(|g| wrap(py, g)).transpose()).collect::<PyResult<Vec<_>>>()?;
            let answer = self.backward.bind(py).call1(PyTuple::new(py, objects)?)?;
            let op = format!("{}: backward", self.name);
            answer.try_iter()?.map(|g| opt_tensor(&op, Some(&g?))).collect()
        })
        .map_err(from_py)?;
        if out.len() != self.inputs {
            let (name, want, got) = (&self.name, self.inputs, out.len());
            bail!(Runtime, "{name}: backward must return one gradient for each of the {want} tensor inputs, got {got}");
        }
        Ok(out)
    }

    fn release(&self) {
        // An exception here would hide the result of a finished backward; Python reports it by itself.
        Python::attach(|py| {
            let release = self.release.bind(py);
            if let Err(e) = release.call0() {
                e.write_unraisable(py, Some(release));
            }
        });
    }
}

/// Gives results computed by Python code a backward written in Python.
#[pyfunction]
#[pyo3(signature = (name, backward, release, inputs, outputs, saved))]
pub fn record_function(
    name: String,
    backward: Py<PyAny>,
    release: Py<PyAny>,
    inputs: &Bound<'_, PyAny>,
    outputs: &Bound<'_, PyAny>,
    saved: Vec<Py<SavedTensor>>,
) -> PyResult<()> {
    let (inputs, outputs) = (tensors("Function", inputs)?, tensors("Function", outputs)?);
    if let Some(t) = outputs.iter().find(|t| !t.dtype().is_float()) {
        let dtype = t.dtype();
        return Err(PyTypeError::new_err(format!(
            "{name}: differentiable results must be floating point, got {dtype}"
        )));
    }
    let node = PythonBackward { name, backward, release, inputs: inputs.len() };
    let (ins, outs): (Vec<&Tensor>, Vec<&Tensor>) = (inputs.iter().collect(), outputs.iter().collect());
    let node = guard(|| Ok(autograd::record_custom(Box::new(node), &ins, &outs)))?;
    for s in &saved {
        // Set once: a saved tensor belongs to one call.
        let _ = s.get().node.set(Arc::downgrade(&node));
    }
    Ok(())
}

/// The tensor under another name, as results that are inputs need it.
#[pyfunction]
pub fn alias<'py>(x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTensor>> {
    let t = tensor("alias", x)?;
    wrap(x.py(), guard(|| pyneuro_core::ops::alias(&t))?)
}

crate::register!(
    is_grad_enabled,
    set_grad_enabled,
    is_inference_mode_enabled,
    set_inference_mode,
    backward_many,
    grad,
    record_function,
    alias,
);
