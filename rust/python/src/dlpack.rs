//! DLPack: tensors of other libraries without a copy, and ours for them.  Versioned (1.x) and legacy capsules, CPU memory.

use crate::convert::describe;
use crate::error::guard;
use crate::numpy::data_ptr;
use crate::tensor::{PyTensor, wrap};
use pyneuro_core::layout::{Layout, Shape, Strides, contiguous_strides};
use pyneuro_core::storage::{Memory, Storage};
use pyneuro_core::{DType, Device, Tensor, ops};
use pyneuro_kernels::array::Buffer;
use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyTuple};
use std::ffi::{CStr, c_void};
use std::ptr::NonNull;

const CPU: i32 = 1;
const READ_ONLY: u64 = 1;
const COPIED: u64 = 2;

#[repr(C)]
struct DlTensor {
    data: *mut c_void,
    device: [i32; 2],
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *mut i64,
    /// In elements; null means row-major.
    strides: *mut i64,
    byte_offset: u64,
}

/// `DLManagedTensor`
#[repr(C)]
struct Legacy {
    tensor: DlTensor,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Self)>,
}

/// `DLManagedTensorVersioned`
#[repr(C)]
struct Versioned {
    version: [u32; 2],
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Self)>,
    flags: u64,
    tensor: DlTensor,
}

const LEGACY: &CStr = c"dltensor";
const LEGACY_USED: &CStr = c"used_dltensor";
const VERSIONED: &CStr = c"dltensor_versioned";
const VERSIONED_USED: &CStr = c"used_dltensor_versioned";

/// The type code and bits of a dtype.
fn code_of(dtype: DType) -> (u8, u8) {
    let code = match dtype {
        DType::Bool => 6,
        DType::U8 => 1,
        DType::BF16 => 4,
        d if d.is_float() => 2,
        _ => 0,
    };
    (code, dtype.size() as u8 * 8)
}

// ------------------------------------------------------------------------------------------------------------- export

/// What an exported tensor keeps alive.
struct Context {
    _tensor: Tensor,
    shape: Vec<i64>,
    strides: Vec<i64>,
}

fn describe_tensor(t: &Tensor, context: &mut Context) -> DlTensor {
    let (code, bits) = code_of(t.dtype());
    DlTensor {
        data: data_ptr(t).cast(),
        device: [CPU, 0],
        ndim: t.ndim() as i32,
        code,
        bits,
        lanes: 1,
        shape: context.shape.as_mut_ptr(),
        strides: context.strides.as_mut_ptr(),
        byte_offset: 0,
    }
}

fn context_of(t: &Tensor) -> Box<Context> {
    Box::new(Context {
        _tensor: t.detach(),
        shape: t.shape().iter().map(|&n| n as i64).collect(),
        strides: t.layout().strides.iter().map(|&s| s as i64).collect(),
    })
}

unsafe extern "C" fn delete_legacy(this: *mut Legacy) {
    // SAFETY: `this` and its context are boxes made by `capsule`, and a deleter is called once.
    unsafe {
        drop(Box::from_raw((*this).context.cast::<Context>()));
        drop(Box::from_raw(this));
    }
}

unsafe extern "C" fn delete_versioned(this: *mut Versioned) {
    // SAFETY: as above.
    unsafe {
        drop(Box::from_raw((*this).context.cast::<Context>()));
        drop(Box::from_raw(this));
    }
}

/// Frees a capsule that nobody has consumed; consumed ones have another name.
unsafe extern "C" fn free_capsule(capsule: *mut ffi::PyObject) {
    // SAFETY: Python calls this for our capsules, whose pointers are of the type that the name says.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, LEGACY.as_ptr()) == 1 {
            delete_legacy(ffi::PyCapsule_GetPointer(capsule, LEGACY.as_ptr()).cast());
        } else if ffi::PyCapsule_IsValid(capsule, VERSIONED.as_ptr()) == 1 {
            delete_versioned(ffi::PyCapsule_GetPointer(capsule, VERSIONED.as_ptr()).cast());
        }
    }
}

