//! The loops around the register tiles: blocking for the caches, packing, and sharing out among threads.
//!
//! The depth is cut into blocks by its own length only, and every element of C is the sum over one block after the
//! other, each in ascending order. So a result does not depend on the number of threads, on the tile that computed it,
//! or on what was packed.

use std::ops::Range;

use super::pack::{Operand, Strided};
use super::tile::{Kernels, Tail, kernels};
use super::{Bias, Epilogue, transpose};
use crate::alloc;
use crate::pool;
use crate::simd::Float;

/// Bytes of one lane's depth block: two panels of it (14 + 32 lanes of 1024 f32) stay in a fraction of the second-level
/// cache, and C is read and written again only once per block. Shorter blocks measured 4 to 8 % slower on 1024 squares.
const DEPTH_BYTES: usize = 4096;
/// Lanes of A, and of B, packed at one time.
const ROW_BLOCK: usize = 1024;
const COLUMN_BLOCK: usize = 2048;
/// Rows of A a task works on: their packed panels stay in the second-level cache.
const TASK_ROWS: usize = 98;
/// Multiply-adds below which a product runs on its caller alone.
const PARALLEL_WORK: usize = 1 << 20;

/// Where a product goes.
pub(crate) trait Target<T: Float>: Sync {
    /// The address and row stride of a tile of `rows` x `columns` at (`row`, `column`), if its rows are contiguous.
    fn place(&self, row: usize, column: usize, rows: usize, columns: usize) -> Option<(*mut T, isize)>;

    /// The address of one element.
    fn at(&self, row: usize, column: usize) -> *mut T;

    /// From an element to the one below it.
    fn row_step(&self) -> isize;

    /// Stores a finished tile (`width` elements from row to row) at (`row`, `column`), where `place` had no answer.
    ///
    /// # Safety
    /// The tile is written for `rows` x `columns`, which exist in C and belong to the caller.
    unsafe fn store(&self, tile: *const T, width: usize, row: usize, column: usize, rows: usize, columns: usize) {
        for j in 0..columns {
            let top = self.at(row, column + j);
            for i in 0..rows {
                // SAFETY: inside the tile and C.
                unsafe { *top.offset(i as isize * self.row_step()) = *tile.add(i * width + j) };
            }
        }
    }
}

/// A row-major C.
#[derive(Clone, Copy)]
pub(crate) struct RowMajor<T> {
    pub data: *mut T,
    pub row: isize,
}

/// A C whose columns are contiguous.
#[derive(Clone, Copy)]
pub(crate) struct ColumnMajor<T> {
    pub data: *mut T,
    pub column: isize,
}

// SAFETY: tasks write disjoint tiles; whoever asked for the product owns C for that time.
unsafe impl<T> Sync for RowMajor<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for ColumnMajor<T> {}

impl<T: Float> Target<T> for RowMajor<T> {
    #[inline]
    fn place(&self, row: usize, column: usize, _: usize, _: usize) -> Option<(*mut T, isize)> {
        Some((self.at(row, column), self.row))
    }
    #[inline]
    fn at(&self, row: usize, column: usize) -> *mut T {
        self.data.wrapping_offset(row as isize * self.row + column as isize)
    }
    #[inline]
    fn row_step(&self) -> isize {
        self.row
    }
}

impl<T: Float> Target<T> for ColumnMajor<T> {
    #[inline]
    fn place(&self, _: usize, _: usize, _: usize, _: usize) -> Option<(*mut T, isize)> {
        None
    }
    #[inline]
    fn at(&self, row: usize, column: usize) -> *mut T {
        self.data.wrapping_offset(row as isize + column as isize * self.column)
    }
    #[inline]
    fn row_step(&self) -> isize {
        1
    }
    unsafe fn store(&self, tile: *const T, width: usize, row: usize, column: usize, rows: usize, columns: usize) {
        let (from, to) = (|i: usize| tile.wrapping_add(i * width), self.at(row, column));
        // SAFETY: the tile has `rows` rows of `columns`; C has `rows` elements at each of `columns` steps.
        unsafe { transpose(from, rows, columns, rows, self.column.cast_unsigned(), to) };
    }
}

/// Working memory of one product, given back when dropped.
pub(crate) struct Scratch<T> {
    data: *mut T,
    bytes: usize,
}

// SAFETY: threads write disjoint panels, and read them only in later parallel regions.
unsafe impl<T> Sync for Scratch<T> {}

