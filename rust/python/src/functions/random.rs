//! Random tensors: each call takes its part of a generator's stream.

use crate::convert::{ints, lengths, tensor};
use crate::data;
use crate::error::run;
use crate::generator::generator_of;
use crate::tensor::{HEAVY, PyTensor, heavy, wrap};
use crate::types::{opt_device, opt_dtype};
use pyneuro_core::layout::Shape;
use pyneuro_core::ops::attrs::Distribution;
use pyneuro_core::ops::{self, random};
use pyneuro_core::{DType, Device};
use pyo3::prelude::*;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;
type Arg<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

fn draw<'py>(
    py: Python<'py>,
    distribution: Distribution,
    shape: &Shape,
    dtype: DType,
    device: Arg<'_, 'py>,
    generator: Arg<'_, 'py>,
) -> Out<'py> {
    let device = opt_device(device)?.unwrap_or(Device::Cpu);
    let n = shape.iter().fold(1usize, |n, &d| n.saturating_mul(d));
    let long = n >= HEAVY / 4 || device != Device::Cpu;
    let generator = generator_of(py, generator)?;
    // A call that fails below has skipped its part of the stream, which harms nobody.
    let (seed, offset) = generator.get().reserve(random::blocks(n));
    wrap(py, run(py, long, || random::random(distribution, shape, dtype, device, seed, offset))?)
}

/// Uniform in [0, 1).
#[pyfunction]
#[pyo3(signature = (shape, dtype=None, device=None, generator=None))]
fn rand<'py>(
    shape: &Bound<'py, PyAny>,
    dtype: Arg<'_, 'py>,
    device: Arg<'_, 'py>,
    generator: Arg<'_, 'py>,
) -> Out<'py> {
    let lens = lengths("rand", &ints("rand", shape)?)?;
    let dtype = opt_dtype(dtype)?.unwrap_or_else(data::default_dtype);
    draw(shape.py(), Distribution::Uniform(0.0, 1.0), &lens, dtype, device, generator)
}

/// Normal with mean 0 and variance 1.
#[pyfunction]
#[pyo3(signature = (shape, dtype=None, device=None, generator=None))]
fn randn<'py>(
    shape: &Bound<'py, PyAny>,
    dtype: Arg<'_, 'py>,
    device: Arg<'_, 'py>,
    generator: Arg<'_, 'py>,
) -> Out<'py> {
    let lens = lengths("randn", &ints("randn", shape)?)?;
    let dtype = opt_dtype(dtype)?.unwrap_or_else(data::default_dtype);
    draw(shape.py(), Distribution::Normal(0.0, 1.0), &lens, dtype, device, generator)
}

/// Integers, uniform in [low, high).
#[pyfunction]
#[pyo3(signature = (low, high, shape, dtype=None, device=None, generator=None))]
fn randint<'py>(
    low: i64,
    high: i64,
    shape: &Bound<'py, PyAny>,
    dtype: Arg<'_, 'py>,
    device: Arg<'_, 'py>,
    generator: Arg<'_, 'py>,
) -> Out<'py> {
    let lens = lengths("randint", &ints("randint", shape)?)?;
    let dtype = opt_dtype(dtype)?.unwrap_or(DType::I64);
    draw(shape.py(), Distribution::Integers(low, high), &lens, dtype, device, generator)
}

/// Each element kept with probability 1 - p and scaled by 1 / (1 - p), else 0.
#[pyfunction]
#[pyo3(signature = (x, p, generator=None))]
fn dropout<'py>(x: &Bound<'py, PyAny>, p: f64, generator: Arg<'_, 'py>) -> Out<'py> {
    let t = tensor("dropout", x)?;
    let py = x.py();
    let generator = generator_of(py, generator)?;
    let (seed, offset) = generator.get().reserve(random::blocks(t.numel()));
    let made = run(py, heavy([&t]), || {
        pyneuro_core::ensure!((0.0..=1.0).contains(&p), Value, "dropout: p must be in [0, 1], got {p}");
        let kept = random::random(Distribution::Bernoulli(1.0 - p), t.shape(), t.dtype(), t.device(), seed, offset)?;
        let scaled = if p < 1.0 { ops::mul_scalar(&kept, 1.0 / (1.0 - p))? } else { kept };
        ops::mul(&t, &scaled)
    })?;
    wrap(py, made)
}

crate::register!(rand, randn, randint, dropout);
