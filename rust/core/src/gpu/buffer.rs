//! A block of device memory.

use super::executor::{BufferId, BufferView};
use super::stream::{Stream, stream};
use crate::error::Result;
use std::fmt;

/// Device memory that goes back to its device's pool when dropped.
pub struct GpuBuffer {
    device: u8,
    stream: &'static Stream,
    id: BufferId,
    /// Its size class: what the device was really asked for.
    capacity: usize,
    bytes: usize,
}

impl GpuBuffer {
    /// Memory with unspecified contents on adapter `device`; `bytes` is rounded up to whole words.
    pub fn new(device: u8, bytes: usize) -> Result<Self> {
        let stream = stream(device)?;
        let bytes = bytes.max(4).next_multiple_of(4);
        let (id, capacity) = stream.alloc(bytes)?;
        Ok(Self { device, stream, id, capacity, bytes })
    }

    /// Index of its adapter.
    #[inline]
    pub fn device(&self) -> u8 {
        self.device
    }

    /// The stream of its adapter.
    #[inline]
    pub fn stream(&self) -> &'static Stream {
        self.stream
    }

    /// Its name on its device.
    #[inline]
    pub fn id(&self) -> BufferId {
        self.id
    }

    /// Usable length.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of it, for binding.
    #[inline]
    pub fn whole(&self) -> BufferView {
        BufferView { buffer: self.id, offset: 0, size: self.capacity }
    }

    /// Writes `data` (a multiple of 4 bytes) to its start.
    pub fn upload(&self, data: &[u8]) -> Result<()> {
        debug_assert!(data.len() <= self.bytes && data.len().is_multiple_of(4));
        self.stream.upload(self.id, data)
    }

    /// Reads from `offset` (a multiple of 4), after running what is recorded.
    pub fn download(&self, offset: usize, out: &mut [u8]) -> Result<()> {
        debug_assert!(offset + out.len() <= self.bytes && out.len().is_multiple_of(4) && offset.is_multiple_of(4));
        self.stream.download(self.id, offset, out)
    }
}

impl Drop for GpuBuffer {
    fn drop(&mut self) {
        self.stream.release(self.id, self.capacity);
    }
}

impl fmt::Debug for GpuBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GpuBuffer({} of gpu:{}, {} bytes)", self.id, self.device, self.bytes)
    }
}
