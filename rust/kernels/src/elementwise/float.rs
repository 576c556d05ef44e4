//! Functors over `Vector` lanes, applied to strided tensors.

use super::{BinaryFn, CompareFn, FloatElement, Geometry, PredicateFn, TernaryFn, Tile, UnaryFn, grain};
use crate::simd::{Float, MAX_LANES, Mask, Vector, simd_fn};

/// Elements that a strided or narrow operand is gathered into at a time: small enough for L1 with four operands.
const BLOCK: usize = 256;

/// What the loop calls per register: a functor of up to three arguments, and where its result goes.
trait Lanes<T: Float>: Copy + Send + Sync {
    /// How many of the three arguments are used.
    const ARITY: usize;
    /// What a lane's result is: the number type, or `bool`.
    type Result: Copy;
    const NOTHING: Self::Result;
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
    ($adapter:ident, $functor:ident, $arity:literal, $result:ty, $nothing:expr, ($($i:literal),*)) => {
        impl<T: Float, F: $functor> Lanes<T> for $adapter<F> {
            const ARITY: usize = $arity;
            type Result = $result;
            const NOTHING: $result = $nothing;
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
lanes!(Unary, UnaryFn, 1, T, T::INFINITY, (0));
lanes!(Binary, BinaryFn, 2, T, T::INFINITY, (0, 1));
lanes!(Ternary, TernaryFn, 3, T, T::INFINITY, (0, 1, 2));
lanes!(Compare, CompareFn, 2, bool, false, (0, 1));
lanes!(Predicate, PredicateFn, 1, bool, false, (0));

/// Applies `f` to `n` elements. Argument `k` advances (`advance[k]` all ones), or is one register read again and again
/// (`advance[k]` zero).
///
/// # Safety
/// `x[..ARITY]` are valid for reading `n` numbers, or `LANES` where they do not advance; `out` for writing `n` results.
#[inline(always)]
unsafe fn strip<T: Float, V: Vector<Elem = T>, F: Lanes<T>>(
    f: F,
    n: usize,
    x: [*const T; 3],
    advance: [usize; 3],
    out: *mut F::Result,
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

simd_fn! {
    /// Applies `f` to a tile. Operands that the registers cannot read or write in place go through small buffers.
    ///
    /// # Safety
    /// Every element of the tile is valid: readable in `x[..ARITY]`, writable in `out`.
    unsafe fn run_tile<T: Float, V, S: FloatElement<Compute = T>, O: Sink<F::Result>, F: Lanes<T>>(
        f: F, tile: Tile<4>, x: [*const S; 3], out: *mut O
    ) {
        let mut registers = [[T::of_f64(0.0); MAX_LANES]; 3];
        let out_is_direct = O::IS_DIRECT && tile.col_strides[0] == 1;
        let is_direct = [0, 1, 2].map(|k| k >= F::ARITY || S::IS_DIRECT && tile.col_strides[k + 1] == 1);
        let is_fixed = [0, 1, 2].map(|k| k < F::ARITY && tile.col_strides[k + 1] == 0);
        let advance = is_fixed.map(|fixed| if fixed { 0 } else { usize::MAX });
        let needs_blocks = !out_is_direct || (0..3).any(|k| !is_direct[k] && !is_fixed[k]);
        for r in 0..tile.rows as isize {
            let mut row = [std::ptr::null::<T>(); 3];
            let mut source = [std::ptr::null::<S>(); 3];
            for k in 0..F::ARITY {
                let offset = tile.offsets[k + 1] + r * tile.row_strides[k + 1];
                // SAFETY: the first element of row r of operand k.
                source[k] = unsafe { x[k].offset(offset) };
                if is_fixed[k] {
                    // SAFETY: readable, as above.
                    registers[k] = [unsafe { *source[k] }.widen(); MAX_LANES];
                    row[k] = registers[k].as_ptr();
                } else {
                    row[k] = source[k].cast();
                }
            }
            // SAFETY: the first output of row r.
            let target = unsafe { out.offset(tile.offsets[0] + r * tile.row_strides[0]) };
            if needs_blocks {
                // SAFETY: the tile's elements are valid; `row` is used only where the operand is direct or fixed.
                unsafe { run_blocks::<T, V, S, O, F>(f, tile, row, source, is_direct, is_fixed, advance, target) };
            } else {
                // SAFETY: all operands are runs of `cols` numbers (S = T), or a register; the output is such a run.
                unsafe { strip::<T, V, F>(f, tile.cols, row, advance, target.cast()) };
            }
        }
    }
}

/// One row of a tile, in blocks that are gathered, computed and scattered.
///
/// # Safety
/// As `run_tile`, for the row that starts at `source` and `target`.
#[inline(always)]
unsafe fn run_blocks<T: Float, V: Vector<Elem = T>, S: FloatElement<Compute = T>, O: Sink<F::Result>, F: Lanes<T>>(
    f: F,
    tile: Tile<4>,
    row: [*const T; 3],
    source: [*const S; 3],
    is_direct: [bool; 3],
    is_fixed: [bool; 3],
    advance: [usize; 3],
    target: *mut O,
) {
    let mut gathered = [[const { std::mem::MaybeUninit::<T>::uninit() }; BLOCK]; 3];
    let mut results = [F::NOTHING; BLOCK];
    let out_is_direct = O::IS_DIRECT && tile.col_strides[0] == 1;
    let mut first = 0;
    while first < tile.cols {
        let n = (tile.cols - first).min(BLOCK);
        let mut args = row;
        for k in 0..F::ARITY {
            if is_fixed[k] {
                continue;
            }
            let stride = tile.col_strides[k + 1];
            // SAFETY: element `first` of the row.
            let from = unsafe { source[k].offset(first as isize * stride) };
            if is_direct[k] {
                args[k] = from.cast();
                continue;
            }
            if stride == 1 {
                // A loop of its own, for the compiler to vectorise the conversion.
                for (i, slot) in gathered[k][..n].iter_mut().enumerate() {
                    // SAFETY: elements first..first + n of the row.
                    slot.write(unsafe { *from.add(i) }.widen());
                }
            } else {
                for (i, slot) in gathered[k][..n].iter_mut().enumerate() {
                    // SAFETY: elements first..first + n of the row.
                    slot.write(unsafe { *from.offset(i as isize * stride) }.widen());
                }
            }
            args[k] = gathered[k].as_ptr().cast();
        }
        // SAFETY: element `first` of the output row.
        let to = unsafe { target.offset(first as isize * tile.col_strides[0]) };
        if out_is_direct {
            // SAFETY: every argument holds n numbers or a register, the output n results of its own type.
            unsafe { strip::<T, V, F>(f, n, args, advance, to.cast()) };
        } else {
            // SAFETY: as above, into the buffer of BLOCK >= n results.
            unsafe { strip::<T, V, F>(f, n, args, advance, results.as_mut_ptr()) };
            for (i, &result) in results[..n].iter().enumerate() {
                // SAFETY: elements first..first + n of the output row.
                unsafe { *to.offset(i as isize * tile.col_strides[0]) = O::store(result) };
            }
        }
        first += n;
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
    geometry.for_each_tile(grain(cost), |tile| {
        let pointers = &pointers;
        // SAFETY: tiles lie inside the geometry.
        unsafe { run_tile::<T, S, O, F>(f, pad(tile), pointers.0, pointers.1) };
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
