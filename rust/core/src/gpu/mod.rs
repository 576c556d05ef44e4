//! The GPU: buffers, the recorded stream, and the shaders.

use crate::dtype::DType;
use crate::error::Result;
use crate::op::Attrs;
use crate::tensor::Tensor;
use crate::bail;

/// Memory on a GPU.
pub struct GpuBuffer {
    device: u8,
}

impl GpuBuffer {
    /// Index of its adapter.
    pub fn device(&self) -> u8 {
        self.device
    }
}

/// New memory with unspecified contents.
pub fn empty(_shape: &[usize], _dtype: DType, _index: u8) -> Result<Tensor> {
    bail!(Runtime, "gpu: no GPU runtime is attached")
}

/// A copy in host memory.
pub fn download(_t: &Tensor) -> Result<Tensor> {
    bail!(Runtime, "gpu: no GPU runtime is attached")
}

/// A copy in the memory of a GPU.
pub fn upload(_t: &Tensor, _index: u8) -> Result<Tensor> {
    bail!(Runtime, "gpu: no GPU runtime is attached")
}

/// A strided copy between tensors of one shape and dtype.
pub fn copy_into(_source: &Tensor, _target: &Tensor) -> Result<()> {
    bail!(Runtime, "gpu: no GPU runtime is attached")
}

/// Writes one number everywhere.
pub fn fill(_t: &Tensor, _value: f64) -> Result<()> {
    bail!(Runtime, "gpu: no GPU runtime is attached")
}

/// The kernel of `arange`.
pub fn arange(_attrs: &Attrs, _x: &[&Tensor], _out: &[Tensor]) -> Result<()> {
    bail!(Runtime, "gpu: no GPU runtime is attached")
}

/// The kernel of every elementwise op.
pub fn elementwise(_name: &str, _float: &str, _int: &str, _attrs: &Attrs, _x: &[&Tensor], _out: &Tensor) -> Result<()> {
    bail!(Runtime, "gpu: no GPU runtime is attached")
}
