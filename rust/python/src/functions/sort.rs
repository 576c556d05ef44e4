//! Sorting, choosing the largest, running sums.

use crate::convert::tensor;
use crate::error::{run, to_py};
use crate::generator::generator_of;
use crate::tensor::{HEAVY, PyTensor, heavy, wrap};
use crate::types::{opt_device, opt_dtype};
use pyneuro_core::op::{Attrs, OpDef, call1};
use pyneuro_core::ops::attrs::Distribution;
use pyneuro_core::ops::{self, random, sort as s};
use pyneuro_core::{DType, Device, err};
use pyo3::prelude::*;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;
type Pair<'py> = PyResult<(Bound<'py, PyTensor>, Bound<'py, PyTensor>)>;
type Arg<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// Elements along `dim` in order, and where each came from; equal elements keep their order, whether asked to or not.
#[pyfunction]
fn sort<'py>(x: &Bound<'py, PyAny>, dim: i64, descending: bool, stable: bool) -> Pair<'py> {
    let _ = stable;
    let t = tensor("sort", x)?;
    // Comparisons make sorting longer work than its number of elements says.
    let long = heavy([&t]) || t.numel() >= HEAVY / 8;
    let (values, indices) = run(x.py(), long, || s::sorted(&t, dim, descending))?;
    Ok((wrap(x.py(), values)?, wrap(x.py(), indices)?))
}

/// The k greatest (or smallest) elements along `dim` in order, and where each came from.
#[pyfunction]
fn topk<'py>(x: &Bound<'py, PyAny>, k: i64, dim: i64, largest: bool, sorted: bool) -> Pair<'py> {
    let _ = sorted;
    let t = tensor("topk", x)?;
    let count = usize::try_from(k).map_err(|_| to_py(err!(Value, "topk: k must not be negative, got {k}")))?;
    let (values, indices) = run(x.py(), heavy([&t]), || s::topk(&t, count, dim, largest))?;
    Ok((wrap(x.py(), values)?, wrap(x.py(), indices)?))
}

fn scan<'py>(def: &'static OpDef, x: &Bound<'py, PyAny>, dim: i64, dtype: Arg<'_, 'py>) -> Out<'py> {
    let (t, dtype) = (tensor(def.name, x)?, opt_dtype(dtype)?);
    let made = run(x.py(), heavy([&t]), || {
        let out = call1(def, Attrs::Dim(dim), &[&ops::cast(&t, dtype.unwrap_or(t.dtype()))?])?;
        // Integers run in int64; asked for a narrower one, the result is converted.
        ops::cast(&out, dtype.unwrap_or(out.dtype()))
    })?;
    wrap(x.py(), made)
}

/// The running sum along `dim`.
#[pyfunction]
#[pyo3(signature = (x, dim, dtype=None))]
fn cumsum<'py>(x: &Bound<'py, PyAny>, dim: i64, dtype: Arg<'_, 'py>) -> Out<'py> {
    scan(&s::CUMSUM, x, dim, dtype)
}

/// The running product along `dim`.
#[pyfunction]
#[pyo3(signature = (x, dim, dtype=None))]
fn cumprod<'py>(x: &Bound<'py, PyAny>, dim: i64, dtype: Arg<'_, 'py>) -> Out<'py> {
    scan(&s::CUMPROD, x, dim, dtype)
}

/// The integers 0 ... n-1 in random order.
#[pyfunction]
#[pyo3(signature = (n, dtype=None, device=None, generator=None))]
fn randperm<'py>(
    py: Python<'py>,
    n: i64,
    dtype: Arg<'_, 'py>,
    device: Arg<'_, 'py>,
    generator: Arg<'_, 'py>,
) -> Out<'py> {
    let count = usize::try_from(n).map_err(|_| to_py(err!(Value, "randperm: n must not be negative, got {n}")))?;
    let dtype = opt_dtype(dtype)?.unwrap_or(DType::I64);
    let device = opt_device(device)?.unwrap_or(Device::Cpu);
    let (seed, offset) = generator_of(py, generator)?.get().reserve(random::blocks(count));
    let made = run(py, true, || {
        // The order of random keys.  Of 63 bits, so that two of them are hardly ever equal; on the CPU, since GPUs have
        // 32-bit integers and the permutation should be the same on every device.
        let keys = Distribution::Integers(0, i64::MAX);
        let keys = random::random(keys, &[count], DType::I64, Device::Cpu, seed, offset)?;
        let order = s::sorted(&keys, 0, false)?.1;
        ops::to_device(&ops::cast(&order, dtype)?, device)
    })?;
    wrap(py, made)
}

crate::register!(sort, topk, cumsum, cumprod, randperm);
