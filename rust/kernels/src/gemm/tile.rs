//! Register tiles: the inner product of a few rows of A with a few vectors of columns of B.
//!
//! One generic body, compiled for every instruction set and every tile size up to the best one, so that edges cost what
//! they are worth. A is broadcast element by element and may have any strides; B is read in whole vectors.

use std::marker::PhantomData;

use crate::isa::{Isa, isa};
use crate::simd::{Float, Vector};

/// What happens to a finished tile on its way to C.
pub(crate) struct Tail<T> {
    /// Add what C holds already.
    pub accumulate: bool,
    /// Then add these to the columns (null: nothing).
    pub column_bias: *const T,
    /// Then add these to the rows (null: nothing).
    pub row_bias: *const T,
    /// Then clamp below at zero.
    pub relu: bool,
}

impl<T> Tail<T> {
    /// Stores the product as it is.
    pub(crate) const PLAIN: Self =
        Tail { accumulate: false, column_bias: std::ptr::null(), row_bias: std::ptr::null(), relu: false };
}

/// A tile kernel: `C[r, c] = sum_p A[r, p] * B[p, c]`, then the tail.
///
/// Arguments: depth; A with its row and depth stride; B with its depth stride (columns are contiguous); C with its row
/// stride and the number of columns that exist.
///
/// The kernel for (rows, vectors) needs: A readable for `rows` x `depth`; B readable for `depth` x `vectors * lanes`;
/// C valid for `rows` x `columns` with `(vectors - 1) * lanes < columns <= vectors * lanes`; the biases of the tail
/// null or readable for `columns` and `rows`.
pub(crate) type Tile<T> = unsafe fn(usize, *const T, isize, isize, *const T, isize, *mut T, isize, usize, &Tail<T>);

/// A tile kernel for a B whose rows lie at `offsets` from one address: `C[r, c] = sum_p A[r, p] * b[offsets[p] + c]`,
/// plus a bias per row unless it is null.
///
/// Arguments: offsets; A packed (its rows side by side at each depth); B; C, whose rows follow each other; the bias.
/// The kernel for (rows, vectors) needs: A readable for `offsets.len() * rows`; B readable for `vectors * lanes` at
/// every offset; C writable for `rows * vectors * lanes`; the bias null or readable for `rows`.
pub(crate) type OffsetTile<T> = unsafe fn(&[usize], *const T, *const T, *mut T, *const T);

/// Most rows of any tile.
pub(crate) const MAX_ROWS: usize = 14;

/// The tile kernels of one instruction set.
pub(crate) struct Kernels<T: 'static> {
    /// Elements of a vector.
    pub lanes: usize,
    /// Rows of the best tile that is two vectors wide.
    pub rows: usize,
    /// Rows of the best tile that is four vectors wide.
    pub wide_rows: usize,
    one: [Tile<T>; MAX_ROWS],
    two: [Tile<T>; MAX_ROWS],
    four: [Tile<T>; 6],
    one_by_offset: [OffsetTile<T>; MAX_ROWS],
    two_by_offset: [OffsetTile<T>; MAX_ROWS],
}

impl<T> Kernels<T> {
    /// The tile of `rows` rows and `vectors` (1, 2 or 4) vectors.
    pub(crate) fn tile(&self, rows: usize, vectors: usize) -> Tile<T> {
        match vectors {
            1 => self.one[rows - 1],
            2 => self.two[rows - 1],
            _ => self.four[rows - 1],
        }
    }

    /// The tile of `rows` rows and `vectors` (1 or 2) vectors for a B that is read by offsets.
    pub(crate) fn offset_tile(&self, rows: usize, vectors: usize) -> OffsetTile<T> {
        if vectors == 1 { self.one_by_offset[rows - 1] } else { self.two_by_offset[rows - 1] }
    }
}

/// The kernels of the instruction set in use.
pub(crate) fn kernels<T: Float>() -> &'static Kernels<T> {
    match isa() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => &Tables::<T>::AVX512,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => &Tables::<T>::AVX2,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => &Tables::<T>::NEON,
        _ => &Tables::<T>::SCALAR,
    }
}

struct Tables<T>(PhantomData<T>);

/// The row counts a table has kernels for; larger ones are filled up with the last, and never asked for.
macro_rules! column {
    ($tile:ident, $T:ident, $nv:literal: $($mr:literal)*) => {
        [$($tile::<$T, $mr, $nv>),*]
    };
}

