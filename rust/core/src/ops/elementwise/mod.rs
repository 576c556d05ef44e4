//! Elementwise ops: one row each in [`unary`], [`binary`] and [`ternary`].
//!
//! A row says: the name; the parameters in brackets; the CPU expression over SIMD lanes (and over integers, where the
//! op keeps integers); the WGSL expression over `x`, `y`, `z` and the parameters `p0`, `p1`; the gradient as a formula
//! over `g`, the saved inputs and the output.  Kernels, dtype rules, broadcasting, threading, the GPU form, the Python
//! entry and the tests follow from the row.

mod binary;
mod cast;
mod int;
mod rows;
mod ternary;
mod unary;

pub use binary::*;
pub use cast::{CAST, cast};
pub(crate) use cast::{convert_into, converted, copy_cpu};
pub use ternary::*;
pub use unary::*;

use crate::op::OpDef;

/// How many numbers and tensors an elementwise op takes, for callers that go through its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arity {
    /// Tensor operands.
    pub tensors: usize,
    /// Names of the numbers that follow them.
    pub scalars: &'static [&'static str],
}

/// Every row: what the bindings, the documentation and the tests are generated from.
pub fn all() -> impl Iterator<Item = (&'static OpDef, Arity)> {
    let families = [(1, unary::ROWS), (2, binary::ROWS), (3, ternary::ROWS)];
    families.into_iter().flat_map(|(tensors, rows)| {
        rows.iter().flat_map(|r| r.iter()).map(move |&(def, scalars)| (def, Arity { tensors, scalars }))
    })
}
