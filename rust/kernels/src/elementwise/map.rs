//! Closures over any number types, applied to strided tensors: integers, `bool`, casts, copies.

use super::{GRAIN, Geometry, Tile};
use crate::simd::vectorized_fn;

/// A closure's value, whatever it is: lets the trampolines name its type.
pub trait Map1<A, O>: Fn(A) -> O + Copy + Send + Sync {}
impl<A, O, F: Fn(A) -> O + Copy + Send + Sync> Map1<A, O> for F {}
/// As [`Map1`], of two arguments.
pub trait Map2<A, B, O>: Fn(A, B) -> O + Copy + Send + Sync {}
impl<A, B, O, F: Fn(A, B) -> O + Copy + Send + Sync> Map2<A, B, O> for F {}
/// As [`Map1`], of three arguments.
pub trait Map3<A, B, C, O>: Fn(A, B, C) -> O + Copy + Send + Sync {}
impl<A, B, C, O, F: Fn(A, B, C) -> O + Copy + Send + Sync> Map3<A, B, C, O> for F {}

vectorized_fn! {
    /// # Safety
    /// Every element of the tile is valid: readable in `a`, writable in `out`.
    unsafe fn tile1<A: Copy, O: Copy, F: Map1<A, O>>(f: F, tile: Tile<2>, a: *const A, out: *mut O) {
        let [so, sa] = tile.col_strides;
        for r in 0..tile.rows as isize {
            // SAFETY: the first elements of row r, then `cols` elements by the column strides.
            unsafe {
                let out = out.offset(tile.offsets[0] + r * tile.row_strides[0]);
                let a = a.offset(tile.offsets[1] + r * tile.row_strides[1]);
                match (so, sa) {
                    (1, 1) => for i in 0..tile.cols {
                        *out.add(i) = f(*a.add(i));
                    },
                    (1, 0) => {
                        let value = f(*a);
                        for i in 0..tile.cols {
                            *out.add(i) = value;
                        }
                    }
                    _ => for i in 0..tile.cols as isize {
                        *out.offset(i * so) = f(*a.offset(i * sa));
                    },
                }
            }
        }
    }
}

vectorized_fn! {
    /// # Safety
    /// Every element of the tile is valid: readable in `a` and `b`, writable in `out`.
    unsafe fn tile2<A: Copy, B: Copy, O: Copy, F: Map2<A, B, O>>(
        f: F, tile: Tile<3>, a: *const A, b: *const B, out: *mut O
    ) {
        let [so, sa, sb] = tile.col_strides;
        for r in 0..tile.rows as isize {
            // SAFETY: the first elements of row r, then `cols` elements by the column strides.
            unsafe {
                let out = out.offset(tile.offsets[0] + r * tile.row_strides[0]);
                let a = a.offset(tile.offsets[1] + r * tile.row_strides[1]);
                let b = b.offset(tile.offsets[2] + r * tile.row_strides[2]);
                match (so, sa, sb) {
                    (1, 1, 1) => for i in 0..tile.cols {
                        *out.add(i) = f(*a.add(i), *b.add(i));
                    },
                    (1, 1, 0) => {
                        let b = *b;
                        for i in 0..tile.cols {
                            *out.add(i) = f(*a.add(i), b);
                        }
                    }
                    (1, 0, 1) => {
                        let a = *a;
                        for i in 0..tile.cols {
                            *out.add(i) = f(a, *b.add(i));
                        }
                    }
                    _ => for i in 0..tile.cols as isize {
                        *out.offset(i * so) = f(*a.offset(i * sa), *b.offset(i * sb));
                    },
                }
            }
        }
    }
}