fn capsule(py: Python<'_>, t: &Tensor, versioned: bool, copied: bool) -> PyResult<Py<PyAny>> {
    let mut context = context_of(t);
    let tensor = describe_tensor(t, &mut context);
    let context = Box::into_raw(context).cast();
    let (pointer, name): (*mut c_void, &CStr) = if versioned {
        let flags = if copied { COPIED } else { 0 };
        let made = Versioned { version: [1, 0], context, deleter: Some(delete_versioned), flags, tensor };
        (Box::into_raw(Box::new(made)).cast(), VERSIONED)
    } else {
        (Box::into_raw(Box::new(Legacy { tensor, context, deleter: Some(delete_legacy) })).cast(), LEGACY)
    };
    // SAFETY: the name is static; the pointer is of the type that it says and belongs to the capsule (a failure to make
    // one, for lack of memory, leaks it).
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyCapsule_New(pointer, name.as_ptr(), Some(free_capsule))) }
        .map(Bound::unbind)
}

#[pymethods]
impl PyTensor {
    /// The DLPack protocol: a capsule over this tensor's memory.
    #[pyo3(signature = (*, stream=None, max_version=None, dl_device=None, copy=None))]
    fn __dlpack__(
        &self,
        py: Python<'_>,
        stream: Option<&Bound<'_, PyAny>>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Py<PyAny>> {
        let mut t = self.get();
        if let Some(stream) = stream.filter(|s| !s.is_none()) {
            let got = describe(stream);
            return Err(PyValueError::new_err(format!("__dlpack__: stream must be None for the CPU, got {got}")));
        }
        if dl_device.is_some_and(|d| d != (CPU, 0)) {
            return Err(PyBufferError::new_err(format!(
                "__dlpack__: only CPU memory can be exported, got device {dl_device:?}"
            )));
        }
        if t.requires_grad() {
            return Err(PyBufferError::new_err(
                "__dlpack__: a tensor that requires grad cannot be exported; use .detach()",
            ));
        }
        let far = t.device() != Device::Cpu;
        if far && (dl_device.is_none() || copy == Some(false)) {
            let device = t.device();
            return Err(PyBufferError::new_err(format!(
                "__dlpack__: a CPU tensor is required, got one on {device}; use .cpu()"
            )));
        }
        let copied = far || copy == Some(true);
        if copied {
            t = guard(|| if far { t.detach().to_cpu() } else { ops::copy(&t.detach()) })?;
        }
        capsule(py, &t, max_version.is_some_and(|(major, _)| major >= 1), copied)
    }

    /// The DLPack protocol: (device type, index).
    fn __dlpack_device__(&self) -> (i32, i32) {
        match self.get().device() {
            Device::Cpu => (CPU, 0),
            // kDLWebGPU
            Device::Gpu(i) => (15, i32::from(i)),
        }
    }
}

// ------------------------------------------------------------------------------------------------------------- import

/// A consumed capsule: calls the producer's deleter when the memory is no longer used.
enum Imported {
    Legacy(NonNull<Legacy>),
    Versioned(NonNull<Versioned>),
}

// SAFETY: DLPack lets the consumer call the deleter from any thread.
unsafe impl Send for Imported {}
// SAFETY: nothing is read through it after the import.
unsafe impl Sync for Imported {}

impl Drop for Imported {
    fn drop(&mut self) {
        // Producers written in Python (NumPy among them) touch reference counts in their deleter.
        let _ = Python::try_attach(|_| {
            // SAFETY: the capsule was renamed, so the deleter is ours to call, once.
            unsafe {
                match self {
                    Self::Legacy(p) => p.as_ref().deleter.map(|f| f(p.as_ptr())),
                    Self::Versioned(p) => p.as_ref().deleter.map(|f| f(p.as_ptr())),
                }
            }
        });
    }
}

fn consume(capsule: &Bound<'_, PyCapsule>) -> PyResult<(Imported, bool)> {
    let raw = capsule.as_ptr();
    if let Ok(p) = capsule.pointer_checked(Some(VERSIONED)) {
        let p = p.cast::<Versioned>();
        // SAFETY: the name promises this type.
        let (version, flags) = unsafe { (p.as_ref().version, p.as_ref().flags) };
        if version[0] > 1 {
            return Err(PyBufferError::new_err(format!("from_dlpack: version 1 is required, got {}", version[0])));
        }
        // SAFETY: a live capsule and a static name; the protocol's way to say that it is used up.
        unsafe { ffi::PyCapsule_SetName(raw, VERSIONED_USED.as_ptr()) };
        return Ok((Imported::Versioned(p), flags & READ_ONLY != 0));
    }
    let p = capsule
        .pointer_checked(Some(LEGACY))
        .map_err(|_| PyTypeError::new_err("from_dlpack: an unused DLPack capsule is required, got another one"))?;
    // SAFETY: as above.
    unsafe { ffi::PyCapsule_SetName(raw, LEGACY_USED.as_ptr()) };
    Ok((Imported::Legacy(p.cast()), false))
}

