//! `x[...]`: reading and writing.
//!
//! Integers, slices (with steps of either sign), None and Ellipsis give views.  Index tensors, lists, NumPy arrays and
//! bool masks give copies; they are handed to the core in terms of the view that the rest of the key gives.

use super::{PyTensor, advanced, heavy, wrap};
use crate::convert::{int64, operand, type_error};
use crate::data;
use crate::error::{guard, run};
use crate::numpy;
use pyneuro_core::{DType, Result, Tensor, ensure, op, ops};
use pyo3::exceptions::{PyIndexError, PyOverflowError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyInt, PyList, PyRange, PySlice, PyString, PyTuple};
use smallvec::SmallVec;

/// One part of a key.
pub enum Part {
    Int(i64),
    Slice([Option<i64>; 3]),
    NewDim,
    Ellipsis,
    /// Integers to gather by.
    Index(Tensor),
    /// Truth values that choose among elements; covers as many dimensions as it has.
    Mask(Tensor),
}

impl Part {
    fn of(item: &Bound<'_, PyAny>) -> PyResult<Self> {
        if item.cast::<PyInt>().is_ok() && item.cast::<PyBool>().is_err() {
            return Ok(Self::Int(int64("index", item)?));
        }
        if let Ok(s) = item.cast::<PySlice>() {
            let py = item.py();
            let bound = |name: &Bound<'_, PyString>| -> PyResult<Option<i64>> {
                let value = s.getattr(name)?;
                if value.is_none() {
                    return Ok(None);
                }
                // Anything with __index__, integer tensors and NumPy integers too.  Beyond 64 bits is beyond any tensor.
                match value.extract::<i64>() {
                    Err(e) if e.is_instance_of::<PyOverflowError>(py) => {
                        Ok(Some(if value.lt(0)? { i64::MIN } else { i64::MAX }))
                    }
                    found => found.map(Some),
                }
            };
            return Ok(Self::Slice([
                bound(intern!(py, "start"))?,
                bound(intern!(py, "stop"))?,
                bound(intern!(py, "step"))?,
            ]));
        }
        if item.is_none() {
            return Ok(Self::NewDim);
        }
        if item.cast::<PyEllipsis>().is_ok() {
            return Ok(Self::Ellipsis);
        }
        Self::array(item)
    }

    /// Tensors, arrays, lists and truth values.
    fn array(item: &Bound<'_, PyAny>) -> PyResult<Self> {
        let known = item.cast::<PyTensor>().is_ok()
            || item.cast::<PyList>().is_ok()
            || item.cast::<PyTuple>().is_ok()
            || item.cast::<PyRange>().is_ok()
            || item.cast::<PyBool>().is_ok()
            || numpy::is_array(item)?
            || numpy::is_scalar(item)?;
        if !known {
            // What has __index__ is an integer, whatever its class.
            return match item.extract::<i64>() {
                Ok(i) => Ok(Self::Int(i)),
                Err(_) => Err(type_error("index", "an integer, slice, None, ..., bool or integer tensor", item)
                    .into_index_error(item)),
            };
        }
        let mut t = data::make(item, None, None, false)?;
        if t.numel() == 0 && item.cast::<PyList>().is_ok() {
            // An empty list has no numbers to tell its dtype.
            t = guard(|| ops::cast(&t, DType::I64))?;
        }
        match t.dtype() {
            DType::Bool => Ok(Self::Mask(t)),
            d if d.is_float() => {
                Err(PyIndexError::new_err(format!("index: tensors used as indices must be integer or bool, got {d}")))
            }
            _ if t.ndim() == 0 => Ok(Self::Int(guard(|| t.item_i64())?)),
            _ => Ok(Self::Index(guard(|| ops::cast(&t, DType::I64))?)),
        }
    }

    /// How many dimensions of the tensor it uses up.
    fn uses(&self) -> usize {
        match self {
            Self::Int(_) | Self::Slice(_) | Self::Index(_) => 1,
            Self::Mask(m) => m.ndim(),
            Self::NewDim | Self::Ellipsis => 0,
        }
    }
}

