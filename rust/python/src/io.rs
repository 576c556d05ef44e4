//! Checkpoints: safetensors files, and the raw bytes of one tensor.

use crate::convert::{describe, tensor};
use crate::error::{guard, guard_detached, to_py};
use crate::tensor::wrap;
use pyneuro_core::layout::checked_numel;
use pyneuro_core::{DType, Device, Result, Tensor, ensure, err, ops};
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A row-major CPU tensor without history.
fn on_host(t: &Tensor) -> Result<Tensor> {
    ops::contiguous(&t.detach().to_cpu()?)
}

/// The elements of a row-major CPU tensor as bytes.
fn bytes_of(t: &Tensor) -> &[u8] {
    let (start, len) = (t.layout().offset * t.dtype().size(), t.numel() * t.dtype().size());
    if len == 0 { &[] } else { &t.buffer().as_bytes()[start..start + len] }
}

/// The elements in row-major order, in the byte order of this machine.
pub fn to_bytes(t: &Tensor) -> Result<Vec<u8>> {
    Ok(bytes_of(&on_host(t)?).to_vec())
}

/// The inverse of [`to_bytes`].
pub fn from_bytes(bytes: &[u8], shape: &[usize], dtype: DType) -> Result<Tensor> {
    let n = checked_numel("load", shape)?;
    let want = n * dtype.size();
    ensure!(
        bytes.len() == want,
        Value,
        "load: {want} bytes are required for {dtype} of shape {shape:?}, got {}",
        bytes.len()
    );
    // Any other byte is no bool, and reading it as one would be undefined.
    let valid = dtype != DType::Bool || bytes.iter().all(|&b| b <= 1);
    ensure!(valid, Value, "load: the bytes of bool elements must be 0 or 1");
    let t = Tensor::empty(shape, dtype)?;
    t.buffer().write_bytes(0, bytes);
    Ok(t)
}

// -------------------------------------------------------------------------------------------------------- safetensors

fn to_file_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::Bool => Dtype::BOOL,
        DType::U8 => Dtype::U8,
        DType::I8 => Dtype::I8,
        DType::I16 => Dtype::I16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
    }
}

fn from_file_dtype(dtype: Dtype) -> Option<DType> {
    DType::ALL.into_iter().find(|&d| to_file_dtype(d) == dtype)
}

/// An error of the operating system as Python's own class for it (`FileNotFoundError`, `PermissionError`, ...).
fn os_error(path: &Path, e: &std::io::Error) -> PyErr {
    match e.raw_os_error() {
        // OSError chooses the subclass by the number.
        Some(code) => {
            let text = e.to_string();
            let text = text.split(" (os error").next().unwrap_or_default().to_owned();
            PyOSError::new_err((code, text, path.as_os_str().to_owned()))
        }
        None => PyOSError::new_err(format!("{}: {e}", path.display())),
    }
}

/// Writes named tensors to a safetensors file; under another name first, so that a crash leaves the old file whole.
#[pyfunction]
#[pyo3(signature = (tensors, path, metadata=None))]
pub fn save_safetensors(
    py: Python<'_>,
    tensors: &Bound<'_, PyDict>,
    path: PathBuf,
    metadata: Option<HashMap<String, String>>,
) -> PyResult<()> {
    let mut named: Vec<(String, Tensor)> = Vec::with_capacity(tensors.len());
    for (name, value) in tensors.iter() {
        let Ok(key) = name.cast::<PyString>() else {
            return Err(PyTypeError::new_err(format!("save: names must be strings, got {}", describe(&name))));
        };
        let key = key.to_str()?.to_owned();
        if key == "__metadata__" {
            return Err(PyValueError::new_err("save: the name \"__metadata__\" is reserved by the file format"));
        }
        let t = tensor(&format!("save: {key}"), &value)?;
        named.push((key, t));
    }
    // Wide elements first, so that all are aligned in a mapped file; by name among equals, so that files are comparable.
    named.sort_by(|(a, x), (b, y)| y.dtype().size().cmp(&x.dtype().size()).then_with(|| a.cmp(b)));
    let hosts = guard_detached(py, || named.iter().map(|(_, t)| on_host(t)).collect::<Result<Vec<_>>>())?;
    let mut infos = Vec::with_capacity(named.len());
    let mut at = 0;
    for ((name, _), t) in named.into_iter().zip(&hosts) {
        let end = at + t.numel() * t.dtype().size();
        let info = TensorInfo { dtype: to_file_dtype(t.dtype()), shape: t.shape().to_vec(), data_offsets: (at, end) };
        infos.push((name, info));
        at = end;
    }
    let header = Metadata::new(metadata, infos)
        .map_err(|e| e.to_string())
        .and_then(|m| serde_json::to_vec(&m).map_err(|e| e.to_string()))
        .map_err(|e| PyValueError::new_err(format!("save: {e}")))?;
    py.detach(|| write_file(&path, header, &hosts)).map_err(|e| os_error(&path, &e))
}