impl<T> Scratch<T> {
    /// # Panics
    /// When the system has no memory left for a few megabytes.
    pub(crate) fn new(elements: usize) -> Self {
        let bytes = elements * size_of::<T>();
        let data = alloc::alloc(bytes).expect("matmul: memory for packed blocks");
        Scratch { data: data.as_ptr().cast(), bytes }
    }

    pub(crate) fn at(&self, index: usize) -> *mut T {
        self.data.wrapping_add(index)
    }
}

impl<T> Drop for Scratch<T> {
    fn drop(&mut self) {
        let data = std::ptr::NonNull::new(self.data.cast()).expect("allocations are not null");
        // SAFETY: allocated with this size in `new`, and nobody else holds it.
        unsafe { alloc::free(data, self.bytes) };
    }
}

/// What [`product`] multiplies.
pub(crate) struct Product<'a, T, A, B, C> {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: &'a A,
    pub b: &'a B,
    pub c: &'a C,
    pub accumulate: bool,
    pub epilogue: Epilogue<T>,
    /// Whether it may use the pool.
    pub parallel: bool,
}

/// One block of the loops: depths `depth..depth + depths`, columns and row panels as packed at the moment.
pub(super) struct Block<T> {
    pub depth: usize,
    pub depths: usize,
    /// First column, and the end of the columns.
    pub column: usize,
    pub columns_end: usize,
    /// First row panel.
    pub panel: usize,
    /// Packed panels, where the operand is packed.
    pub a: Option<*const T>,
    pub b: Option<*const T>,
}

// SAFETY: packed panels are only read while a block is multiplied.
unsafe impl<T> Sync for Block<T> {}

