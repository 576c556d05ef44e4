//! The elementwise loops on checked views: what callers without `unsafe` use.
//!
//! Every view must have the shape of the output; a broadcast operand has stride 0.  An input may share the output's
//! memory only with the very same strides.

use super::{BinaryFn, CompareFn, FloatElement, Geometry, PredicateFn, TernaryFn, UnaryFn};
use crate::array::{Element, View, ViewMut};

fn same_shape(op: &str, out: &[usize], input: &[usize]) {
    assert_eq!(out, input, "{op}: views must have the output's shape");
}

/// `out = f(x)`.
#[inline]
pub fn unary<S: FloatElement + Element, F: UnaryFn>(f: F, x: View<'_, S>, out: ViewMut<'_, S>) {
    same_shape("unary", out.shape(), x.shape());
    let geometry = Geometry::new(out.shape(), [out.strides(), x.strides()]);
    // SAFETY: both views were checked against their buffers and have the geometry's shape.
    unsafe { super::unary(f, &geometry, x.ptr(), out.ptr()) }
}

/// `out = f(x, y)`.
#[inline]
pub fn binary<S: FloatElement + Element, F: BinaryFn>(f: F, x: View<'_, S>, y: View<'_, S>, out: ViewMut<'_, S>) {
    same_shape("binary", out.shape(), x.shape());
    same_shape("binary", out.shape(), y.shape());
    let geometry = Geometry::new(out.shape(), [out.strides(), x.strides(), y.strides()]);
    // SAFETY: the views were checked against their buffers and have the geometry's shape.
    unsafe { super::binary(f, &geometry, x.ptr(), y.ptr(), out.ptr()) }
}

/// `out = f(x, y, z)`.
#[inline]
pub fn ternary<S: FloatElement + Element, F: TernaryFn>(
    f: F,
    x: View<'_, S>,
    y: View<'_, S>,
    z: View<'_, S>,
    out: ViewMut<'_, S>,
) {
    for v in [x, y, z] {
        same_shape("ternary", out.shape(), v.shape());
    }
    let geometry = Geometry::new(out.shape(), [out.strides(), x.strides(), y.strides(), z.strides()]);
    // SAFETY: the views were checked against their buffers and have the geometry's shape.
    unsafe { super::ternary(f, &geometry, x.ptr(), y.ptr(), z.ptr(), out.ptr()) }
}

/// `out = f(x, y)`, a question.
#[inline]
pub fn compare<S: FloatElement + Element, F: CompareFn>(f: F, x: View<'_, S>, y: View<'_, S>, out: ViewMut<'_, bool>) {
    same_shape("compare", out.shape(), x.shape());
    same_shape("compare", out.shape(), y.shape());
    let geometry = Geometry::new(out.shape(), [out.strides(), x.strides(), y.strides()]);
    // SAFETY: the views were checked against their buffers and have the geometry's shape.
    unsafe { super::compare(f, &geometry, x.ptr(), y.ptr(), out.ptr()) }
}

/// `out = f(x)`, a question.
#[inline]
pub fn predicate<S: FloatElement + Element, F: PredicateFn>(f: F, x: View<'_, S>, out: ViewMut<'_, bool>) {
    same_shape("predicate", out.shape(), x.shape());
    let geometry = Geometry::new(out.shape(), [out.strides(), x.strides()]);
    // SAFETY: the views were checked against their buffers and have the geometry's shape.
    unsafe { super::predicate(f, &geometry, x.ptr(), out.ptr()) }
}

/// `out = f(x)` on any element types.
#[inline]
pub fn map1<A: Element, O: Element, F: Fn(A) -> O + Copy + Send + Sync>(f: F, x: View<'_, A>, out: ViewMut<'_, O>) {
    same_shape("map1", out.shape(), x.shape());
    let geometry = Geometry::new(out.shape(), [out.strides(), x.strides()]);
    // SAFETY: both views were checked against their buffers and have the geometry's shape.
    unsafe { super::map1(f, &geometry, x.ptr(), out.ptr()) }
}

/// `out = f(x, y)` on any element types.
#[inline]
pub fn map2<A: Element, B: Element, O: Element, F: Fn(A, B) -> O + Copy + Send + Sync>(
    f: F,
    x: View<'_, A>,
    y: View<'_, B>,
    out: ViewMut<'_, O>,
) {
    same_shape("map2", out.shape(), x.shape());
    same_shape("map2", out.shape(), y.shape());
    let geometry = Geometry::new(out.shape(), [out.strides(), x.strides(), y.strides()]);
    // SAFETY: the views were checked against their buffers and have the geometry's shape.
    unsafe { super::map2(f, &geometry, x.ptr(), y.ptr(), out.ptr()) }
}

/// `out = f(x, y, z)` on any element types.
#[inline]
pub fn map3<A: Element, B: Element, C: Element, O: Element, F: Fn(A, B, C) -> O + Copy + Send + Sync>(
    f: F,
    x: View<'_, A>,
    y: View<'_, B>,
    z: View<'_, C>,
    out: ViewMut<'_, O>,
) {
    same_shape("map3", out.shape(), x.shape());
    same_shape("map3", out.shape(), y.shape());
    same_shape("map3", out.shape(), z.shape());
    let geometry = Geometry::new(out.shape(), [out.strides(), x.strides(), y.strides(), z.strides()]);
    // SAFETY: the views were checked against their buffers and have the geometry's shape.
    unsafe { super::map3(f, &geometry, x.ptr(), y.ptr(), z.ptr(), out.ptr()) }
}
