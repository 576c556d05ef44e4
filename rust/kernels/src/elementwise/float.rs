//! Functors over `Vector` lanes, applied to strided tensors.

use super::geometry::TRANSPOSED;
use super::{BinaryFn, CompareFn, FloatElement, Geometry, PredicateFn, TernaryFn, Tile, UnaryFn, grain};
use crate::simd::{Float, MAX_LANES, Mask, Vector, simd_fn, vectorized_fn};
use std::mem::MaybeUninit;

/// Elements that a strided or narrow operand is gathered into at a time: small enough for L1 with four operands.
const BLOCK: usize = 256;
/// Gathered rows shorter than this are computed several at a time,
const SHORT: usize = 64;
/// and rows in place that are shorter than this, if there are as many.
const TINY: usize = 16;

/// What the loop calls per register: a functor of up to three arguments, and where its result goes.
trait Lanes<T: Float>: Copy + Send + Sync {
    /// How many of the three arguments are used.
    const ARITY: usize;
    /// What a lane's result is: the number type, or `bool`.
    type Result: Copy;
    /// Computes `n <= LANES` results.
    ///
    /// # Safety
    /// `out` is valid for writing `n` results.
    unsafe fn emit<V: Vector<Elem = T>>(self, args: [V; 3], out: *mut Self::Result, n: usize);
    /// Computes `LANES` results.
    ///
    /// # Safety
    /// `out` is valid for writing `LANES` results.
    unsafe fn emit_full<V: Vector<Elem = T>>(self, args: [V; 3], out: *mut Self::Result);
}

/// Where results are stored: the type in memory of a `Lanes::Result`.
trait Sink<R: Copy>: Copy + Send + Sync {
    const IS_DIRECT: bool;
    fn store(result: R) -> Self;
}
impl Sink<bool> for bool {
    const IS_DIRECT: bool = true;
    #[inline(always)]
    fn store(result: bool) -> bool {
        result
    }
}
impl<T: Float, S: FloatElement<Compute = T>> Sink<T> for S {
    const IS_DIRECT: bool = <S as FloatElement>::IS_DIRECT;
    #[inline(always)]
    fn store(result: T) -> S {
        S::narrow(result)
    }
}

#[derive(Clone, Copy)]
struct Unary<F>(F);
#[derive(Clone, Copy)]
struct Binary<F>(F);
#[derive(Clone, Copy)]
struct Ternary<F>(F);
#[derive(Clone, Copy)]
struct Compare<F>(F);
#[derive(Clone, Copy)]
struct Predicate<F>(F);

macro_rules! lanes {
    ($adapter:ident, $functor:ident, $arity:literal, $result:ty, ($($i:literal),*)) => {
        impl<T: Float, F: $functor> Lanes<T> for $adapter<F> {
            const ARITY: usize = $arity;
            type Result = $result;
            #[inline(always)]
            unsafe fn emit<V: Vector<Elem = T>>(self, args: [V; 3], out: *mut $result, n: usize) {
                // SAFETY: the caller promises n writable results.
                unsafe { self.0.apply($(args[$i]),*).store_partial(out, n) }
            }
            #[inline(always)]
            unsafe fn emit_full<V: Vector<Elem = T>>(self, args: [V; 3], out: *mut $result) {
                // SAFETY: the caller promises LANES writable results.
                unsafe { self.0.apply($(args[$i]),*).store(out) }
            }
        }
    };
}
lanes!(Unary, UnaryFn, 1, T, (0));
lanes!(Binary, BinaryFn, 2, T, (0, 1));
lanes!(Ternary, TernaryFn, 3, T, (0, 1, 2));
lanes!(Compare, CompareFn, 2, bool, (0, 1));
lanes!(Predicate, PredicateFn, 1, bool, (0));

