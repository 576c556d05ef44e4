//! Numeric CPU kernels on slices and strides. No tensors, no Python.

pub mod alloc;
pub mod pool;
