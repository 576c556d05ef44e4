//! How a strided, broadcasting loop walks its operands.

use crate::pool;
use std::ops::Range;

/// The most dimensions a loop can have after dimensions of size 1 are dropped and neighbours merged.
pub const MAX_DIMS: usize = 16;

/// Rows and columns of the tiles of loops in which some operand runs across the others: one cache line of `f32` each
/// way, so that a tile uses up the lines that it fetches.
pub(crate) const TRANSPOSED: usize = 16;

/// The loop nest of an elementwise operation over `N` operands, the output first.
///
/// Built from the common (broadcast) shape and each operand's element strides, 0 where it is broadcast. Dimensions of
/// size 1 are dropped, the others ordered so that the output is written as sequentially as it can be, and neighbours
/// that are one run in memory for every operand are merged. It lives on the stack: small tensors pay for every
/// nanosecond here.
#[derive(Clone, Debug)]
pub struct Geometry<const N: usize> {
    ndim: usize,
    len: usize,
    shape: [usize; MAX_DIMS],
    strides: [[isize; N]; MAX_DIMS],
}

/// A piece of a loop nest: `rows` runs of `cols` elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile<const N: usize> {
    pub rows: usize,
    pub cols: usize,
    /// Element offset of the first element of each operand.
    pub offsets: [isize; N],
    pub row_strides: [isize; N],
    pub col_strides: [isize; N],
}

impl<const N: usize> Geometry<N> {
    /// The loop over `len` elements that lie side by side in every operand.
    #[inline]
    pub fn contiguous(len: usize) -> Self {
        let mut geometry = Geometry { ndim: 1, len, shape: [1; MAX_DIMS], strides: [[0; N]; MAX_DIMS] };
        geometry.shape[0] = len;
        geometry.strides[0] = [1; N];
        geometry
    }

    /// The loop over `shape` with the given element strides of each operand, output first.
    ///
    /// # Panics
    /// When a stride list is not as long as the shape, or more than [`MAX_DIMS`] dimensions remain.
    #[inline]
    pub fn new(shape: &[usize], strides: [&[isize]; N]) -> Self {
        for list in &strides {
            assert_eq!(list.len(), shape.len(), "Geometry: one stride per dimension");
        }
        let mut len = 1;
        let mut is_contiguous = true;
        for d in (0..shape.len()).rev() {
            if shape[d] != 1 {
                is_contiguous &= strides.iter().all(|list| list[d] == len as isize);
            }
            len *= shape[d];
        }
        if is_contiguous || len <= 1 {
            return Self::contiguous(len);
        }
        Self::strided(len, shape, strides)
    }

    fn strided(len: usize, shape: &[usize], strides: [&[isize]; N]) -> Self {
        let mut this = Geometry { ndim: 0, len, shape: [1; MAX_DIMS], strides: [[0; N]; MAX_DIMS] };
        // Dimensions are inserted from the innermost: an insertion sort by |stride|, output first, keeps the given
        // order where strides do not decide. Merging as they come keeps the array short.
        for d in 0..shape.len() {
            if shape[d] == 1 {
                continue;
            }
            let dim_strides = strides.map(|list| list[d]);
            if this.ndim > 0 && this.merges_into_last(shape[d], dim_strides) {
                let last = this.ndim - 1;
                this.shape[last] *= shape[d];
                this.strides[last] = dim_strides;
                continue;
            }
            assert!(this.ndim < MAX_DIMS, "Geometry: at most {MAX_DIMS} dimensions, got shape {shape:?}");
            this.shape[this.ndim] = shape[d];
            this.strides[this.ndim] = dim_strides;
            this.ndim += 1;
        }
        for i in 1..this.ndim {
            let mut j = i;
            while j > 0 && runs_inside(&this.strides[j - 1], &this.strides[j]) {
                this.shape.swap(j - 1, j);
                this.strides.swap(j - 1, j);
                j -= 1;
            }
        }
        this.merge_neighbours();
        this
    }

    /// Whether a dimension, put inside the last one, would continue it without a gap for every operand.
    fn merges_into_last(&self, size: usize, strides: [isize; N]) -> bool {
        let last = self.strides[self.ndim - 1];
        (0..N).all(|k| last[k] == strides[k] * size as isize)
    }

