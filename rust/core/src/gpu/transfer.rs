//! Between host and device.

use super::buffer::GpuBuffer;
use super::elementwise::map;
use super::launch::{WORD, buffer, word_type};
use crate::dtype::{DType, Typed};
use crate::error::Result;
use crate::layout::Layout;
use crate::ops;
use crate::storage::{Memory, Storage};
use crate::tensor::Tensor;
use crate::{dispatch, err};

/// A new tensor with unspecified contents on adapter `index`.
pub fn empty(shape: &[usize], dtype: DType, index: u8) -> Result<Tensor> {
    word_type(dtype)?;
    let layout = Layout::contiguous(shape);
    let buffer = GpuBuffer::new(index, layout.numel() * WORD)?;
    Ok(Tensor::from_parts(Storage::new(Memory::Gpu(buffer)), layout, dtype))
}

/// A copy of a CPU tensor on adapter `index`.
///
/// int64 becomes 32-bit words there, so a value beyond int32 is refused.
pub fn upload(t: &Tensor, index: u8) -> Result<Tensor> {
    let out = empty(t.shape(), t.dtype(), index)?;
    let host = ops::contiguous(&t.detach())?;
    let bytes = match t.dtype() {
        DType::F32 | DType::I32 => {
            let start = host.layout().offset * WORD;
            return buffer(&out).upload(&host.buffer().as_bytes()[start..start + host.numel() * WORD]).map(|()| out);
        }
        DType::I64 => words::<i64>(&host)?,
        dtype => dispatch!(dtype, T in int_bool => words::<T>(&host)?, _ => unreachable!("word_type refused it")),
    };
    buffer(&out).upload(&bytes)?;
    Ok(out)
}

/// The elements as 32-bit words.
fn words<T: Typed>(host: &Tensor) -> Result<Vec<u8>> {
    let view = host.view::<T>();
    let elements = view.as_slice().ok_or_else(|| err!(Runtime, "to: a contiguous tensor is required"))?;
    let mut bytes = Vec::with_capacity(elements.len() * WORD);
    for &x in elements {
        let word = i32::try_from(x.to_i64())
            .map_err(|_| err!(Overflow, "to: {} values must fit in int32 on a GPU, got {}", T::DTYPE, x.to_i64()))?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    Ok(bytes)
}

/// Itself if row-major, else a row-major copy; no history.
pub fn dense(t: &Tensor) -> Result<Tensor> {
    if t.is_contiguous() {
        return Ok(t.clone());
    }
    let dense = empty(t.shape(), t.dtype(), buffer(t).device())?;
    copy_into(t, &dense)?;
    Ok(dense)
}

/// A copy in host memory, after running what the device has recorded.
pub fn download(t: &Tensor) -> Result<Tensor> {
    let t = dense(t)?;
    let mut bytes = vec![0u8; t.numel() * WORD];
    buffer(&t).download(t.layout().offset * WORD, &mut bytes)?;
    let host = Tensor::empty(t.shape(), t.dtype())?;
    match t.dtype() {
        DType::F32 | DType::I32 => host.buffer().write_bytes(0, &bytes),
        dtype => dispatch!(dtype, T in int_bool => {
            let view = host.view_mut::<T>();
            let elements = view.into_slice().ok_or_else(|| err!(Runtime, "to: a new tensor is contiguous"))?;
            for (x, word) in elements.iter_mut().zip(bytes.chunks_exact(WORD)) {
                *x = T::from_i64(i64::from(i32::from_ne_bytes([word[0], word[1], word[2], word[3]])));
            }
        }, _ => unreachable!("word_type refused it")),
    }
    Ok(host)
}

/// Writes the elements of `source` over those of `target`: same shape and dtype, on one device.
pub fn copy_into(source: &Tensor, target: &Tensor) -> Result<()> {
    map("copy", target, &[source.into()], "x")
}