simd_fn! {
    /// Applies `f` to `n` elements. Argument `k` advances (`advance[k]` all ones), or is one register read again and
    /// again (`advance[k]` zero).
    ///
    /// # Safety
    /// `x[..ARITY]` are valid for reading `n` numbers, or `LANES` where they do not advance; `out` for writing `n`
    /// results.
    unsafe fn strip<T: Float, V, F: Lanes<T>>(
        f: F, n: usize, x: [*const T; 3], advance: [usize; 3], out: *mut F::Result
    ) {
        let mut args = [V::zero(); 3];
        let mut i = 0;
        while i + V::LANES <= n {
            for k in 0..F::ARITY {
                // SAFETY: i + LANES <= n numbers are readable, or the LANES of a register that is read again.
                args[k] = unsafe { V::load(x[k].add(i & advance[k])) };
            }
            // SAFETY: i + LANES <= n results are writable.
            unsafe { f.emit_full(args, out.add(i)) };
            i += V::LANES;
        }
        if i < n {
            for k in 0..F::ARITY {
                // SAFETY: n - i numbers are left, fewer than LANES.
                args[k] = unsafe { V::load_partial(x[k].add(i & advance[k]), n - i) };
            }
            // SAFETY: n - i results are left.
            unsafe { f.emit(args, out.add(i), n - i) };
        }
    }
}

/// A functor's `strip`, so that the code around it is compiled once per element type, not once per functor.
type Strip<'a, T, R> = &'a (dyn Fn(usize, [*const T; 3], [usize; 3], *mut R) + Sync);

/// How a block's rows of one operand are read.
#[derive(Clone, Copy, PartialEq)]
enum Access {
    /// One number for the whole tile, held in a register.
    Constant,
    /// One number per row, held in a register.
    RowConstant,
    /// In place.
    Direct,
    /// Gathered once: every group of rows sees the same numbers.
    GatherOnce,
    /// Gathered block by block.
    Gather,
}