/// Computes `C = A B` (plus C) with the epilogue.
///
/// # Safety
/// A is readable for `m` lanes and `k` depths, B for `n` and `k`; C and the biases are valid for `m` x `n`; C overlaps
/// nothing that is read, and nobody else uses it.
pub(crate) unsafe fn product<T, A, B, C>(args: &Product<'_, T, A, B, C>)
where
    T: Float,
    A: Operand<T>,
    B: Operand<T>,
    C: Target<T>,
{
    let &Product { m, n, k, .. } = args;
    if m == 0 || n == 0 {
        return;
    }
    let run = Run::new(args);
    let kernels = run.kernels;
    let width = 2 * kernels.lanes;
    let one_block = k <= DEPTH_BYTES / size_of::<T>() && m <= 2 * TASK_ROWS;
    if one_block && !run.pack_a && !run.parallel {
        // Small: no arithmetic of cutting it up, and panels of B are packed as they come, if they have to be.
        let block = Block { depth: 0, depths: k, column: 0, columns_end: n, panel: 0, a: None, b: None };
        // SAFETY: the block is the whole problem.
        return unsafe { run.tiles(&block, 0..run.panels, 0..n) };
    }
    let (blocks, depth_most) = depth_blocks::<T>(k);
    let row_panels_most = (ROW_BLOCK / kernels.rows).min(run.panels);
    let b_columns = COLUMN_BLOCK.min(n.next_multiple_of(width));
    let b_pack = run.pack_b.then(|| Scratch::<T>::new(b_columns * depth_most));
    let a_pack = run.pack_a.then(|| Scratch::<T>::new((row_panels_most + 1) * kernels.rows * depth_most));

    for column in (0..n).step_by(b_columns) {
        let columns_end = n.min(column + b_columns);
        for index in 0..blocks {
            let depth = index * k / blocks;
            let depths = (index + 1) * k / blocks - depth;
            for panel in (0..run.panels).step_by(row_panels_most) {
                let panels_end = run.panels.min(panel + row_panels_most);
                let block = Block {
                    depth,
                    depths,
                    column,
                    columns_end,
                    panel,
                    a: a_pack.as_ref().map(|pack| pack.data.cast_const()),
                    b: b_pack.as_ref().map(|pack| pack.data.cast_const()),
                };
                let rows = if run.pack_a { panel..panels_end } else { 0..0 };
                let columns = if run.pack_b && panel == 0 { 0..(columns_end - column).div_ceil(width) } else { 0..0 };
                // Packing is bound by memory: a job of some 50,000 elements pays for its hand-off, and its panels lie
                // side by side.
                let group = 49_152usize.div_ceil(width * depths.max(1));
                let (a_groups, b_groups) = (rows.len().div_ceil(group), columns.len().div_ceil(group));
                let part = |range: &Range<usize>, index: usize| {
                    range.start + index * group..range.end.min(range.start + (index + 1) * group)
                };
                run.share(if k == 0 { 0 } else { a_groups + b_groups }, &|job| {
                    if let Some(pack) = b_pack.as_ref().filter(|_| job < b_groups) {
                        let place = |j: usize| {
                            let first = column + j * width;
                            let count = width.min(columns_end - first);
                            (first, count, run.panel_width(count), pack.at((first - column) * depths))
                        };
                        // SAFETY: the panels are inside B, and each has its own place.
                        unsafe { pack_panels(args.b, part(&columns, job), depth..depth + depths, place) };
                    } else if let Some(pack) = &a_pack {
                        let place = |i: usize| {
                            let (row, rows) = run.rows_of(i);
                            (row, rows, rows, pack.at((row - run.rows_of(panel).0) * depths))
                        };
                        // SAFETY: the panels are inside A, and each has its own place.
                        unsafe { pack_panels(args.a, part(&rows, job - b_groups), depth..depth + depths, place) };
                    }
                });
                // SAFETY: the block is packed, and inside the problem.
                unsafe { run.multiply(&block, panels_end) };
            }
        }
    }
}

/// Packs some panels; `place` tells their first lane, lanes, width and memory.
///
/// # Safety
/// The panels lie inside the operand, and their memory is the caller's and large enough.
unsafe fn pack_panels<T, O: Operand<T>>(
    operand: &O,
    panels: Range<usize>,
    depths: Range<usize>,
    place: impl Fn(usize) -> (usize, usize, usize, *mut T),
) {
    let at_once = operand.depths_at_once();
    let mut depth = depths.start;
    while depth < depths.end {
        let count = at_once.min(depths.end - depth);
        for panel in panels.clone() {
            let (lane, lanes, width, to) = place(panel);
            let to = to.wrapping_add((depth - depths.start) * width);
            // SAFETY: as the caller promises.
            unsafe { operand.pack(lane, lanes, depth, count, width, to) };
        }
        depth += count;
    }
}

/// The number of depth blocks and the length of the longest: blocks of equal length rather than a short last one; at
/// least one, so that `k == 0` still stores the epilogue.
pub(super) fn depth_blocks<T: Float>(k: usize) -> (usize, usize) {
    let blocks = k.div_ceil(DEPTH_BYTES / size_of::<T>()).max(1);
    (blocks, k.div_ceil(blocks))
}

/// The decisions for one product.
pub(super) struct Run<'a, T: 'static, A, B, C> {
    args: &'a Product<'a, T, A, B, C>,
    pub kernels: &'static Kernels<T>,
    /// Number of row panels, of nearly equal height.
    pub panels: usize,
    /// Whether columns are taken four vectors at a time (few rows, B in place).
    wide: bool,
    pack_a: bool,
    pack_b: bool,
    parallel: bool,
}

impl<'a, T, A, B, C> Run<'a, T, A, B, C>
where
    T: Float,
    A: Operand<T>,
    B: Operand<T>,
    C: Target<T>,
{
    fn new(args: &'a Product<'a, T, A, B, C>) -> Self {
        let kernels = kernels::<T>();
        let &Product { m, n, k, .. } = args;
        let pack_b = args.b.strided().is_none_or(|b| worth_packing_b(&b, m, n, k, kernels));
        let pack_a = args.a.strided().is_none_or(|a| worth_packing_a(&a, m, n, kernels));
        let wide = m <= kernels.wide_rows && !pack_b;
        let work = m.saturating_mul(n).saturating_mul(k);
        Run {
            args,
            kernels,
            panels: m.div_ceil(kernels.rows),
            wide,
            pack_a,
            pack_b,
            parallel: args.parallel && work >= PARALLEL_WORK && pool::num_threads() > 1,
        }
    }

    /// The decisions for a product whose caller packs both sides.
    pub(super) fn packing_both(args: &'a Product<'a, T, A, B, C>) -> Self {
        Run { pack_a: true, pack_b: true, wide: false, ..Run::new(args) }
    }

    /// Calls `f` for every chunk, on the pool if the product is worth it.
    pub(super) fn share(&self, chunks: usize, f: &(dyn Fn(usize) + Sync)) {
        if self.parallel {
            pool::parallel_for(chunks, f);
        } else {
            for chunk in 0..chunks {
                f(chunk);
            }
        }
    }

    /// First row and number of rows of a panel.
    #[inline]
    pub(super) fn rows_of(&self, panel: usize) -> (usize, usize) {
        if self.panels == 1 {
            return (0, self.args.m); // divisions are what small products spend their time on
        }
        let start = panel * self.args.m / self.panels;
        (start, (panel + 1) * self.args.m / self.panels - start)
    }

    /// Width of the packed panel that holds `columns` columns.
    #[inline]
    pub(super) fn panel_width(&self, columns: usize) -> usize {
        if columns <= self.kernels.lanes { self.kernels.lanes } else { 2 * self.kernels.lanes }
    }

    /// Vectors of the next tile when `rest` columns are left.
    #[inline]
    fn vectors(&self, rest: usize) -> usize {
        if self.wide && rest >= 4 * self.kernels.lanes {
            4
        } else if rest > self.kernels.lanes {
            2
        } else {
            1
        }
    }

    /// Multiplies one block, sharing its tiles out among the threads.
    ///
    /// # Safety
    /// The block is packed where it says so, and lies inside the problem.
    unsafe fn multiply(&self, block: &Block<T>, panels_end: usize) {
        let width = if self.wide { 4 } else { 2 } * self.kernels.lanes;
        let column_panels = (block.columns_end - block.column).div_ceil(width);
        let row_panels = panels_end - block.panel;
        let task_rows = (TASK_ROWS / self.kernels.rows).max(1);
        let row_tasks = row_panels.div_ceil(task_rows);
        // Enough tasks for the threads to even out, each still worth several hand-offs.
        let wanted = if self.parallel { (16 * pool::num_threads()).div_ceil(row_tasks) } else { 1 };
        let least = PARALLEL_WORK / 4 / (self.args.m.div_ceil(row_tasks) * width * block.depths.max(1)).max(1);
        let group = column_panels.div_ceil(wanted).max(least).max(1);
        let column_tasks = column_panels.div_ceil(group);
        self.share(row_tasks * column_tasks, &|task| {
            let (row_task, column_task) = (task / column_tasks, task % column_tasks);
            let first = block.panel + row_task * row_panels / row_tasks;
            let last = block.panel + (row_task + 1) * row_panels / row_tasks;
            let start = block.column + column_task * group * width;
            let end = block.columns_end.min(start + group * width);
            // SAFETY: tasks are disjoint parts of the block.
            unsafe { self.tiles(block, first..last, start..end) };
        });
    }

    /// Computes the tiles of some row panels and columns (a whole number of column panels, or the last ones).
    ///
    /// # Safety
    /// As for `multiply`; nobody else computes these tiles.
    pub(super) unsafe fn tiles(&self, block: &Block<T>, panels: Range<usize>, columns: Range<usize>) {
        let &Product { k, a, b, c, accumulate, ref epilogue, .. } = self.args;
        let first_block = block.depth == 0;
        let last_block = block.depth + block.depths == k;
        let pack_row = self.rows_of(block.panel).0;
        let mut edge = None;
        let mut column = columns.start;
        while column < columns.end {
            let vectors = self.vectors(columns.end - column);
            let width = vectors * self.kernels.lanes;
            let count = width.min(columns.end - column);
            let (b_data, b_step) = match (block.b, b.strided()) {
                (Some(pack), _) => (pack.wrapping_add((column - block.column) * block.depths), width as isize),
                (None, Some(b)) if count == width && !self.pack_b => (b.at(column, block.depth), b.depth),
                _ => {
                    // Vectors must not read past the last column of an unpacked B: its edge goes through a copy. The
                    // first copy is the widest.
                    let copy = edge.get_or_insert_with(|| Scratch::<T>::new(width * block.depths)).data;
                    // SAFETY: columns and depths inside B; the copy is ours.
                    unsafe { b.pack(column, count, block.depth, block.depths, width, copy) };
                    (copy.cast_const(), width as isize)
                }
            };
            for panel in panels.clone() {
                let (row, rows) = self.rows_of(panel);
                let (a_data, a_row, a_step) = match (block.a, a.strided()) {
                    (Some(pack), _) => (pack.wrapping_add((row - pack_row) * block.depths), 1, rows as isize),
                    (None, Some(a)) => (a.at(row, block.depth), a.lane, a.depth),
                    (None, None) => unreachable!("operands without strides are packed"),
                };
                let tile = self.kernels.tile(rows, vectors);
                let keep = accumulate || !first_block;
                let mut tail = Tail { accumulate: keep, ..Tail::PLAIN };
                if last_block {
                    epilogue.apply_to(&mut tail, row, column);
                }
                // SAFETY: panels and tiles lie inside the operands and C.
                unsafe {
                    if let Some((to, c_row)) = c.place(row, column, rows, count) {
                        tile(block.depths, a_data, a_row, a_step, b_data, b_step, to, c_row, count, &tail);
                    } else {
                        let mut buffer = TileBuffer::<T>::new();
                        let (to, stride) = (buffer.data(), width as isize);
                        if tail.accumulate {
                            tile(block.depths, a_data, a_row, a_step, b_data, b_step, to, stride, count, &Tail::PLAIN);
                            scatter(c, to, width, (row, rows), (column, count), &tail);
                        } else {
                            tile(block.depths, a_data, a_row, a_step, b_data, b_step, to, stride, count, &tail);
                            c.store(to, width, row, column, rows, count);
                        }
                    }
                }
            }
            column += width;
        }
    }
}

/// Room for the largest tile: 14 rows of two, or 6 of four, vectors of up to 16 lanes.
#[repr(align(64))]
struct TileBuffer<T>(std::mem::MaybeUninit<[T; 14 * 32]>);

impl<T> TileBuffer<T> {
    fn new() -> Self {
        TileBuffer(std::mem::MaybeUninit::uninit())
    }
    fn data(&mut self) -> *mut T {
        self.0.as_mut_ptr().cast()
    }
}

/// Adds a tile to where C keeps its elements, applying the tail on the way.
///
/// # Safety
/// The tile is written for `rows` x `columns`, which exist in C and in the biases.
unsafe fn scatter<T: Float, C: Target<T>>(
    c: &C,
    tile: *const T,
    width: usize,
    (row, rows): (usize, usize),
    (column, columns): (usize, usize),
    tail: &Tail<T>,
) {
    for j in 0..columns {
        let top = c.at(row, column + j);
        for i in 0..rows {
            let to = top.wrapping_offset(i as isize * c.row_step());
            // SAFETY: inside the tile, C and the biases.
            unsafe {
                let mut value = *tile.add(i * width + j);
                if tail.accumulate {
                    value = value + *to;
                }
                if !tail.column_bias.is_null() {
                    value = value + *tail.column_bias.add(j);
                }
                if !tail.row_bias.is_null() {
                    value = value + *tail.row_bias.add(i);
                }
                *to = if tail.relu { T::default().max(value) } else { value };
            }
        }
    }
}

impl<T> Epilogue<T> {
    /// Fills in the tail of the tile at (`row`, `column`).
    #[inline]
    fn apply_to(&self, tail: &mut Tail<T>, row: usize, column: usize) {
        match self.bias {
            Bias::None => {}
            Bias::Columns(bias) => tail.column_bias = bias.wrapping_add(column),
            Bias::Rows(bias) => tail.row_bias = bias.wrapping_add(row),
        }
        tail.relu = self.relu;
    }
}

/// Whether B is worth a packed copy.
fn worth_packing_b<T>(b: &Strided<T>, m: usize, n: usize, k: usize, kernels: &Kernels<T>) -> bool {
    // Vectors need contiguous columns. Otherwise a copy pays when it is read many times and would not stay in the
    // first-level cache anyway, and earlier when the rows would fight for the same cache sets.
    let readers = if crowded(b) { 3 } else { 16 };
    b.lane != 1 || (m > readers * kernels.rows && n.saturating_mul(k) * size_of::<T>() > (32 << 10))
}

/// Whether A is worth a packed copy: broadcasts read it in any order, but from many places at once.
fn worth_packing_a<T>(a: &Strided<T>, m: usize, n: usize, kernels: &Kernels<T>) -> bool {
    // The rows of a tile lie side by side in a transposed A: as good as packed, unless they fight for cache sets.
    let natural = a.lane == 1 && !crowded(a);
    m > kernels.rows && n > 8 * kernels.lanes && !natural
}

/// Whether steps along the depth hit the same few cache sets.
fn crowded<T>(operand: &Strided<T>) -> bool {
    (operand.depth.unsigned_abs() * size_of::<T>()).is_multiple_of(4096)
}
