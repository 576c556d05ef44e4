//! Reductions over any set of dimensions of a strided tensor, into a contiguous result.
//!
//! Sums are added in blocks and the blocks in a binary tree (pairwise), so that the error grows with the logarithm of
//! the length, and in an order that depends on the shape alone: the result does not change with the number of threads.
//! `f16` and `bf16` accumulate in `f32`, integers in `i64`.

mod arg;
mod driver;
mod float;
mod integer;
mod layout;

#[cfg(test)]
mod tests;

pub use arg::{Ordered, argmax, argmin};
pub(crate) use float::{Sum, SumSquares, fold_into};
pub use float::{logsumexp, max, mean, min, prod, sum, sum_squares, var};
pub use integer::{Integer, all, any, count, max_ordered, min_ordered, prod_integer, sum_integer};
pub(crate) use layout::Reduction;