/// Applies a functor of `arity` arguments to a tile. Operands that the registers cannot read or write in place go
/// through small buffers, a block at a time; rows too short for a loop each are computed several in one go where they
/// lie side by side.
///
/// # Safety
/// Every element of the tile is valid: readable in `x[..arity]`, writable in `out`; `strip` computes any run of them.
unsafe fn run_tile<T: Float, S: FloatElement<Compute = T>, R: Copy, O: Sink<R>>(
    strip: Strip<T, R>,
    arity: usize,
    tile: Tile<4>,
    x: [*const S; 3],
    out: *mut O,
) {
    let width = tile.cols as isize;
    let needs_gather =
        (0..arity).any(|k| tile.col_strides[k + 1] != 0 && !(S::IS_DIRECT && tile.col_strides[k + 1] == 1));
    // A row in place costs some nanoseconds more than its numbers, a gathered one more than that.
    let is_short =
        if needs_gather { tile.cols < SHORT } else { tile.cols < TINY && tile.rows >= TINY } && tile.rows > 1;
    let [out_row, _, _, _] = tile.row_strides;
    let [out_col, _, _, _] = tile.col_strides;
    let out_is_direct = O::IS_DIRECT && out_col == 1;
    // Flat: a whole group of rows is one run, in place or gathered.
    let mut is_flat = is_short && out_is_direct && out_row == width;
    for k in 0..arity {
        let (row, col) = (tile.row_strides[k + 1], tile.col_strides[k + 1]);
        is_flat &= !S::IS_DIRECT || col != 1 || row == width || row == 0;
    }
    let mut access = [Access::Constant; 3];
    let mut all_in_place = out_is_direct;
    for (k, access) in access.iter_mut().enumerate().take(arity) {
        *access = match (tile.row_strides[k + 1], tile.col_strides[k + 1]) {
            (0, 0) => Access::Constant,
            (_, 0) if !is_short => Access::RowConstant,
            (0, _) if is_flat => Access::GatherOnce,
            (_, 1) if S::IS_DIRECT => Access::Direct,
            _ => Access::Gather,
        };
        all_in_place &= *access != Access::Gather;
    }
    let group = match (is_short, all_in_place) {
        (true, _) => (BLOCK / tile.cols).min(tile.rows),
        (false, true) => tile.rows,
        (false, false) => 1,
    };
    let block = if all_in_place || is_short { tile.cols } else { BLOCK };

    let mut registers = [[T::of_f64(0.0); MAX_LANES]; 3];
    let mut gathered = [const { [const { MaybeUninit::<T>::uninit() }; BLOCK] }; 3];
    let mut results = [const { MaybeUninit::<R>::uninit() }; BLOCK];
    let mut args = [std::ptr::null::<T>(); 3];
    let mut advance = [usize::MAX; 3];
    let mut steps = [0isize; 3];
    for k in 0..arity {
        let (row, col) = (tile.row_strides[k + 1], tile.col_strides[k + 1]);
        // SAFETY: the first element of the operand, and its first row, which is that of every row.
        unsafe {
            let source = x[k].offset(tile.offsets[k + 1]);
            match access[k] {
                Access::Constant => {
                    registers[k] = [(*source).widen(); MAX_LANES];
                    args[k] = registers[k].as_ptr();
                    advance[k] = 0;
                }
                Access::RowConstant => advance[k] = 0,
                Access::GatherOnce => {
                    gather(&mut gathered[k], source, group, tile.cols, row, col);
                    args[k] = gathered[k].as_ptr().cast();
                }
                Access::Direct => steps[k] = row,
                Access::Gather => steps[k] = width,
            }
        }
    }

    let mut first_row = 0;
    while first_row < tile.rows {
        let rows = (tile.rows - first_row).min(group);
        let mut first_col = 0;
        while first_col < tile.cols {
            let cols = (tile.cols - first_col).min(block);
            for k in 0..arity {
                let (row, col) = (tile.row_strides[k + 1], tile.col_strides[k + 1]);
                let offset = tile.offsets[k + 1] + first_row as isize * row + first_col as isize * col;
                // SAFETY: the first element of the block, and the rows and columns of the block from there.
                unsafe {
                    match access[k] {
                        Access::Constant | Access::GatherOnce | Access::RowConstant => {}
                        Access::Direct => args[k] = x[k].offset(offset).cast(),
                        Access::Gather => {
                            gather(&mut gathered[k], x[k].offset(offset), rows, cols, row, col);
                            args[k] = gathered[k].as_ptr().cast();
                        }
                    }
                }
            }
            let (runs, len) = if is_flat { (1, rows * cols) } else { (rows, cols) };
            for r in 0..runs as isize {
                let mut row_args = args;
                // SAFETY: row r of the block: `len` numbers or a register per argument, `len` results. Results that are
                // not written in place number at most BLOCK.
                unsafe {
                    for k in 0..arity {
                        row_args[k] = args[k].wrapping_offset(r * steps[k]);
                        if access[k] == Access::RowConstant {
                            let at = tile.offsets[k + 1] + (first_row as isize + r) * tile.row_strides[k + 1];
                            registers[k] = [(*x[k].offset(at)).widen(); MAX_LANES];
                            row_args[k] = registers[k].as_ptr();
                        }
                    }
                    let to =
                        out.offset(tile.offsets[0] + (first_row as isize + r) * out_row + first_col as isize * out_col);
                    let target = if out_is_direct { to.cast() } else { results.as_mut_ptr().cast() };
                    strip(len, row_args, advance, target);
                    if !out_is_direct {
                        store_strided(&results[..len], to, out_col);
                    }
                }
            }
            first_col += cols;
        }
        first_row += rows;
    }
}