    fn merge_neighbours(&mut self) {
        let mut kept = 0;
        for d in 1..self.ndim {
            let (size, strides) = (self.shape[d], self.strides[d]);
            if (0..N).all(|k| self.strides[kept][k] == strides[k] * size as isize) {
                self.shape[kept] *= size;
            } else {
                kept += 1;
                self.shape[kept] = size;
            }
            self.strides[kept] = strides;
        }
        self.ndim = kept + 1;
    }

    /// How many elements the loop visits.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the loop visits nothing.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether every operand is one contiguous run.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.ndim == 1 && self.strides[0] == [1; N]
    }

    /// Calls `f` on tiles that cover the loop, in parallel when there are more than about `grain` elements.
    ///
    /// Which tiles there are depends on the loop and `grain` alone, never on the number of threads.
    #[inline]
    pub(crate) fn for_each_tile(&self, grain: usize, f: impl Fn(Tile<N>) + Sync) {
        if self.ndim == 1 && self.len <= grain {
            if self.len > 0 {
                f(Tile { rows: 1, cols: self.len, offsets: [0; N], row_strides: [0; N], col_strides: self.strides[0] });
            }
            return;
        }
        self.for_each_tile_split(grain, &f);
    }

    fn for_each_tile_split(&self, grain: usize, f: &(dyn Fn(Tile<N>) + Sync)) {
        if self.len == 0 {
            return;
        }
        let walk = Walk::new(self, grain);
        let tile_len = walk.tile_rows * walk.tile_cols;
        if self.len <= grain {
            walk.run(0..walk.tiles, f);
        } else {
            pool::chunked(walk.tiles, (grain / tile_len).max(1), |range| walk.run(range, f));
        }
    }
}

/// Whether `outer` should be the loop inside `inner`: its steps are the smaller ones.
fn runs_inside<const N: usize>(outer: &[isize; N], inner: &[isize; N]) -> bool {
    for k in 0..N {
        let (a, b) = (outer[k].unsigned_abs(), inner[k].unsigned_abs());
        // A broadcast operand does not care.
        if a != b && a != 0 && b != 0 {
            return a < b;
        }
    }
    false
}

/// A loop nest cut into tiles, counted in row-major order.
struct Walk<'a, const N: usize> {
    geometry: &'a Geometry<N>,
    tile_rows: usize,
    tile_cols: usize,
    /// Tiles along each dimension.
    counts: [usize; MAX_DIMS],
    tiles: usize,
}

impl<'a, const N: usize> Walk<'a, N> {
    fn new(geometry: &'a Geometry<N>, grain: usize) -> Self {
        let ndim = geometry.ndim;
        let cols = geometry.shape[ndim - 1];
        let rows = if ndim > 1 { geometry.shape[ndim - 2] } else { 1 };
        let is_transposed = ndim > 1
            && (0..N).any(|k| {
                let (row, col) = (geometry.strides[ndim - 2][k], geometry.strides[ndim - 1][k]);
                row != 0 && row.unsigned_abs() < col.unsigned_abs()
            });
        let (tile_rows, tile_cols) = if is_transposed {
            (rows.min(TRANSPOSED), cols.min(TRANSPOSED))
        } else {
            let tile_cols = cols.min(grain);
            (rows.min((grain / tile_cols).max(1)), tile_cols)
        };
        let mut counts = geometry.shape;
        counts[ndim - 1] = cols.div_ceil(tile_cols);
        if ndim > 1 {
            counts[ndim - 2] = rows.div_ceil(tile_rows);
        }
        let tiles = counts[..ndim].iter().product();
        Walk { geometry, tile_rows, tile_cols, counts, tiles }
    }

