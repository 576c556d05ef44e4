//! The tensor's place in the autograd graph: `requires_grad`, `grad`, `backward`, hooks.

use super::{Extra, PyTensor, wrap};
use crate::autograd::{PyNode, RemovableHandle, backward, python_hook};
use crate::convert::{describe, tensor};
use crate::error::guard;
use pyneuro_core::autograd::{Hook, Target};
use pyneuro_core::{Tensor, ops};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

impl PyTensor {
    /// The gradient: a leaf's, or what `retain_grad` collected.
    fn gradient(&self) -> Option<Tensor> {
        let state = self.lock();
        let retained = state.extra.as_ref().and_then(|e| e.retained.clone());
        let tensor = state.tensor.clone();
        drop(state);
        match retained {
            Some(slot) if !tensor.is_leaf() => slot.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            _ => tensor.grad(),
        }
    }

    /// Remembers the Python object of the gradient, and returns the one before for the caller to drop.
    fn remember(&self, grad: Option<Py<Self>>) -> Option<Py<Self>> {
        let mut state = self.lock();
        if grad.is_none() && state.extra.is_none() {
            return None;
        }
        std::mem::replace(&mut state.extra.get_or_insert_with(Box::<Extra>::default).grad, grad)
    }
}

#[pymethods]
impl PyTensor {
    /// Whether `backward` computes a gradient for it.
    #[getter]
    fn requires_grad(&self) -> bool {
        self.get().requires_grad()
    }

    #[setter]
    fn set_requires_grad(&self, value: bool) -> PyResult<()> {
        guard(|| self.get().set_requires_grad(value))
    }

    /// Sets whether `backward` computes a gradient for it; leaves only.
    #[pyo3(signature = (requires_grad=true))]
    fn requires_grad_<'py>(slf: &Bound<'py, Self>, requires_grad: bool) -> PyResult<Bound<'py, Self>> {
        let t = slf.get().get();
        guard(|| t.set_requires_grad(requires_grad))?;
        Ok(slf.clone())
    }

    /// Whether it is the result of no recorded op.
    #[getter]
    fn is_leaf(&self) -> bool {
        self.get().is_leaf()
    }

    /// The gradient that `backward` accumulated, or None.
    #[getter]
    fn grad<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, Self>>> {
        let py = slf.py();
        let this = slf.get();
        let Some(grad) = this.gradient() else {
            drop(this.remember(None));
            return Ok(None);
        };
        let known = this.lock().extra.as_ref().and_then(|e| e.grad.as_ref().map(|g| g.clone_ref(py)));
        if let Some(known) = known
            && known.get().get().is(&grad)
        {
            return Ok(Some(known.into_bound(py)));
        }
        let object = wrap(py, grad)?;
        drop(this.remember(Some(object.clone().unbind())));
        Ok(Some(object))
    }

    #[setter]
    fn set_grad(slf: &Bound<'_, Self>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let this = slf.get();
        let Some(value) = value.filter(|v| !v.is_none()) else {
            if let Some(leaf) = this.get().leaf() {
                guard(|| leaf.set_grad(None))?;
            }
            let retained = this.lock().extra.as_ref().and_then(|e| e.retained.clone());
            if let Some(slot) = retained {
                let old = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                drop(old);
            }
            drop(this.remember(None));
            return Ok(());
        };
        let Ok(object) = value.cast::<Self>() else {
            return Err(PyTypeError::new_err(format!("grad: a Tensor or None is required, got {}", describe(value))));
        };
        let Some(leaf) = this.get().leaf() else {
            return Err(PyRuntimeError::new_err(
                "grad: the tensor must be a leaf that requires grad; call requires_grad_()",
            ));
        };
        guard(|| leaf.set_grad(Some(object.get().get())))?;
        drop(this.remember(Some(object.clone().unbind())));
        Ok(())
    }

    #[deleter]
    fn delete_grad(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::set_grad(slf, None)
    }

    /// The node that computed it, or None for a leaf.
    #[getter]
    fn grad_fn(&self) -> Option<PyNode> {
        match self.get().target() {
            Some(node @ Target::Node(..)) => Some(PyNode(node)),
            _ => None,
        }
    }

    /// The same elements without history, sharing memory.
    fn detach<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        wrap(slf.py(), slf.get().get().detach())
    }

    /// Forgets the history.
    fn detach_<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        let bare = slf.get().get().detach();
        slf.get().replace(bare);
        slf.clone()
    }

    /// The same elements without history; assigning puts other elements under this tensor's name.
    #[getter]
    fn data<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        Self::detach(slf)
    }

    #[setter]
    fn set_data(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let (old, new) = (self.get(), tensor("data", value)?.detach());
        guard(|| new.adopt_leaf(&old))?;
        self.replace(new);
        Ok(())
    }

    /// Computes the gradients of the leaves that this tensor depends on, and adds them to their `.grad`.
    #[pyo3(signature = (gradient=None, retain_graph=None, create_graph=false, inputs=None))]
    fn backward(
        slf: &Bound<'_, Self>,
        gradient: Option<&Bound<'_, PyAny>>,
        retain_graph: Option<bool>,
        create_graph: bool,
        inputs: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let grads = [crate::convert::opt_tensor("backward", gradient)?];
        let inputs = match inputs.filter(|i| !i.is_none()) {
            None => None,
            Some(one) if one.cast::<Self>().is_ok() => Some(vec![tensor("backward", one)?]),
            Some(many) => Some(crate::convert::tensors("backward", many)?),
        };
        backward(slf.py(), &[slf.get().get()], &grads, inputs.as_deref(), retain_graph, create_graph)
    }

    /// Calls `hook(grad)` with this tensor's gradient in each backward; a tensor that it returns replaces the gradient.
    fn register_hook(&self, hook: &Bound<'_, PyAny>) -> PyResult<RemovableHandle> {
        if !hook.is_callable() {
            return Err(PyTypeError::new_err(format!("register_hook: a callable is required, got {}", describe(hook))));
        }
        let hook = python_hook(hook.clone().unbind());
        guard(|| self.get().register_hook(hook)).map(RemovableHandle)
    }

    /// Keeps the gradient of this result of an op in `.grad`.
    fn retain_grad(&self) -> PyResult<()> {
        let t = self.get();
        if t.requires_grad() && t.is_leaf() {
            return Ok(());
        }
        if self.lock().extra.as_ref().is_some_and(|e| e.retained.is_some()) {
            return Ok(());
        }
        let slot: Arc<Mutex<Option<Tensor>>> = Arc::default();
        let writer = slot.clone();
        let hook: Hook = Arc::new(move |grad: &Tensor| {
            let old = writer.lock().unwrap_or_else(PoisonError::into_inner).take();
            let sum = match old {
                Some(old) => ops::add(&old, grad)?,
                None => grad.clone(),
            };
            *writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(sum);
            Ok(None)
        });
        guard(|| t.register_hook(hook))?;
        self.lock().extra.get_or_insert_with(Box::default).retained = Some(slot);
        Ok(())
    }

    /// Whether `retain_grad` was called on this result of an op.
    #[getter]
    fn retains_grad(&self) -> bool {
        self.lock().extra.as_ref().is_some_and(|e| e.retained.is_some())
    }
}
