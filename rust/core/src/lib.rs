//! Tensors, the op list, autograd and the devices of pyneuro.
//!
//! Start reading at [`op`]: an op is one record, and everything a user computes goes through [`op::call`].
#![forbid(unsafe_code)]

pub mod autograd;
pub mod dtype;
pub mod error;
pub mod gpu;
pub mod layout;
pub mod op;
pub mod ops;
pub mod storage;
pub mod tensor;

pub use dtype::DType;
pub use error::{Error, Result};
pub use op::{Attrs, OpDef};
pub use storage::Device;
pub use tensor::Tensor;
