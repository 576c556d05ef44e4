//! NumPy arrays to tensors and back without copying, through the array interface in its C form (`__array_struct__`).

use crate::convert::describe;
use crate::error::{guard, run};
use crate::tensor::heavy;
use pyneuro_core::layout::{Layout, Shape, Strides};
use pyneuro_core::storage::{Device, Memory, Storage};
use pyneuro_core::{DType, Tensor};
use pyneuro_kernels::array::Buffer;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCapsule, PyType};
use std::ffi::{c_char, c_int, c_void};
use std::ptr::NonNull;

/// `PyArrayInterface` of NumPy's C API.
#[repr(C)]
struct ArrayInterface {
    two: c_int,
    nd: c_int,
    kind: c_char,
    itemsize: c_int,
    flags: c_int,
    shape: *mut isize,
    /// In bytes.
    strides: *mut isize,
    data: *mut c_void,
    descr: *mut ffi::PyObject,
}

const ALIGNED: c_int = 0x100;
const NOT_SWAPPED: c_int = 0x200;
const WRITEABLE: c_int = 0x400;

static NDARRAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static GENERIC: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Whether it is a NumPy scalar such as `np.float32(1)`.
pub fn is_scalar(arg: &Bound<'_, PyAny>) -> PyResult<bool> {
    arg.is_instance(GENERIC.import(arg.py(), "numpy", "generic")?)
}

/// Whether it is a NumPy array.
pub fn is_array(arg: &Bound<'_, PyAny>) -> PyResult<bool> {
    arg.is_instance(NDARRAY.import(arg.py(), "numpy", "ndarray")?)
}

/// `numpy.asarray(arg)`.
pub fn asarray<'py>(arg: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static ASARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    ASARRAY.import(arg.py(), "numpy", "asarray")?.call1((arg,))
}

// ------------------------------------------------------------------------------------------------------------- import

/// A tensor over the memory of a NumPy array, which it keeps alive; or with its own memory if `copy`.
///
/// Arrays that a tensor cannot alias are copied: those that are read-only, unaligned, or strided by part of an element.
pub fn import(array: &Bound<'_, PyAny>, copy: bool) -> PyResult<Tensor> {
    let py = array.py();
    let capsule = array.getattr(intern!(py, "__array_struct__"))?.cast_into::<PyCapsule>()?;
    let pointer = capsule.pointer_checked(None)?.cast::<ArrayInterface>();
    // SAFETY: NumPy's `__array_struct__` is a nameless capsule over this struct, alive as long as the capsule.
    let a = unsafe { pointer.as_ref() };
    let dtype = dtype_of(a, array)?;
    let nd = usize::try_from(a.nd).unwrap_or(0);
    let (mut dims, mut steps): (&[isize], &[isize]) = (&[], &[]);
    if nd > 0 {
        // SAFETY: both arrays have `nd` entries by the protocol.
        (dims, steps) = unsafe { (std::slice::from_raw_parts(a.shape, nd), std::slice::from_raw_parts(a.strides, nd)) };
    }
    let item = dtype.size() as isize;
    let shape: Shape = dims.iter().map(|&n| n as usize).collect();
    if shape.contains(&0) {
        return guard(|| Tensor::empty(&shape, dtype));
    }
    let whole = dims.iter().zip(steps).all(|(&n, &s)| n == 1 || s % item == 0);
    let aligned = a.flags & ALIGNED != 0 && a.data.addr().is_multiple_of(dtype.size());
    if a.flags & WRITEABLE == 0 && copy && whole && aligned {
        // Only read below.
    } else if a.flags & WRITEABLE == 0 || !whole || !aligned {
        return import(&array.call_method1(intern!(py, "copy"), ("C",))?, false);
    }
    // The lowest and highest element decide which block of memory the tensor may touch.
    let (mut low, mut high) = (0isize, 0isize);
    for (&n, &s) in dims.iter().zip(steps) {
        let reach = (n - 1) * s;
        if reach < 0 { low += reach } else { high += reach }
    }
    let strides: Strides = dims.iter().zip(steps).map(|(&n, &s)| if n == 1 { 0 } else { s / item }).collect();
    let layout = Layout { shape, strides: dense_strides(dims, strides), offset: (-low / item) as usize };
    let Some(start) = NonNull::new(a.data.cast::<u8>().wrapping_offset(low)) else {
        return Err(PyValueError::new_err("from_numpy: the array has elements but no memory"));
    };
    let owner: Box<dyn std::any::Any + Send + Sync> = Box::new(array.clone().unbind());
    // SAFETY: the array owns (or keeps alive) the memory of all its elements, which lie between `low` and `high`; it is
    // writable, or only read in this function.
    let buffer = unsafe { Buffer::foreign(start, (high - low + item) as usize, owner) };
    let tensor = Tensor::from_parts(Storage::new(Memory::Cpu(buffer)), layout, dtype);
    if copy { run(py, heavy([&tensor]), || pyneuro_core::ops::copy(&tensor)) } else { Ok(tensor) }
}

/// Strides of length-1 dimensions say nothing; those of a dense array keep it recognisable as such.
fn dense_strides(dims: &[isize], mut strides: Strides) -> Strides {
    let mut next = 1;
    for (s, &n) in strides.iter_mut().zip(dims).rev() {
        if n == 1 {
            *s = next;
        }
        next = *s * n;
    }
    strides
}