fn import(owner: Imported, read_only: bool) -> PyResult<Tensor> {
    // SAFETY: the capsule's name promised these types, and the owner keeps them alive.
    let d = unsafe {
        match &owner {
            Imported::Legacy(p) => &p.as_ref().tensor,
            Imported::Versioned(p) => &p.as_ref().tensor,
        }
    };
    // kDLCPU, kDLCUDAHost and kDLROCMHost are host memory.
    if ![CPU, 3, 11].contains(&d.device[0]) {
        let device = d.device;
        return Err(PyBufferError::new_err(format!(
            "from_dlpack: host memory is required, got DLPack device {device:?}"
        )));
    }
    let Some(dtype) = DType::ALL.into_iter().find(|&t| d.lanes == 1 && code_of(t) == (d.code, d.bits)) else {
        let known = DType::ALL.map(DType::name).join(", ");
        return Err(PyTypeError::new_err(format!(
            "from_dlpack: a dtype among {known} is required, got code {}, {} bits, {} lanes",
            d.code, d.bits, d.lanes
        )));
    };
    let n = usize::try_from(d.ndim).unwrap_or(0);
    // SAFETY: the shape has `ndim` entries, and so have the strides unless they are null.
    let shape: Shape = (0..n).map(|i| unsafe { *d.shape.add(i) } as usize).collect();
    let strides: Strides = if d.strides.is_null() {
        contiguous_strides(&shape)
    } else {
        // SAFETY: as above.
        (0..n).map(|i| unsafe { *d.strides.add(i) } as isize).collect()
    };
    if shape.contains(&0) {
        return guard(|| Tensor::empty(&shape, dtype));
    }
    let item = dtype.size() as isize;
    let (mut low, mut high) = (0isize, 0isize);
    for (&len, &s) in shape.iter().zip(&strides) {
        let reach = (len as isize - 1) * s;
        if reach < 0 { low += reach } else { high += reach }
    }
    let first = d.data.cast::<u8>().wrapping_add(d.byte_offset as usize);
    let Some(start) = NonNull::new(first.wrapping_offset(low * item)) else {
        return Err(PyBufferError::new_err("from_dlpack: the tensor has elements but no memory"));
    };
    if !first.addr().is_multiple_of(dtype.size()) {
        return Err(PyBufferError::new_err("from_dlpack: aligned memory is required"));
    }
    let layout = Layout { shape, strides, offset: -low as usize };
    // SAFETY: the producer keeps the elements alive until its deleter is called, which the owner does; they lie between
    // `low` and `high`.  Read-only memory is copied below and never written.
    let buffer = unsafe { Buffer::foreign(start, ((high - low + 1) * item) as usize, Box::new(owner)) };
    let t = Tensor::from_parts(Storage::new(Memory::Cpu(buffer)), layout, dtype);
    if read_only { guard(|| ops::copy(&t)) } else { Ok(t) }
}

/// A tensor over the memory of another library's tensor (read-only memory is copied).
#[pyfunction]
#[pyo3(signature = (data, /))]
pub fn from_dlpack<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTensor>> {
    let py = data.py();
    let capsule = if data.cast::<PyCapsule>().is_ok() {
        data.clone()
    } else {
        if !data.hasattr("__dlpack__")? {
            return Err(crate::convert::type_error("from_dlpack", "an object with __dlpack__ or a capsule", data));
        }
        let options = PyDict::new(py);
        options.set_item("max_version", PyTuple::new(py, [1, 0])?)?;
        match data.call_method("__dlpack__", (), Some(&options)) {
            // Producers from before version 1 know no such argument.
            Err(e) if e.is_instance_of::<PyTypeError>(py) => data.call_method0("__dlpack__")?,
            other => other?,
        }
    };
    let capsule = capsule
        .cast_into::<PyCapsule>()
        .map_err(|e| crate::convert::type_error("from_dlpack", "a DLPack capsule", &e.into_inner()))?;
    let (owner, read_only) = consume(&capsule)?;
    wrap(py, import(owner, read_only)?)
}