impl<T: Float> Tables<T> {
    #[cfg(target_arch = "x86_64")]
    const AVX512: Kernels<T> = Kernels {
        lanes: <T::Avx512 as Vector>::LANES,
        rows: 14,
        wide_rows: 6,
        one: column!(tile_avx512, T, 1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        two: column!(tile_avx512, T, 2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        four: column!(tile_avx512, T, 4: 1 2 3 4 5 6),
        one_by_offset: column!(offset_tile_avx512, T, 1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        two_by_offset: column!(offset_tile_avx512, T, 2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
    };
    #[cfg(target_arch = "x86_64")]
    const AVX2: Kernels<T> = Kernels {
        lanes: <T::Avx2 as Vector>::LANES,
        rows: 6,
        wide_rows: 2,
        one: column!(tile_avx2, T, 1: 1 2 3 4 5 6 6 6 6 6 6 6 6 6),
        two: column!(tile_avx2, T, 2: 1 2 3 4 5 6 6 6 6 6 6 6 6 6),
        four: column!(tile_avx2, T, 4: 1 2 2 2 2 2),
        one_by_offset: column!(offset_tile_avx2, T, 1: 1 2 3 4 5 6 6 6 6 6 6 6 6 6),
        two_by_offset: column!(offset_tile_avx2, T, 2: 1 2 3 4 5 6 6 6 6 6 6 6 6 6),
    };
    #[cfg(target_arch = "aarch64")]
    const NEON: Kernels<T> = Kernels {
        lanes: <T::Neon as Vector>::LANES,
        rows: 12,
        wide_rows: 6,
        one: column!(tile_neon, T, 1: 1 2 3 4 5 6 7 8 9 10 11 12 12 12),
        two: column!(tile_neon, T, 2: 1 2 3 4 5 6 7 8 9 10 11 12 12 12),
        four: column!(tile_neon, T, 4: 1 2 3 4 5 6),
        one_by_offset: column!(offset_tile_neon, T, 1: 1 2 3 4 5 6 7 8 9 10 11 12 12 12),
        two_by_offset: column!(offset_tile_neon, T, 2: 1 2 3 4 5 6 7 8 9 10 11 12 12 12),
    };
    const SCALAR: Kernels<T> = Kernels {
        lanes: 1,
        rows: 4,
        wide_rows: 2,
        one: column!(tile_scalar, T, 1: 1 2 3 4 4 4 4 4 4 4 4 4 4 4),
        two: column!(tile_scalar, T, 2: 1 2 3 4 4 4 4 4 4 4 4 4 4 4),
        four: column!(tile_scalar, T, 4: 1 2 2 2 2 2),
        one_by_offset: column!(offset_tile_scalar, T, 1: 1 2 3 4 4 4 4 4 4 4 4 4 4 4),
        two_by_offset: column!(offset_tile_scalar, T, 2: 1 2 3 4 4 4 4 4 4 4 4 4 4 4),
    };
}

macro_rules! compile_tile {
    ($name:ident, $offset_name:ident, $vector:ty $(, $features:literal)?) => {
        $(#[target_feature(enable = $features)])?
        unsafe fn $offset_name<T: Float, const MR: usize, const NV: usize>(
            offsets: &[usize],
            a: *const T,
            b: *const T,
            c: *mut T,
            bias: *const T,
        ) {
            // SAFETY: the caller's contract is passed on unchanged.
            unsafe { offset_tile::<T, $vector, MR, NV>(offsets, a, b, c, bias) }
        }

        $(#[target_feature(enable = $features)])?
        unsafe fn $name<T: Float, const MR: usize, const NV: usize>(
            depth: usize,
            a: *const T,
            a_row: isize,
            a_step: isize,
            b: *const T,
            b_step: isize,
            c: *mut T,
            c_row: isize,
            columns: usize,
            tail: &Tail<T>,
        ) {
            // SAFETY: the caller's contract is passed on unchanged.
            unsafe {
                tile::<T, $vector, MR, NV>(depth, a, a_row, a_step, b, b_step, c, c_row, columns, tail);
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compile_tile!(tile_avx512, offset_tile_avx512, T::Avx512, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2");
#[cfg(target_arch = "x86_64")]
compile_tile!(tile_avx2, offset_tile_avx2, T::Avx2, "avx2,fma,bmi1,bmi2");
#[cfg(target_arch = "aarch64")]
compile_tile!(tile_neon, offset_tile_neon, T::Neon, "neon");
compile_tile!(tile_scalar, offset_tile_scalar, T);

/// A loop over the rows of a tile in two halves: the compiler unrolls each completely, which it must to keep the
/// accumulators in registers, while it would refuse one loop of twice the size.
macro_rules! each_row {
    ($i:ident < $MR:ident $body:block) => {
        for $i in 0..$MR / 2 $body
        for $i in $MR / 2..$MR $body
    };
}

/// Applies the tail and stores the tile, with the given access to the last vector of a row. A macro, because the
/// accumulators must not become an argument: that would put them into memory.
macro_rules! finish {
    ($V:ident, $MR:ident, $NV:ident, $acc:ident, $c:ident, $c_row:ident, $tail:ident,
     load: $load:expr, store: $store:expr) => {{
        let row = |i: usize| $c.offset(i as isize * $c_row);
        if $tail.accumulate {
            each_row!(i < $MR {
                for j in 0..$NV {
                    let p = row(i).add(j * $V::LANES).cast_const();
                    $acc[i][j] = $acc[i][j] + if j + 1 < $NV { $V::load(p) } else { $load(p) };
                }
            });
        }
        if !$tail.column_bias.is_null() {
            for j in 0..$NV {
                let p = $tail.column_bias.add(j * $V::LANES);
                let bias = if j + 1 < $NV { $V::load(p) } else { $load(p) };
                each_row!(i < $MR {
                    $acc[i][j] = $acc[i][j] + bias;
                });
            }
        }
        if !$tail.row_bias.is_null() {
            each_row!(i < $MR {
                let bias = $V::splat(*$tail.row_bias.add(i));
                for j in 0..$NV {
                    $acc[i][j] = $acc[i][j] + bias;
                }
            });
        }
        if $tail.relu {
            each_row!(i < $MR {
                for j in 0..$NV {
                    $acc[i][j] = $V::zero().max($acc[i][j]); // in this order NaN stays NaN
                }
            });
        }
        each_row!(i < $MR {
            for j in 0..$NV {
                let p = row(i).add(j * $V::LANES);
                if j + 1 < $NV { $acc[i][j].store(p) } else { $store($acc[i][j], p) }
            }
        });
    }};
}

/// # Safety
/// As [`Tile`] says.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn tile<T: Float, V: Vector<Elem = T>, const MR: usize, const NV: usize>(
    depth: usize,
    a: *const T,
    a_row: isize,
    a_step: isize,
    b: *const T,
    b_step: isize,
    c: *mut T,
    c_row: isize,
    columns: usize,
    tail: &Tail<T>,
) {
    // Index loops throughout: with iterator adaptors the accumulators of large tiles end up in memory.
    let mut acc = [[V::zero(); NV]; MR];
    let (mut a, mut b) = (a, b);
    for _ in 0..depth {
        let mut columns = [V::zero(); NV];
        for j in 0..NV {
            // SAFETY: B is readable for NV vectors at each of `depth` steps.
            columns[j] = unsafe { V::load(b.add(j * V::LANES)) };
        }
        each_row!(i < MR {
            // SAFETY: A is readable for MR rows at each of `depth` steps.
            let x = V::splat(unsafe { *a.offset(i as isize * a_row) });
            for j in 0..NV {
                acc[i][j] = x.mul_add(columns[j], acc[i][j]);
            }
        });
        a = a.wrapping_offset(a_step);
        b = b.wrapping_offset(b_step);
    }
    // SAFETY: C and the biases are valid for MR rows and `columns` columns; `last` of these are in the last vector.
    unsafe {
        let last = columns - (NV - 1) * V::LANES;
        if last == V::LANES {
            finish!(V, MR, NV, acc, c, c_row, tail, load: V::load, store: V::store);
        } else {
            finish!(V, MR, NV, acc, c, c_row, tail,
                load: |p| V::load_partial(p, last), store: |v: V, p| v.store_partial(p, last));
        }
    }
}

/// # Safety
/// As [`OffsetTile`] says.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // as in `tile`
unsafe fn offset_tile<T: Float, V: Vector<Elem = T>, const MR: usize, const NV: usize>(
    offsets: &[usize],
    a: *const T,
    b: *const T,
    c: *mut T,
    bias: *const T,
) {
    let mut acc = [[V::zero(); NV]; MR];
    let mut a = a;
    for &offset in offsets {
        let mut columns = [V::zero(); NV];
        for j in 0..NV {
            // SAFETY: B is readable for NV vectors at every offset.
            columns[j] = unsafe { V::load(b.add(offset + j * V::LANES)) };
        }
        each_row!(i < MR {
            // SAFETY: A holds MR numbers for every offset.
            let x = V::splat(unsafe { *a.add(i) });
            for j in 0..NV {
                acc[i][j] = x.mul_add(columns[j], acc[i][j]);
            }
        });
        a = a.wrapping_add(MR);
    }
    // SAFETY: the bias has MR elements, C is MR rows of NV vectors.
    unsafe {
        if !bias.is_null() {
            each_row!(i < MR {
                let bias = V::splat(*bias.add(i));
                for j in 0..NV {
                    acc[i][j] = acc[i][j] + bias;
                }
            });
        }
        each_row!(i < MR {
            for j in 0..NV {
                acc[i][j].store(c.add((i * NV + j) * V::LANES));
            }
        });
    }
}