    fn run(&self, tiles: Range<usize>, f: &(dyn Fn(Tile<N>) + Sync)) {
        let (shape, strides, ndim) = (&self.geometry.shape, &self.geometry.strides, self.geometry.ndim);
        let mut index = [0usize; MAX_DIMS];
        let mut rest = tiles.start;
        for d in (0..ndim).rev() {
            index[d] = rest % self.counts[d];
            rest /= self.counts[d];
        }
        let row_strides = if ndim > 1 { strides[ndim - 2] } else { [0; N] };
        for _ in tiles {
            let mut offsets = [0isize; N];
            let (mut rows, mut cols) = (1, 0);
            for d in 0..ndim {
                let tile = match ndim - d {
                    1 => self.tile_cols,
                    2 => self.tile_rows,
                    _ => 1,
                };
                let first = index[d] * tile;
                match ndim - d {
                    1 => cols = (shape[d] - first).min(tile),
                    2 => rows = (shape[d] - first).min(tile),
                    _ => {}
                }
                for k in 0..N {
                    offsets[k] += first as isize * strides[d][k];
                }
            }
            f(Tile { rows, cols, offsets, row_strides, col_strides: strides[ndim - 1] });
            for d in (0..ndim).rev() {
                index[d] += 1;
                if index[d] < self.counts[d] {
                    break;
                }
                index[d] = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Every (offset of each operand) that the tiles visit, sorted by the output's.
    fn visited<const N: usize>(geometry: &Geometry<N>, grain: usize) -> Vec<[isize; N]> {
        let seen = Mutex::new(Vec::new());
        geometry.for_each_tile(grain, |tile| {
            let mut seen = seen.lock().expect("no panic while held");
            for r in 0..tile.rows as isize {
                for c in 0..tile.cols as isize {
                    seen.push(std::array::from_fn(|k| {
                        tile.offsets[k] + r * tile.row_strides[k] + c * tile.col_strides[k]
                    }));
                }
            }
        });
        let mut seen = seen.into_inner().expect("no panic while held");
        seen.sort_unstable();
        seen
    }

    fn expected<const N: usize>(shape: &[usize], strides: [&[isize]; N]) -> Vec<[isize; N]> {
        let mut all = vec![[0isize; N]];
        for d in 0..shape.len() {
            all = all
                .iter()
                .flat_map(|&at| (0..shape[d]).map(move |i| std::array::from_fn(|k| at[k] + i as isize * strides[k][d])))
                .collect();
        }
        all.sort_unstable();
        all
    }

    fn check<const N: usize>(shape: &[usize], strides: [&[isize]; N]) {
        let geometry = Geometry::new(shape, strides);
        for grain in [1, 7, 64, 100_000] {
            assert_eq!(visited(&geometry, grain), expected(shape, strides), "{shape:?} {strides:?} grain {grain}");
        }
    }

    #[test]
    fn visits_every_element_once() {
        check(&[], [&[], &[]]);
        check(&[0], [&[1], &[1]]);
        check(&[3, 0, 2], [&[0, 2, 1], &[0, 2, 1]]);
        check(&[5], [&[1], &[-1]]);
        check(&[4, 6], [&[6, 1], &[6, 1]]);
        check(&[4, 6], [&[6, 1], &[1, 4]]);
        check(&[40, 130], [&[130, 1], &[1, 40]]);
        check(&[4, 6], [&[6, 1], &[0, 1]]);
        check(&[4, 6], [&[6, 1], &[1, 0]]);
        check(&[2, 3, 4, 5], [&[60, 20, 5, 1], &[0, 1, 0, 3]]);
        check(&[2, 1, 3, 1], [&[3, 9, 1, 9], &[3, 7, 1, 7]]);
        check(&[3, 4, 5], [&[1, 3, 12], &[20, 5, 1]]);
        check(&[2, 3, 4], [&[12, 4, 1], &[12, -4, 1]]);
        check(&[7, 9, 3], [&[27, 3, 1], &[0, 0, 0]]);
    }

    #[test]
    fn merges_what_is_one_run() {
        assert!(Geometry::new(&[2, 3, 4], [&[12, 4, 1], &[12, 4, 1]]).is_contiguous());
        assert!(Geometry::new(&[2, 1, 4], [&[4, 9, 1], &[4, 0, 1]]).is_contiguous());
        // Both operands transposed alike: still one run.
        assert!(Geometry::new(&[3, 4], [&[1, 3], &[1, 3]]).is_contiguous());
        let broadcast = Geometry::new(&[2, 3, 4, 5], [&[60, 20, 5, 1], &[0, 0, 5, 1]]);
        assert_eq!(broadcast.ndim, 2);
        assert_eq!(&broadcast.shape[..2], &[6, 20]);
    }
}