/// Brings a block of an operand side by side, row after row.
///
/// # Safety
/// The block's elements are readable from `source`; `rows * cols <= BLOCK`.
#[inline(always)]
unsafe fn gather<T: Float, S: FloatElement<Compute = T>>(
    buffer: &mut [MaybeUninit<T>; BLOCK],
    source: *const S,
    rows: usize,
    cols: usize,
    row_stride: isize,
    col_stride: isize,
) {
    debug_assert!(rows * cols <= BLOCK);
    if row_stride == 1 && rows == TRANSPOSED && cols > 1 {
        // Along the rows, so that each cache line is touched once; a constant count, for the compiler to unroll.
        for c in 0..cols {
            // SAFETY: column c of the block.
            let column: [S; TRANSPOSED] =
                unsafe { source.offset(c as isize * col_stride).cast::<[S; TRANSPOSED]>().read_unaligned() };
            for (r, x) in column.into_iter().enumerate() {
                // SAFETY: rows * cols <= BLOCK.
                unsafe { buffer.get_unchecked_mut(r * cols + c) }.write(x.widen());
            }
        }
        return;
    }
    for r in 0..rows {
        // SAFETY: the first element of row r.
        let row = unsafe { source.offset(r as isize * row_stride) };
        let slots = &mut buffer[r * cols..(r + 1) * cols];
        if col_stride == 1 {
            // SAFETY: `cols` elements of the row, and as many slots.
            unsafe { widen_run(row, slots.as_mut_ptr().cast(), cols) };
        } else {
            for (c, slot) in slots.iter_mut().enumerate() {
                // SAFETY: element (r, c) of the block.
                slot.write(unsafe { *row.offset(c as isize * col_stride) }.widen());
            }
        }
    }
}

vectorized_fn! {
    /// # Safety
    /// `x` is valid for reading `n` elements, `out` for writing as many.
    unsafe fn widen_run<S: FloatElement>(x: *const S, out: *mut S::Compute, n: usize) {
        for i in 0..n {
            // SAFETY: the caller's promise.
            unsafe { *out.add(i) = (*x.add(i)).widen() };
        }
    }
}

vectorized_fn! {
    /// # Safety
    /// `results` is valid for reading `n` elements, `out` for writing as many.
    unsafe fn store_run<R: Copy, O: Sink<R>>(results: *const R, out: *mut O, n: usize) {
        for i in 0..n {
            // SAFETY: the caller's promise.
            unsafe { *out.add(i) = O::store(*results.add(i)) };
        }
    }
}

/// Stores the results of a row that is not written in place.
///
/// # Safety
/// The results are initialised, and their places are writable.
#[inline(always)]
unsafe fn store_strided<R: Copy, O: Sink<R>>(results: &[MaybeUninit<R>], out: *mut O, stride: isize) {
    if stride == 1 {
        // SAFETY: the caller's promise.
        unsafe { store_run(results.as_ptr().cast(), out, results.len()) };
    } else {
        for (i, result) in results.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { *out.offset(i as isize * stride) = O::store(result.assume_init()) };
        }
    }
}

/// Raw pointers that may be sent to the pool's threads: tiles of one call never overlap in the output.
#[derive(Clone, Copy)]
struct Pointers<S, O>([*const S; 3], *mut O);
// SAFETY: the callers of `run` promise that the memory is valid for the whole call, which outlives every task.
unsafe impl<S: Sync, O: Send> Sync for Pointers<S, O> {}

/// Pads a geometry's operands to four, which is what tiles are compiled for.
#[inline(always)]
fn pad<const N: usize>(tile: Tile<N>) -> Tile<4> {
    let widen = |list: [isize; N]| {
        let mut four = [0; 4];
        four[..N].copy_from_slice(&list);
        four
    };
    Tile {
        rows: tile.rows,
        cols: tile.cols,
        offsets: widen(tile.offsets),
        row_strides: widen(tile.row_strides),
        col_strides: widen(tile.col_strides),
    }
}

