//! The GPU executor: the core's verbs, carried out by `pyneuro.gpu._executor` through wgpu.

use crate::error::{from_py, guard_detached};
use pyneuro_core::error::{Error, Kind, Result};
use pyneuro_core::gpu::{self, BufferId, Call, Executor, Limits, PipelineId};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

/// A Python executor object.
struct WgpuExecutor {
    object: Py<PyAny>,
    limits: Limits,
}

/// Our own failures keep their class and message; anything else (an interrupt) passes through as itself.
fn failure(py: Python<'_>, error: PyErr) -> Error {
    let kind = if error.is_instance_of::<PyMemoryError>(py) {
        Kind::Memory
    } else if error.is_instance_of::<PyRuntimeError>(py) {
        Kind::Runtime
    } else {
        return from_py(error);
    };
    Error::new(kind, error.value(py).to_string())
}

/// Opens adapter `index`.
fn open(index: u8) -> Result<Box<dyn Executor>> {
    Python::attach(|py| {
        let make = || -> PyResult<WgpuExecutor> {
            let module = py.import("pyneuro.gpu._executor")?;
            let object = module.getattr("executor")?.call1((index,))?;
            let limits = object.getattr("limits")?.cast_into::<PyDict>()?;
            let limit = |name: &str| -> PyResult<usize> {
                let value: u64 = limits.as_any().get_item(name)?.extract()?;
                Ok(usize::try_from(value).unwrap_or(usize::MAX))
            };
            let limits = Limits {
                binding_size: limit("max-storage-buffer-binding-size")?,
                buffer_size: limit("max-buffer-size")?,
                groups_per_dim: limit("max-compute-workgroups-per-dimension")?.try_into().unwrap_or(u32::MAX),
                offset_alignment: limit("min-storage-buffer-offset-alignment")?,
            };
            Ok(WgpuExecutor { object: object.unbind(), limits })
        };
        let executor = make().map_err(|e| failure(py, e))?;
        Ok(Box::new(executor) as Box<dyn Executor>)
    })
}

impl WgpuExecutor {
    fn call<R>(&self, f: impl for<'py> FnOnce(&Bound<'py, PyAny>) -> PyResult<R>) -> Result<R> {
        Python::attach(|py| f(self.object.bind(py)).map_err(|e| failure(py, e)))
    }
}

impl Executor for WgpuExecutor {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn alloc(&self, bytes: usize) -> Result<BufferId> {
        self.call(|o| o.call_method1("alloc", (bytes,))?.extract())
    }

    fn free(&self, buffer: BufferId) -> Result<()> {
        self.call(|o| o.call_method1("free", (buffer,)).map(drop))
    }

    fn upload(&self, buffer: BufferId, offset: usize, data: &[u8]) -> Result<()> {
        self.call(|o| o.call_method1("upload", (buffer, offset, PyBytes::new(o.py(), data))).map(drop))
    }

    fn download(&self, buffer: BufferId, offset: usize, out: &mut [u8]) -> Result<()> {
        self.call(|o| {
            let bytes = o.call_method1("download", (buffer, offset, out.len()))?.cast_into::<PyBytes>()?;
            out.copy_from_slice(bytes.as_bytes());
            Ok(())
        })
    }

    fn pipeline(&self, key: &str, wgsl: &str, access: &str) -> Result<PipelineId> {
        self.call(|o| o.call_method1("pipeline", (key, wgsl, access))?.extract())
    }

    fn submit(&self, calls: &[Call], params: &[u32]) -> Result<()> {
        self.call(|o| {
            let py = o.py();
            let list = PyList::empty(py);
            for call in calls {
                let views = call.buffers.iter().map(|view| (view.buffer, view.offset, view.size));
                let views = PyTuple::new(py, views.collect::<Vec<_>>())?;
                let [x, y, z] = call.grid;
                list.append((call.pipeline, views, x, y, z))?;
            }
            let bytes: Vec<u8> = params.iter().flat_map(|word| word.to_ne_bytes()).collect();
            o.call_method1("submit", (list, PyBytes::new(py, &bytes))).map(drop)
        })
    }

    fn synchronize(&self) -> Result<()> {
        self.call(|o| o.call_method0("synchronize").map(drop))
    }

    fn detached(&self, f: &mut dyn FnMut()) {
        /// Lets the closure cross into `detach`, which asks for `Send` to keep Python references out; it has none.
        struct Crossing<'a>(&'a mut dyn FnMut());
        // SAFETY: the closure runs on this very thread, before `detach` returns.
        unsafe impl Send for Crossing<'_> {}
        Python::attach(|py| {
            let crossing = Crossing(f);
            py.detach(move || {
                let crossing = crossing;
                (crossing.0)();
            });
        });
    }
}

/// Runs everything recorded on a GPU and waits for it.
#[pyfunction]
fn gpu_synchronize(py: Python<'_>, index: u8) -> PyResult<()> {
    guard_detached(py, || gpu::stream(index)?.synchronize())
}

/// Submits what is recorded on a GPU without waiting; nothing happens on one that was never used.
#[pyfunction]
fn gpu_flush(py: Python<'_>, index: u8) -> PyResult<()> {
    guard_detached(py, || gpu::flush(index))
}

/// Bytes of a GPU: held by tensors, kept for reuse, most ever held by tensors.
#[pyfunction]
fn gpu_memory(py: Python<'_>, index: u8) -> PyResult<(usize, usize, usize)> {
    let m = guard_detached(py, || gpu::stream(index)?.memory())?;
    Ok((m.allocated, m.cached, m.peak))
}

/// Starts a new measurement of the most memory held.
#[pyfunction]
fn gpu_reset_peak_memory(py: Python<'_>, index: u8) -> PyResult<()> {
    guard_detached(py, || gpu::stream(index)?.reset_peak_memory())
}

/// Gives memory kept for reuse back to the system.
#[pyfunction]
fn gpu_empty_cache(py: Python<'_>, index: u8) -> PyResult<()> {
    guard_detached(py, || gpu::stream(index)?.empty_cache())
}

/// Kernels recorded, batches submitted and pipelines compiled so far.
#[pyfunction]
fn gpu_stats(py: Python<'_>, index: u8) -> PyResult<(u64, u64, usize)> {
    let s = guard_detached(py, || gpu::stream(index)?.stats())?;
    Ok((s.dispatches, s.submissions, s.pipelines))
}

/// Adds the functions to `_core` and tells the core how to reach a GPU.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    gpu::set_executor_factory(open);
    module.add_function(wrap_pyfunction!(gpu_synchronize, module)?)?;
    module.add_function(wrap_pyfunction!(gpu_flush, module)?)?;
    module.add_function(wrap_pyfunction!(gpu_memory, module)?)?;
    module.add_function(wrap_pyfunction!(gpu_reset_peak_memory, module)?)?;
    module.add_function(wrap_pyfunction!(gpu_empty_cache, module)?)?;
    module.add_function(wrap_pyfunction!(gpu_stats, module)?)
}
