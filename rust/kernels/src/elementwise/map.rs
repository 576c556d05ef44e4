//! Closures over any number types, applied to strided tensors: integers, `bool`, casts, copies.

use super::geometry::TRANSPOSED;
use super::{GRAIN, Geometry, Tile};
use crate::simd::vectorized_fn;
use std::mem::MaybeUninit;

/// A closure's value, whatever it is: lets the trampolines name its type.
pub trait Map1<A, O>: Fn(A) -> O + Copy + Send + Sync {}
impl<A, O, F: Fn(A) -> O + Copy + Send + Sync> Map1<A, O> for F {}
/// As [`Map1`], of two arguments.
pub trait Map2<A, B, O>: Fn(A, B) -> O + Copy + Send + Sync {}
impl<A, B, O, F: Fn(A, B) -> O + Copy + Send + Sync> Map2<A, B, O> for F {}
/// As [`Map1`], of three arguments.
pub trait Map3<A, B, C, O>: Fn(A, B, C) -> O + Copy + Send + Sync {}
impl<A, B, C, O, F: Fn(A, B, C) -> O + Copy + Send + Sync> Map3<A, B, C, O> for F {}

/// A transposed operand's tile, brought into rows.
struct Turned<A>([MaybeUninit<A>; TRANSPOSED * TRANSPOSED]);

impl<A: Copy> Turned<A> {
    #[inline(always)]
    fn new() -> Self {
        Turned([const { MaybeUninit::uninit() }; TRANSPOSED * TRANSPOSED])
    }

    /// Where the operand's rows start, and its row and column strides: in memory, or in this buffer if the tile is small
    /// and lies across its rows. Reading it along the columns, each cache line is then touched once.
    ///
    /// # Safety
    /// `a` points at the tile's first element, and all of the tile is readable.
    #[inline(always)]
    unsafe fn rows(
        &mut self,
        a: *const A,
        rows: usize,
        cols: usize,
        row: isize,
        col: isize,
    ) -> (*const A, isize, isize) {
        let is_across = row != 0 && row.unsigned_abs() < col.unsigned_abs();
        if !is_across || rows > TRANSPOSED || cols > TRANSPOSED {
            return (a, row, col);
        }
        for c in 0..cols {
            // SAFETY: column c of the tile.
            let column = unsafe { a.offset(c as isize * col) };
            if row == 1 && rows == TRANSPOSED {
                // A constant count, for the compiler to unroll.
                // SAFETY: TRANSPOSED elements lie side by side.
                let column: [A; TRANSPOSED] = unsafe { column.cast::<[A; TRANSPOSED]>().read_unaligned() };
                for (r, x) in column.into_iter().enumerate() {
                    self.0[r * cols + c].write(x);
                }
            } else {
                for r in 0..rows {
                    // SAFETY: element (r, c) of the tile.
                    self.0[r * cols + c].write(unsafe { *column.offset(r as isize * row) });
                }
            }
        }
        (self.0.as_ptr().cast(), cols as isize, 1)
    }
}

vectorized_fn! {
    /// # Safety
    /// Every element of the tile is valid: readable in `a`, writable in `out`.
    unsafe fn tile1<A: Copy, O: Copy, F: Map1<A, O>>(f: F, tile: Tile<2>, a: *const A, out: *mut O) {
        let so = tile.col_strides[0];
        let mut a_turned = Turned::new();
        // SAFETY: the tile's first elements; all of the tile is readable.
        let (a, a_row, sa) = unsafe {
            a_turned.rows(a.offset(tile.offsets[1]), tile.rows, tile.cols, tile.row_strides[1], tile.col_strides[1])
        };
        for r in 0..tile.rows as isize {
            // SAFETY: the first elements of row r, then `cols` elements by the column strides.
            unsafe {
                let out = out.offset(tile.offsets[0] + r * tile.row_strides[0]);
                let a = a.offset(r * a_row);
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
        let so = tile.col_strides[0];
        let (mut a_turned, mut b_turned) = (Turned::new(), Turned::new());
        // SAFETY: the tile's first elements; all of the tile is readable.
        let ((a, a_row, sa), (b, b_row, sb)) = unsafe {(
            a_turned.rows(a.offset(tile.offsets[1]), tile.rows, tile.cols, tile.row_strides[1], tile.col_strides[1]),
            b_turned.rows(b.offset(tile.offsets[2]), tile.rows, tile.cols, tile.row_strides[2], tile.col_strides[2]),
        )};
        for r in 0..tile.rows as isize {
            // SAFETY: the first elements of row r, then `cols` elements by the column strides.
            unsafe {
                let out = out.offset(tile.offsets[0] + r * tile.row_strides[0]);
                let a = a.offset(r * a_row);
                let b = b.offset(r * b_row);
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
        let so = tile.col_strides[0];
        let (mut a_turned, mut b_turned, mut c_turned) = (Turned::new(), Turned::new(), Turned::new());
        // SAFETY: the tile's first elements; all of the tile is readable.
        let ((a, a_row, sa), (b, b_row, sb), (c, c_row, sc)) = unsafe {(
            a_turned.rows(a.offset(tile.offsets[1]), tile.rows, tile.cols, tile.row_strides[1], tile.col_strides[1]),
            b_turned.rows(b.offset(tile.offsets[2]), tile.rows, tile.cols, tile.row_strides[2], tile.col_strides[2]),
            c_turned.rows(c.offset(tile.offsets[3]), tile.rows, tile.cols, tile.row_strides[3], tile.col_strides[3]),
        )};
        for r in 0..tile.rows as isize {
            // SAFETY: the first elements of row r, then `cols` elements by the column strides.
            unsafe {
                let out = out.offset(tile.offsets[0] + r * tile.row_strides[0]);
                let a = a.offset(r * a_row);
                let b = b.offset(r * b_row);
                let c = c.offset(r * c_row);
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
