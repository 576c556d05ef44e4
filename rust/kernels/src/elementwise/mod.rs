//! Strided, broadcasting, threaded elementwise loops.
//!
//! An elementwise operation is a functor: a small `Copy` value with one method, written over [`Vector`] lanes. The loops
//! here apply it to tensors of any strides in `f32`, `f64`, `f16` and `bf16` (the latter two computed in `f32`).
//!
//! ```
//! use pyneuro_kernels::elementwise::{BinaryFn, Geometry, binary};
//! use pyneuro_kernels::simd::Vector;
//!
//! #[derive(Clone, Copy)]
//! struct Hypot;
//! impl BinaryFn for Hypot {
//!     #[inline(always)]
//!     fn apply<V: Vector>(self, x: V, y: V) -> V {
//!         x.mul_add(x, y * y).sqrt()
//!     }
//! }
//!
//! let (x, y, mut out) = ([3.0f32, 5.0], [4.0f32, 12.0], [0.0f32; 2]);
//! let geometry = Geometry::contiguous(2);
//! // SAFETY: the three arrays hold the two elements that the geometry visits.
//! unsafe { binary(Hypot, &geometry, x.as_ptr(), y.as_ptr(), out.as_mut_ptr()) };
//! assert_eq!(out, [5.0, 13.0]);
//! ```
//!
//! Functors on other number types (integers, `bool`), casts and copies are closures given to [`map1`], [`map2`] and
//! [`map3`]; those loops are compiled for every instruction set too and left to the compiler to vectorise.

pub mod checked;
mod element;
mod float;
mod geometry;
mod map;

#[cfg(test)]
mod tests;

pub use element::FloatElement;
pub use float::{binary, compare, predicate, ternary, unary};
pub(crate) use geometry::Tile;
pub use geometry::{Geometry, MAX_DIMS};
pub use map::{map1, map2, map3};

use crate::simd::Vector;

/// Elements per task for the cheapest functors: some microseconds of work, well above the cost of a hand-over.
const GRAIN: usize = 32 * 1024;

/// Elements per task for a functor of the given cost.
const fn grain(cost: usize) -> usize {
    let grain = GRAIN / cost;
    if grain < 1024 { 1024 } else { grain }
}

/// A function of one number. `apply` must be `#[inline(always)]`.
pub trait UnaryFn: Copy + Send + Sync {
    /// Work per element, in units of an addition: larger values are spread over threads sooner.
    const COST: usize = 1;
    /// The function, on every lane of `x`.
    fn apply<V: Vector>(self, x: V) -> V;
}

/// A function of two numbers. `apply` must be `#[inline(always)]`.
pub trait BinaryFn: Copy + Send + Sync {
    /// Work per element, in units of an addition.
    const COST: usize = 1;
    /// The function, on every lane.
    fn apply<V: Vector>(self, x: V, y: V) -> V;
}

/// A function of three numbers. `apply` must be `#[inline(always)]`.
pub trait TernaryFn: Copy + Send + Sync {
    /// Work per element, in units of an addition.
    const COST: usize = 1;
    /// The function, on every lane.
    fn apply<V: Vector>(self, x: V, y: V, z: V) -> V;
}

/// A question about two numbers, answered by `bool`. `apply` must be `#[inline(always)]`.
pub trait CompareFn: Copy + Send + Sync {
    /// The answer in every lane.
    fn apply<V: Vector>(self, x: V, y: V) -> V::Mask;
}

/// A question about one number, answered by `bool`. `apply` must be `#[inline(always)]`.
pub trait PredicateFn: Copy + Send + Sync {
    /// The answer in every lane.
    fn apply<V: Vector>(self, x: V) -> V::Mask;
}