fn dtype_of(a: &ArrayInterface, array: &Bound<'_, PyAny>) -> PyResult<DType> {
    let dtype = match (a.kind as u8, a.itemsize) {
        (b'b', 1) => DType::Bool,
        (b'u', 1) => DType::U8,
        (b'i', 1) => DType::I8,
        (b'i', 2) => DType::I16,
        (b'i', 4) => DType::I32,
        (b'i', 8) => DType::I64,
        (b'f', 2) => DType::F16,
        (b'f', 4) => DType::F32,
        (b'f', 8) => DType::F64,
        (b'V', 2) if name_of(array) == "bfloat16" => DType::BF16,
        (kind, _) => {
            let hint = match kind {
                b'u' => "; convert it with .astype(numpy.int64)",
                b'f' => "; convert it with .astype(numpy.float64)",
                b'O' => " (Python objects, perhaps rows of unequal length)",
                _ => "",
            };
            let known = DType::ALL.map(DType::name).join(", ");
            return Err(PyTypeError::new_err(format!(
                "from_numpy: a dtype among {known} is required, got {}{hint}",
                name_of(array)
            )));
        }
    };
    if a.flags & NOT_SWAPPED == 0 && dtype.size() > 1 {
        return Err(PyTypeError::new_err(format!(
            "from_numpy: an array in native byte order is required, got {}; convert it with \
             .astype(array.dtype.newbyteorder(\"=\"))",
            array.getattr("dtype").and_then(|d| d.getattr("str")).map_or_else(|_| String::new(), |s| s.to_string())
        )));
    }
    Ok(dtype)
}

fn name_of(array: &Bound<'_, PyAny>) -> String {
    array.getattr("dtype").and_then(|d| d.getattr("name")).map_or_else(|_| describe(array), |n| n.to_string())
}

// ------------------------------------------------------------------------------------------------------------- export

/// What a NumPy array over a tensor's memory keeps alive.
#[pyclass(module = "pyneuro._core", name = "HostMemory", frozen)]
pub struct HostMemory(Tensor);

/// The interface together with the arrays that it points to.
#[repr(C)]
struct Exported {
    interface: ArrayInterface,
    dims: Shape,
    strides: Strides,
}

#[pymethods]
impl HostMemory {
    #[getter]
    fn __array_struct__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let t = &self.0;
        let (kind, itemsize) = match t.dtype() {
            DType::Bool => (b'b', 1),
            DType::U8 => (b'u', 1),
            // NumPy has no bfloat16 of its own: the bits travel as integers.
            DType::BF16 => (b'u', 2),
            d if d.is_float() => (b'f', d.size()),
            d => (b'i', d.size()),
        };
        let item = t.dtype().size() as isize;
        let mut exported = Box::new(Exported {
            interface: ArrayInterface {
                two: 2,
                nd: t.ndim() as c_int,
                kind: kind as c_char,
                itemsize: itemsize as c_int,
                flags: ALIGNED | NOT_SWAPPED | WRITEABLE,
                shape: std::ptr::null_mut(),
                strides: std::ptr::null_mut(),
                data: data_ptr(t).cast(),
                descr: std::ptr::null_mut(),
            },
            dims: t.shape().into(),
            strides: t.layout().strides.iter().map(|s| s * item).collect(),
        });
        exported.interface.shape = exported.dims.as_mut_ptr().cast();
        exported.interface.strides = exported.strides.as_mut_ptr();
        let pointer = Box::into_raw(exported);
        // SAFETY: `pointer` is a live allocation whose first use is as an `ArrayInterface` (see `free`); on failure it is
        // freed below.
        unsafe {
            let capsule = ffi::PyCapsule_New(pointer.cast(), std::ptr::null(), Some(free_exported));
            Bound::from_owned_ptr_or_err(py, capsule).inspect_err(|_| drop(Box::from_raw(pointer)))
        }
    }
}

unsafe extern "C" fn free_exported(capsule: *mut ffi::PyObject) {
    // SAFETY: called once by Python for a capsule made in `__array_struct__`.
    unsafe {
        let pointer = ffi::PyCapsule_GetPointer(capsule, std::ptr::null()).cast::<Exported>();
        if !pointer.is_null() {
            drop(Box::from_raw(pointer));
        }
    }
}

/// Address of the element at index zero of a CPU tensor.
pub fn data_ptr(t: &Tensor) -> *mut u8 {
    t.buffer().as_ptr().wrapping_add(t.layout().offset * t.dtype().size())
}

/// A NumPy array over the memory of a CPU tensor.
pub fn export<'py>(py: Python<'py>, t: &Tensor) -> PyResult<Bound<'py, PyAny>> {
    if t.requires_grad() {
        return Err(PyRuntimeError::new_err(
            "numpy: a tensor that requires grad cannot be exported; use .detach().numpy()",
        ));
    }
    if t.device() != Device::Cpu {
        let device = t.device();
        return Err(PyTypeError::new_err(format!(
            "numpy: a CPU tensor is required, got one on {device}; use .cpu().numpy()"
        )));
    }
    let owner = Bound::new(py, HostMemory(t.detach()))?;
    let array = asarray(owner.as_any())?;
    if t.dtype() != DType::BF16 {
        return Ok(array);
    }
    match py.import("ml_dtypes") {
        Ok(m) => array.call_method1("view", (m.getattr("bfloat16")?,)),
        Err(_) => {
            Err(PyTypeError::new_err("numpy: NumPy has no bfloat16; install ml_dtypes, or convert with .float() first"))
        }
    }
}
