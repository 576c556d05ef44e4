//! What a GPU driver binding must offer: the seven verbs that the stream is executed with.
//!
//! The only implementation drives wgpu through Python (`pyneuro/gpu/_executor.py`); this crate knows neither.

use crate::error::Result;
use smallvec::SmallVec;

/// Names a buffer of one executor.
pub type BufferId = u64;
/// Names a compiled pipeline of one executor.
pub type PipelineId = u64;

/// Words of one dispatch's parameter slot: 256 bytes, the largest offset alignment that WebGPU lets a driver require.
pub const PARAM_WORDS: usize = 64;
/// Storage buffers that one kernel may bind: WebGPU's guaranteed eight, less one that some backends use themselves.
pub const MAX_BUFFERS: usize = 7;

/// What the adapter allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest range of a buffer that a kernel can see, in bytes.
    pub binding_size: usize,
    /// Largest buffer, in bytes.
    pub buffer_size: usize,
    /// Workgroups along one dimension of a grid.
    pub groups_per_dim: u32,
    /// Alignment of the start of a bound range, in bytes.
    pub offset_alignment: usize,
}

/// A range of a buffer that a kernel sees, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferView {
    /// Which buffer.
    pub buffer: BufferId,
    /// First byte; a multiple of [`Limits::offset_alignment`].
    pub offset: usize,
    /// Length; a multiple of 4.
    pub size: usize,
}

/// One dispatch, as the executor needs it.
#[derive(Clone, Debug)]
pub struct Call {
    /// What runs.
    pub pipeline: PipelineId,
    /// Outputs, then inputs.
    pub buffers: SmallVec<[BufferView; MAX_BUFFERS]>,
    /// Workgroups.
    pub grid: [u32; 3],
}

/// A device behind some graphics API.  Calls come one at a time, from any thread.
pub trait Executor: Send + Sync {
    /// The adapter's limits.
    fn limits(&self) -> Limits;
    /// A new zeroed buffer; `bytes` is a multiple of 4.
    fn alloc(&self, bytes: usize) -> Result<BufferId>;
    /// Lets go of a buffer that no recorded call names any more; submitted work may still use it.
    fn free(&self, buffer: BufferId) -> Result<()>;
    /// Writes `data` (a multiple of 4 bytes), ordered after everything submitted before.
    fn upload(&self, buffer: BufferId, offset: usize, data: &[u8]) -> Result<()>;
    /// Waits for everything submitted, then reads.
    fn download(&self, buffer: BufferId, offset: usize, out: &mut [u8]) -> Result<()>;
    /// Compiles entry point `main`; `access` has a letter per storage buffer: `r`, or `w` for read and write.
    fn pipeline(&self, key: &str, wgsl: &str, access: &str) -> Result<PipelineId>;
    /// Runs `calls` in order; `params` has [`PARAM_WORDS`] words for each.
    ///
    /// An error with a foreign exception (an interrupt) means that nothing was submitted and the same list may be
    /// submitted again; any other error means that the list cannot be run.
    fn submit(&self, calls: &[Call], params: &[u32]) -> Result<()>;
    /// Waits for everything submitted.
    fn synchronize(&self) -> Result<()>;
    /// Runs `f` without the locks of the host language that this thread may hold, so that it may block.
    fn detached(&self, f: &mut dyn FnMut());
}
