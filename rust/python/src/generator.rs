//! `Generator`: where random numbers come from.  A key and a position in its stream; the core computes the numbers.

use pyneuro_core::Tensor;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Clone, Copy)]
struct State {
    seed: u64,
    offset: u64,
}

/// A stream of random numbers (Philox4x32-10): the same seed gives the same numbers on every device.
#[pyclass(module = "pyneuro", frozen)]
pub struct Generator(Mutex<State>);

static DEFAULT: PyOnceLock<Py<Generator>> = PyOnceLock::new();

/// An unpredictable seed: the standard library's hash keys come from the operating system.
fn entropy() -> u64 {
    RandomState::new().hash_one(std::process::id()) & (u64::MAX >> 1)
}

impl Generator {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next `blocks` blocks of the stream: (seed, the first of them).
    pub fn reserve(&self, blocks: u64) -> (u64, u64) {
        let mut s = self.lock();
        let at = s.offset;
        s.offset = s.offset.wrapping_add(blocks);
        (s.seed, at)
    }
}

/// The generator of an argument, or the default one.
pub fn generator_of<'py>(py: Python<'py>, arg: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, Generator>> {
    match arg.filter(|a| !a.is_none()) {
        None => Ok(default_generator(py)?.clone()),
        Some(g) => Ok(g
            .cast::<Generator>()
            .map_err(|_| crate::convert::type_error("generator", "a pyneuro.Generator or None", g))?
            .clone()),
    }
}

/// The generator that functions draw from when they are given none.
pub fn default_generator(py: Python<'_>) -> PyResult<&Bound<'_, Generator>> {
    Ok(DEFAULT.get_or_try_init(py, || Py::new(py, Generator::fresh()))?.bind(py))
}

impl Generator {
    fn fresh() -> Self {
        Self(Mutex::new(State { seed: entropy(), offset: 0 }))
    }
}

/// A seed as 64 bits; negative ones as in torch.
fn seed_bits(seed: &Bound<'_, PyAny>) -> PyResult<u64> {
    if let Ok(s) = seed.extract::<u64>() {
        return Ok(s);
    }
    seed.extract::<i64>().map(|s| s as u64).map_err(|_| {
        PyTypeError::new_err(format!(
            "manual_seed: an integer of 64 bits is required, got {}",
            crate::convert::describe(seed)
        ))
    })
}

#[pymethods]
impl Generator {
    /// A generator of its own, unpredictably seeded.  The device is that of the tensors it fills.
    #[new]
    #[pyo3(signature = (device=None))]
    fn new(device: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        crate::types::opt_device(device)?;
        Ok(Self::fresh())
    }

    /// Starts the stream of a seed.
    fn manual_seed<'py>(slf: &Bound<'py, Self>, seed: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        *slf.get().lock() = State { seed: seed_bits(seed)?, offset: 0 };
        Ok(slf.clone())
    }

    /// Starts an unpredictable stream and returns its seed.
    fn seed(&self) -> u64 {
        let seed = entropy();
        *self.lock() = State { seed, offset: 0 };
        seed
    }

    /// The seed of the stream.
    fn initial_seed(&self) -> u64 {
        self.lock().seed
    }

    /// Seed and position, as a tensor of bytes that `set_state` takes.
    fn get_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, crate::tensor::PyTensor>> {
        let s = *self.lock();
        let bytes: Vec<u8> = s.seed.to_le_bytes().into_iter().chain(s.offset.to_le_bytes()).collect();
        crate::tensor::wrap_result(py, || Tensor::from_slice(&bytes, &[16]))
    }

    /// Goes back to where `get_state` was called.
    fn set_state<'py>(slf: &Bound<'py, Self>, state: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let t = crate::convert::tensor("set_state", state)?;
        let bytes = crate::error::guard(|| t.to_vec::<u8>())?;
        let (seed, offset) = match bytes.split_first_chunk::<8>() {
            Some((seed, rest)) if rest.len() == 8 => (*seed, rest.try_into().unwrap_or([0; 8])),
            _ => {
                return Err(PyRuntimeError::new_err(
                    "set_state: the result of get_state is required, got another tensor",
                ));
            }
        };
        *slf.get().lock() = State { seed: u64::from_le_bytes(seed), offset: u64::from_le_bytes(offset) };
        Ok(slf.clone())
    }

    /// A generator of its own at the same place of the stream.
    fn clone_state(&self) -> Self {
        Self(Mutex::new(*self.lock()))
    }

    fn __repr__(&self) -> String {
        let s = *self.lock();
        format!("<pyneuro.Generator seed={} offset={}>", s.seed, s.offset)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let state = slf.get().get_state(py)?;
        let rebuild = py.import("pyneuro._core")?.getattr("_rebuild_generator")?;
        Ok((rebuild, (state,)).into_pyobject(py)?.into_any())
    }
}

/// The inverse of `Generator.__reduce__`.
#[pyfunction]
pub fn _rebuild_generator<'py>(state: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Generator>> {
    let made = Bound::new(state.py(), Generator::fresh())?;
    Generator::set_state(&made, state)
}

/// Seeds the default generator and returns it.
#[pyfunction]
pub fn manual_seed<'py>(seed: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Generator>> {
    Generator::manual_seed(default_generator(seed.py())?, seed)
}
