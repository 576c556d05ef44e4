//! The GPU: a recorded stream per device, its memory, and the kernels of every op that has a GPU form.
//!
//! An op's `gpu` function computes a [`KernelCall`] (shader variant, buffers, parameters, grid) and records it.
//! Nothing runs until a host read, a full batch or [`flush`]; then the whole batch goes to the [`Executor`].

mod buffer;
pub mod conv;
pub mod creation;
mod elementwise;
mod executor;
pub mod index;
mod launch;
pub mod matmul;
pub mod optim;
mod pool;
pub mod pooling;
mod random;
pub mod reduce;
mod shader;
pub mod softmax;
mod stream;
#[cfg(test)]
mod tests;
mod transfer;

pub use buffer::GpuBuffer;
pub use creation::arange;
pub use elementwise::{elementwise, fill};
pub use executor::{BufferId, BufferView, Call, Executor, Limits, MAX_BUFFERS, PARAM_WORDS, PipelineId};
pub use pool::MemoryStats;
pub use random::random;
pub use shader::{LIBRARY, ShaderKey};
pub use stream::{Factory, KernelCall, Stream, StreamStats, flush, set_executor_factory, stream};
pub use transfer::{copy_into, download, empty, upload};