fn write_file(path: &Path, mut header: Vec<u8>, tensors: &[Tensor]) -> std::io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // The data start at a multiple of 8; JSON may end in spaces.
    header.resize(header.len().next_multiple_of(8), b' ');
    let name = path.file_name().ok_or_else(|| std::io::Error::other("a file name is required"))?;
    let mut other = std::ffi::OsString::from(".");
    other.push(name);
    other.push(format!(".{}-{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    let temporary = path.with_file_name(other);
    let write = || -> std::io::Result<()> {
        let mut file = File::create_new(&temporary)?;
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for t in tensors {
            file.write_all(bytes_of(t))?;
        }
        // On disk before it takes the old file's name: a power cut must not leave an empty file under it.
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}

/// The largest header that is read: 100 MB, as in the format's reference implementation.
const MAX_HEADER: u64 = 100_000_000;

/// The metadata of a file.
type Texts = Option<HashMap<String, String>>;

/// Reads a safetensors file: a dict of tensors, and the dict of its metadata (or None).
#[pyfunction]
#[pyo3(signature = (path, device=None))]
pub fn load_safetensors<'py>(
    py: Python<'py>,
    path: PathBuf,
    device: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyDict>, Texts)> {
    let device = crate::types::opt_device(device)?.unwrap_or(Device::Cpu);
    let (named, metadata) = py.detach(|| read_file(&path, device))?;
    let dict = PyDict::new(py);
    for (name, t) in named {
        dict.set_item(name, wrap(py, t)?)?;
    }
    Ok((dict, metadata))
}

type Loaded = (Vec<(String, Tensor)>, Texts);

fn read_file(path: &Path, device: Device) -> PyResult<Loaded> {
    let io = |e: std::io::Error| os_error(path, &e);
    let bad = |what: String| {
        PyValueError::new_err(format!("load: a valid safetensors file is required, got {}: {what}", path.display()))
    };
    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut first = [0u8; 8];
    if length < 8 {
        return Err(bad(format!("{length} bytes are too few")));
    }
    file.read_exact(&mut first).map_err(io)?;
    let n = u64::from_le_bytes(first);
    if n > MAX_HEADER || n > length - 8 {
        let pickled = first.starts_with(b"PK") || first[0] == 0x80;
        let hint = if pickled { " (it looks like a pickle, which is never read: pickles run code)" } else { "" };
        return Err(bad(format!("its header would have {n} bytes{hint}")));
    }
    let mut header = vec![0u8; n as usize];
    file.read_exact(&mut header).map_err(io)?;
    // Parsing checks that the tensors follow each other without gaps and that each has the bytes its shape asks for.
    let parsed: Metadata = serde_json::from_slice(&header).map_err(|e| bad(e.to_string()))?;
    let data = length - 8 - n;
    if parsed.data_len() as u64 != data {
        return Err(bad(format!("the header speaks of {} bytes of data, the file has {data}", parsed.data_len())));
    }
    let mut named = Vec::new();
    for name in parsed.offset_keys() {
        let Some(info) = parsed.info(&name) else { continue };
        let t = read_tensor(path, &mut file, &name, info)?;
        named.push((name, guard(|| ops::to_device(&t, device))?));
    }
    Ok((named, parsed.metadata().clone()))
}

/// Reads the next tensor of the file.
fn read_tensor(path: &Path, file: &mut File, name: &str, info: &TensorInfo) -> PyResult<Tensor> {
    let Some(dtype) = from_file_dtype(info.dtype) else {
        let known = DType::ALL.map(DType::name).join(", ");
        return Err(PyTypeError::new_err(format!(
            "load: {name}: a dtype among {known} is required, got {:?}",
            info.dtype
        )));
    };
    let size = info.data_offsets.1 - info.data_offsets.0;
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(size).is_err() {
        return Err(to_py(err!(Memory, "load: {name}: cannot get {size} bytes of memory")));
    }
    // The file may shrink while it is read.
    let got = file.take(size as u64).read_to_end(&mut bytes).map_err(|e| os_error(path, &e))?;
    if got != size {
        return Err(PyValueError::new_err(format!("load: {name}: {size} bytes are required, the file has {got}")));
    }
    guard(|| from_bytes(&bytes, &info.shape, dtype))
}