/// A wrong kind of index is a `TypeError` for objects that mean nothing, an `IndexError` for numbers, as in NumPy.
trait IntoIndexError {
    fn into_index_error(self, item: &Bound<'_, PyAny>) -> PyErr;
}

impl IntoIndexError for PyErr {
    fn into_index_error(self, item: &Bound<'_, PyAny>) -> PyErr {
        if item.cast::<pyo3::types::PyFloat>().is_ok() {
            return PyIndexError::new_err(self.value(item.py()).to_string());
        }
        self
    }
}

/// First element, step and length of a slice of a dimension with `n` elements, by Python's rules.
fn slice_indices(parts: [Option<i64>; 3], n: usize) -> Result<(usize, isize, usize)> {
    let n = n as i64;
    let step = parts[2].unwrap_or(1);
    ensure!(step != 0, Value, "slice: the step must not be 0, got 0");
    let step = step.max(-i64::MAX);
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let clip = |x: i64| (if x < 0 { x.saturating_add(n) } else { x }).clamp(low, high);
    let start = parts[0].map_or(if step > 0 { low } else { high }, clip);
    let stop = parts[1].map_or(if step > 0 { high } else { low }, clip);
    let distance = if step > 0 { stop - start } else { start - stop };
    let len = if distance > 0 { (distance - 1) / step.abs() + 1 } else { 0 };
    Ok((start.max(0) as usize, step as isize, len as usize))
}

/// What a key means for one tensor.
pub struct Located {
    /// After integers, slices and new dimensions.
    pub view: Tensor,
    /// Index tensors and masks: the dimension of `view` where each starts.
    pub arrays: SmallVec<[(usize, Part); 2]>,
}

fn parts_of(key: &Bound<'_, PyAny>) -> PyResult<SmallVec<[Part; 4]>> {
    match key.cast::<PyTuple>() {
        Ok(tuple) => tuple.iter_borrowed().map(|item| Part::of(&item)).collect(),
        Err(_) => Ok(SmallVec::from_iter([Part::of(key)?])),
    }
}

fn locate(t: &Tensor, parts: SmallVec<[Part; 4]>) -> Result<Located> {
    let used: usize = parts.iter().map(Part::uses).sum();
    ensure!(
        used <= t.ndim(),
        Index,
        "index: at most {} indices are required for shape {:?}, got {used}",
        t.ndim(),
        t.shape()
    );
    let dots = parts.iter().filter(|p| matches!(p, Part::Ellipsis)).count();
    ensure!(dots <= 1, Index, "index: one ... at most is allowed, got {dots}");
    let mut view = t.clone();
    let mut arrays = SmallVec::new();
    let mut d = 0;
    for part in parts {
        match part {
            Part::Int(i) => {
                let n = view.shape()[d] as i64;
                ensure!((-n..n).contains(&i), Index, "index: must be in [{}, {}) at dim {d}, got {i}", -n, n);
                view = ops::select(&view, d as i64, i)?;
            }
            Part::Slice(s) => {
                let n = view.shape()[d];
                let (start, step, len) = slice_indices(s, n)?;
                if (start, step, len) != (0, 1, n) {
                    view = ops::slice(&view, d, if len == 0 { 0 } else { start }, step, len)?;
                }
                d += 1;
            }
            Part::NewDim => {
                view = ops::unsqueeze(&view, d as i64)?;
                d += 1;
            }
            Part::Ellipsis => d += t.ndim() - used,
            Part::Mask(truth) if truth.ndim() == 0 => {
                // x[True] and x[False]: everything or nothing, along a new dimension.
                view = ops::unsqueeze(&view, d as i64)?;
                arrays.push((d, Part::Mask(ops::reshape(&truth, &[1])?)));
                d += 1;
            }
            Part::Index(_) | Part::Mask(_) => {
                let covers = part.uses();
                if let Part::Mask(m) = &part {
                    let there = &view.shape()[d..d + covers];
                    ensure!(
                        m.shape() == there,
                        Index,
                        "index: a mask must have the shape of the dimensions it covers, {there:?}, got {:?}",
                        m.shape()
                    );
                }
                arrays.push((d, part));
                d += covers;
            }
        }
    }
    if view.is(t) && arrays.is_empty() {
        // x[...] and x[:] are new views, not the tensor itself.
        view = ops::alias(t)?;
    }
    Ok(Located { view, arrays })
}

#[pymethods]
impl PyTensor {
    fn __getitem__<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        let t = slf.get().get();
        if let Ok(i) = key.cast_exact::<PyInt>() {
            let i = int64("index", i)?;
            return wrap(py, guard(|| first(&t, i))?);
        }
        let parts = parts_of(key)?;
        let located = guard(|| locate(&t, parts))?;
        if located.arrays.is_empty() {
            return wrap(py, located.view);
        }
        wrap(py, run(py, heavy([&t]), || advanced::get(&located))?)
    }

    fn __setitem__(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let t = slf.get().get();
        let value = match operand(value, None)? {
            Some(v) => v,
            None => data::make(value, Some(t.dtype()), Some(t.device()), false)
                .map_err(|_| type_error("index", "a Tensor or a number as the value", value))?,
        };
        let parts = parts_of(key)?;
        run(slf.py(), heavy([&t]), || {
            // The same views as for reading, so that the write finds its way into the tensor's history.
            let located = locate(&t, parts)?;
            if located.arrays.is_empty() { write(&located.view, &value) } else { advanced::set(&located, &value) }
        })
    }

    fn __delitem__(&self, _key: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err("index: elements of a tensor cannot be deleted"))
    }

    fn __iter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let t = slf.get().get();
        if t.ndim() == 0 {
            return Err(PyTypeError::new_err("iter: a tensor with at least 1 dimension is required, got a 0-d tensor"));
        }
        let rows = guard(|| (0..t.shape()[0]).map(|i| ops::select(&t, 0, i as i64)).collect::<Result<Vec<_>>>())?;
        let rows = rows.into_iter().map(|r| wrap(slf.py(), r)).collect::<PyResult<Vec<_>>>()?;
        Ok(PyList::new(slf.py(), rows)?.try_iter()?.into_any())
    }
}

/// `x[i]`.
fn first(t: &Tensor, i: i64) -> Result<Tensor> {
    ensure!(t.ndim() > 0, Index, "index: at most 0 indices are required for shape [], got 1");
    ops::select(t, 0, i)
}

/// Without leading dimensions of length 1 beyond `most` dimensions: they may be too many in an assignment, as in torch.
pub fn trimmed(value: &Tensor, most: usize) -> Result<Tensor> {
    let mut shape = value.shape();
    while shape.len() > most && shape[0] == 1 {
        shape = &shape[1..];
    }
    if shape.len() == value.ndim() { Ok(value.clone()) } else { ops::reshape(value, shape) }
}

/// Writes a value over a view.
fn write(view: &Tensor, value: &Tensor) -> Result<()> {
    let value = trimmed(value, view.ndim())?;
    let fits = value.ndim() <= view.ndim()
        && value.shape().iter().rev().zip(view.shape().iter().rev()).all(|(&a, &b)| a == b || a == 1);
    ensure!(fits, Value, "index: the value must broadcast to shape {:?}, got {:?}", view.shape(), value.shape());
    op::assign(view, &value)
}
