//! Pooling on checked views: what callers without `unsafe` use. Views must be contiguous and of the sizes that the
//! [`Pool2d`] describes.

use super::{Divisor, Pool2d};
use crate::array::{Element, View, ViewMut};
use crate::simd::Float;

fn input<'a, T: Element>(op: &str, view: View<'a, T>, elements: usize) -> &'a [T] {
    let slice = view.as_slice().unwrap_or_else(|| panic!("{op}: inputs must be contiguous"));
    assert_eq!(slice.len(), elements, "{op}: an input has the wrong size");
    slice
}

fn output<'a, T: Element>(op: &str, view: ViewMut<'a, T>, elements: usize) -> &'a mut [T] {
    let slice = view.into_slice().unwrap_or_else(|| panic!("{op}: results must be contiguous"));
    assert_eq!(slice.len(), elements, "{op}: a result has the wrong size");
    slice
}

/// As [`super::max_pool2d`].
pub fn max_pool2d<T: Float + Element>(pool: &Pool2d, x: View<'_, T>, y: ViewMut<'_, T>, indices: ViewMut<'_, i64>) {
    let (from, to) = pool.sizes();
    let x = input("max_pool2d", x, pool.planes * from);
    let y = output("max_pool2d", y, pool.planes * to);
    let indices = output("max_pool2d", indices, pool.planes * to);
    // SAFETY: the slices have the sizes that `pool` describes, and the exclusive ones overlap nothing.
    unsafe { super::max_pool2d(pool, x.as_ptr(), y.as_mut_ptr(), indices.as_mut_ptr()) }
}

/// As [`super::max_pool2d_backward`].
pub fn max_pool2d_backward<T: Float + Element>(
    pool: &Pool2d,
    dy: View<'_, T>,
    indices: View<'_, i64>,
    dx: ViewMut<'_, T>,
) {
    let (from, to) = pool.sizes();
    let dy = input("max_pool2d_backward", dy, pool.planes * to);
    let indices = input("max_pool2d_backward", indices, pool.planes * to);
    let dx = output("max_pool2d_backward", dx, pool.planes * from);
    // SAFETY: the slices have the sizes that `pool` describes, the exclusive one overlaps nothing, and the kernel
    // checks the indices.
    unsafe { super::max_pool2d_backward(pool, dy.as_ptr(), indices.as_ptr(), dx.as_mut_ptr()) }
}

/// As [`super::avg_pool2d`].
pub fn avg_pool2d<T: Float + Element>(pool: &Pool2d, divisor: Divisor, x: View<'_, T>, y: ViewMut<'_, T>) {
    let (from, to) = pool.sizes();
    let x = input("avg_pool2d", x, pool.planes * from);
    let y = output("avg_pool2d", y, pool.planes * to);
    // SAFETY: the slices have the sizes that `pool` describes, and the exclusive one overlaps nothing.
    unsafe { super::avg_pool2d(pool, divisor, x.as_ptr(), y.as_mut_ptr()) }
}

/// As [`super::avg_pool2d_backward`].
pub fn avg_pool2d_backward<T: Float + Element>(pool: &Pool2d, divisor: Divisor, dy: View<'_, T>, dx: ViewMut<'_, T>) {
    let (from, to) = pool.sizes();
    let dy = input("avg_pool2d_backward", dy, pool.planes * to);
    let dx = output("avg_pool2d_backward", dx, pool.planes * from);
    // SAFETY: the slices have the sizes that `pool` describes, and the exclusive one overlaps nothing.
    unsafe { super::avg_pool2d_backward(pool, divisor, dy.as_ptr(), dx.as_mut_ptr()) }
}
