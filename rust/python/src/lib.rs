//! The extension module `pyneuro._core`: glue only, no mathematics.
//!
//! [`tensor`] is the Python class, [`functions`] the raw functions behind the public ones, [`ops`] the elementwise ops
//! straight from the core's table.  Everything a user may get wrong is an exception: see [`error`].

mod autograd;
mod convert;
mod data;
mod dlpack;
mod error;
mod functions;
mod generator;
mod gpu;
mod io;
mod numpy;
mod ops;
mod tensor;
mod types;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::wrap_pyfunction;

/// Threads that one op may use.
#[pyfunction]
fn get_num_threads() -> usize {
    pyneuro_kernels::pool::num_threads()
}

/// Changes how many threads one op may use.
#[pyfunction]
fn set_num_threads(n: usize) -> PyResult<()> {
    if n == 0 {
        return Err(pyo3::exceptions::PyValueError::new_err("set_num_threads: at least 1 is required, got 0"));
    }
    pyneuro_kernels::pool::set_num_threads(n);
    Ok(())
}

/// The instruction set that the kernels use.
#[pyfunction]
fn isa() -> String {
    format!("{:?}", pyneuro_kernels::isa::isa()).to_lowercase()
}

/// What one core does at this moment: float32 operations per second in multiply-adds, and bytes read per second.
#[pyfunction]
fn probe(py: Python<'_>) -> (f64, f64) {
    use pyneuro_kernels::gemm::{bandwidth, fma_peak};
    py.detach(|| (fma_peak() * 1e9, bandwidth().unwrap_or(0.0)))
}

#[pymodule(gil_used = false)]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    // A CPU that lacks what PYNEURO_ISA asks for, or a mistyped number of threads, is an error at import.
    pyneuro_kernels::isa::init().map_err(PyImportError::new_err)?;
    pyneuro_kernels::pool::init().map_err(PyImportError::new_err)?;

    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_class::<tensor::PyTensor>()?;
    m.add_class::<types::PyDType>()?;
    m.add_class::<types::PyDevice>()?;
    m.add_class::<generator::Generator>()?;
    m.add_class::<autograd::PyNode>()?;
    m.add_class::<autograd::RemovableHandle>()?;
    m.add_class::<autograd::SavedTensor>()?;
    for dtype in pyneuro_core::DType::ALL {
        m.add(dtype.name(), types::dtype_object(py, dtype)?)?;
    }
    m.add("default_generator", generator::default_generator(py)?)?;

    m.add_function(wrap_pyfunction!(get_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(set_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(isa, m)?)?;
    m.add_function(wrap_pyfunction!(probe, m)?)?;
    m.add_function(wrap_pyfunction!(tensor::_rebuild, m)?)?;
    m.add_function(wrap_pyfunction!(generator::manual_seed, m)?)?;
    m.add_function(wrap_pyfunction!(generator::_rebuild_generator, m)?)?;
    m.add_function(wrap_pyfunction!(io::save_safetensors, m)?)?;
    m.add_function(wrap_pyfunction!(io::load_safetensors, m)?)?;
    m.add_function(wrap_pyfunction!(dlpack::from_dlpack, m)?)?;
    autograd::register(m)?;
    functions::register(m)?;
    gpu::register(m)?;

    m.add("ops", ops::table(py, false)?)?;
    m.add("ops_", ops::table(py, true)?)?;
    m.add_function(wrap_pyfunction!(ops::op_list, m)?)?;
    Ok(())
}
