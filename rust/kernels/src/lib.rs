//! Numeric CPU kernels of pyneuro: pure functions on pointers, shapes and strides.
//!
//! This crate knows no tensor and no Python. Everything vectorised is written once over [`simd::Vector`] and compiled
//! for every instruction set the build knows; [`isa::isa`] chooses one at run time. Shapes, dtypes and index values
//! have been checked by the caller: the kernels' safety contracts say which.

pub mod alloc;
pub mod array;
pub mod conv;
pub mod elementwise;
pub mod gemm;
pub mod index;
pub mod isa;
pub mod loss;
pub mod math;
pub mod norm;
pub mod optim;
pub mod philox;
pub mod pool;
pub mod pooling;
pub mod reduce;
mod rows;
pub mod scan;
pub mod simd;
pub mod softmax;
pub mod sort;