vectorized_fn! {
    /// # Safety
    /// Every element of the tile is valid: readable in `a`, `b` and `c`, writable in `out`.
    unsafe fn tile3<A: Copy, B: Copy, C: Copy, O: Copy, F: Map3<A, B, C, O>>(
        f: F, tile: Tile<4>, a: *const A, b: *const B, c: *const C, out: *mut O
    ) {
        let [so, sa, sb, sc] = tile.col_strides;
        for r in 0..tile.rows as isize {
            // SAFETY: the first elements of row r, then `cols` elements by the column strides.
            unsafe {
                let out = out.offset(tile.offsets[0] + r * tile.row_strides[0]);
                let a = a.offset(tile.offsets[1] + r * tile.row_strides[1]);
                let b = b.offset(tile.offsets[2] + r * tile.row_strides[2]);
                let c = c.offset(tile.offsets[3] + r * tile.row_strides[3]);
                if (so, sa, sb, sc) == (1, 1, 1, 1) {
                    for i in 0..tile.cols {
                        *out.add(i) = f(*a.add(i), *b.add(i), *c.add(i));
                    }
                } else {
                    for i in 0..tile.cols as isize {
                        *out.offset(i * so) = f(*a.offset(i * sa), *b.offset(i * sb), *c.offset(i * sc));
                    }
                }
            }
        }
    }
}

/// Raw pointers that may be sent to the pool's threads: tiles of one call never overlap in the output.
#[derive(Clone, Copy)]
struct Pointers<P>(P);
// SAFETY: the callers of the maps promise that the memory is valid for the whole call, which outlives every task, and
// the element types are `Send + Sync`.
unsafe impl<P> Sync for Pointers<P> {}

/// `out = f(a)`, elementwise, for any types: also casts and copies. `out` may be `a` itself if the types are equal.
///
/// # Safety
/// For operands `[out, a]` of the geometry, every visited element is valid to write and to read; `out` does not
/// otherwise overlap `a`.
pub unsafe fn map1<A, O, F>(f: F, geometry: &Geometry<2>, a: *const A, out: *mut O)
where
    A: Copy + Send + Sync,
    O: Copy + Send + Sync,
    F: Fn(A) -> O + Copy + Send + Sync,
{
    let pointers = Pointers((a, out));
    geometry.for_each_tile(GRAIN, |tile| {
        let (a, out) = { &pointers }.0;
        // SAFETY: tiles lie inside the geometry.
        unsafe { tile1(f, tile, a, out) };
    });
}

/// `out = f(a, b)`, elementwise, for any types. `out` may be an input itself if the types are equal.
///
/// # Safety
/// For operands `[out, a, b]` of the geometry, every visited element is valid to write and to read; `out` does not
/// otherwise overlap an input.
pub unsafe fn map2<A, B, O, F>(f: F, geometry: &Geometry<3>, a: *const A, b: *const B, out: *mut O)
where
    A: Copy + Send + Sync,
    B: Copy + Send + Sync,
    O: Copy + Send + Sync,
    F: Fn(A, B) -> O + Copy + Send + Sync,
{
    let pointers = Pointers((a, b, out));
    geometry.for_each_tile(GRAIN, |tile| {
        let (a, b, out) = { &pointers }.0;
        // SAFETY: tiles lie inside the geometry.
        unsafe { tile2(f, tile, a, b, out) };
    });
}

/// `out = f(a, b, c)`, elementwise, for any types. `out` may be an input itself if the types are equal.
///
/// # Safety
/// For operands `[out, a, b, c]` of the geometry, every visited element is valid to write and to read; `out` does not
/// otherwise overlap an input.
pub unsafe fn map3<A, B, C, O, F>(f: F, geometry: &Geometry<4>, a: *const A, b: *const B, c: *const C, out: *mut O)
where
    A: Copy + Send + Sync,
    B: Copy + Send + Sync,
    C: Copy + Send + Sync,
    O: Copy + Send + Sync,
    F: Fn(A, B, C) -> O + Copy + Send + Sync,
{
    let pointers = Pointers((a, b, c, out));
    geometry.for_each_tile(GRAIN, |tile| {
        let (a, b, c, out) = { &pointers }.0;
        // SAFETY: tiles lie inside the geometry.
        unsafe { tile3(f, tile, a, b, c, out) };
    });
}
