//! The memory behind tensors: where it is, and how often it was written in place.

use crate::error::{Error, Result};
use crate::gpu::GpuBuffer;
use pyneuro_kernels::array::Buffer;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where a tensor lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// Host memory.
    Cpu,
    /// The adapter with this index.
    Gpu(u8),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(0) => f.write_str("gpu"),
            Self::Gpu(i) => write!(f, "gpu:{i}"),
        }
    }
}

/// Memory on one of the devices.
pub enum Memory {
    /// Host memory.
    Cpu(Buffer),
    /// A buffer of a GPU.
    Gpu(GpuBuffer),
}

/// A block of memory shared by a tensor and its views.
pub struct Storage {
    /// The memory itself.
    pub memory: Memory,
    version: AtomicU32,
}

impl Storage {
    /// Storage over `memory`, never written in place so far.
    #[inline]
    pub fn new(memory: Memory) -> Arc<Self> {
        Arc::new(Self { memory, version: AtomicU32::new(0) })
    }

    /// New host memory with unspecified contents.
    #[inline]
    pub fn cpu(bytes: usize) -> Result<Arc<Self>> {
        Ok(Self::new(Memory::Cpu(Buffer::new(bytes).ok_or_else(|| Error::memory(bytes))?)))
    }

    /// Its device.
    #[inline]
    pub fn device(&self) -> Device {
        match &self.memory {
            Memory::Cpu(_) => Device::Cpu,
            Memory::Gpu(b) => Device::Gpu(b.device()),
        }
    }

    /// How many in-place writes it has seen.
    #[inline]
    pub fn version(&self) -> u32 {
        self.version.load(Ordering::Relaxed)
    }

    /// Notes an in-place write, so that a tensor saved before it is known to be stale.
    pub fn bump(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
    }
}