/// # Safety
/// Every element that the geometry visits is valid: readable in `x[..ARITY]`, writable in `out`.
#[inline(always)]
unsafe fn run<T: Float, S: FloatElement<Compute = T>, O: Sink<F::Result>, F: Lanes<T>, const N: usize>(
    f: F,
    cost: usize,
    geometry: &Geometry<N>,
    x: [*const S; 3],
    out: *mut O,
) {
    let pointers = Pointers(x, out);
    // SAFETY: called on runs of elements that the geometry visits, or on buffers.
    let strip = |n, args, advance, out| unsafe { strip::<T, F>(f, n, args, advance, out) };
    let in_place = <S as FloatElement>::IS_DIRECT && O::IS_DIRECT && geometry.is_contiguous();
    geometry.for_each_tile(grain(cost), |tile| {
        let &Pointers(x, out) = &pointers;
        if in_place {
            let first = tile.offsets[0];
            let args = x.map(|x| x.wrapping_offset(first).cast());
            strip(tile.cols, args, [usize::MAX; 3], out.wrapping_offset(first).cast());
        } else {
            // SAFETY: tiles lie inside the geometry.
            unsafe { run_tile::<T, S, F::Result, O>(&strip, F::ARITY, pad(tile), x, out) };
        }
    });
}

/// `out = f(x)`, elementwise. `out` may be `x` itself.
///
/// # Safety
/// For operands `[out, x]` of the geometry, every visited element is valid to write and to read; `out` does not
/// otherwise overlap `x`.
pub unsafe fn unary<S: FloatElement, F: UnaryFn>(f: F, geometry: &Geometry<2>, x: *const S, out: *mut S) {
    // SAFETY: the caller's promise.
    unsafe { run(Unary(f), F::COST, geometry, [x, x, x], out) }
}

/// `out = f(x, y)`, elementwise. `out` may be an input itself.
///
/// # Safety
/// For operands `[out, x, y]` of the geometry, every visited element is valid to write and to read; `out` does not
/// otherwise overlap an input.
pub unsafe fn binary<S: FloatElement, F: BinaryFn>(
    f: F,
    geometry: &Geometry<3>,
    x: *const S,
    y: *const S,
    out: *mut S,
) {
    // SAFETY: the caller's promise.
    unsafe { run(Binary(f), F::COST, geometry, [x, y, y], out) }
}

/// `out = f(x, y, z)`, elementwise. `out` may be an input itself.
///
/// # Safety
/// For operands `[out, x, y, z]` of the geometry, every visited element is valid to write and to read; `out` does not
/// otherwise overlap an input.
pub unsafe fn ternary<S: FloatElement, F: TernaryFn>(
    f: F,
    geometry: &Geometry<4>,
    x: *const S,
    y: *const S,
    z: *const S,
    out: *mut S,
) {
    // SAFETY: the caller's promise.
    unsafe { run(Ternary(f), F::COST, geometry, [x, y, z], out) }
}

/// `out = f(x, y)` for a comparison, elementwise.
///
/// # Safety
/// For operands `[out, x, y]` of the geometry, every visited element is valid to write and to read; `out` does not
/// overlap an input.
pub unsafe fn compare<S: FloatElement, F: CompareFn>(
    f: F,
    geometry: &Geometry<3>,
    x: *const S,
    y: *const S,
    out: *mut bool,
) {
    // SAFETY: the caller's promise.
    unsafe { run(Compare(f), 1, geometry, [x, y, y], out) }
}

/// `out = f(x)` for a question about one number, elementwise.
///
/// # Safety
/// For operands `[out, x]` of the geometry, every visited element is valid to write and to read; `out` does not
/// overlap `x`.
pub unsafe fn predicate<S: FloatElement, F: PredicateFn>(f: F, geometry: &Geometry<2>, x: *const S, out: *mut bool) {
    // SAFETY: the caller's promise.
    unsafe { run(Predicate(f), 1, geometry, [x, x, x], out) }
}
