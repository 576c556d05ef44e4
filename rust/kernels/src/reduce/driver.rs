//! Walks a reduction: which elements are folded together, in which order, on which thread.

use super::layout::{Dims, Reduction};
use crate::pool;
use std::mem::MaybeUninit;

/// Columns that are folded side by side.
pub(super) const WIDTH: usize = 64;
/// Rows folded one after the other before the binary tree begins.
const ROWS: usize = 32;
/// Elements per task.
const GRAIN: usize = 32 * 1024;
/// Terms of one result that one task folds, where there are few results.
const SEGMENT: usize = 64 * 1024;
/// With at least so many independent pieces of work, a single result is not shared between tasks.
const MANY: usize = 16;
/// Runs shorter than this are folded across rather than along, if there are enough of them.
const SHORT_RUN: usize = 32;

/// How elements are folded. `first` is the position of the first element among the terms of its result, in row-major
/// order of the reduced dimensions (of the layout that the driver was given); `output` says which result it is.
pub(super) trait Kernel: Sync {
    /// What is read.
    type In: Copy;
    /// A partial result.
    type Acc: Copy + Send + Sync;
    /// Folds `n >= 1` elements.
    ///
    /// # Safety
    /// `x` is valid for reading `n` elements at `stride`.
    unsafe fn run(&self, x: *const Self::In, n: usize, stride: isize, first: usize, output: usize) -> Self::Acc;
    /// Folds each of `cols <= WIDTH` columns of `rows >= 1` elements into `acc`. Column `c` belongs to result
    /// `output + c * output_stride`.
    ///
    /// # Safety
    /// `x` is valid for reading at these sizes and strides.
    unsafe fn columns(
        &self,
        x: *const Self::In,
        rows: usize,
        row_stride: isize,
        cols: usize,
        col_stride: isize,
        first: usize,
        output: usize,
        output_stride: usize,
        acc: &mut [MaybeUninit<Self::Acc>; WIDTH],
    );
    /// Folds two partial results, the first made of earlier terms.
    fn merge(&self, a: Self::Acc, b: Self::Acc) -> Self::Acc;
    /// Stores a result.
    ///
    /// # Safety
    /// There is room for result number `output`.
    unsafe fn finish(&self, acc: Self::Acc, output: usize);
}

/// Merges partial results in a binary tree, as they come.
pub(crate) struct Pairwise<A> {
    levels: [MaybeUninit<A>; 48],
    depth: usize,
    count: usize,
}

impl<A: Copy> Pairwise<A> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Pairwise { levels: [const { MaybeUninit::uninit() }; 48], depth: 0, count: 0 }
    }

    /// Adds a partial result that follows all earlier ones.
    #[inline(always)]
    pub(crate) fn push(&mut self, mut partial: A, merge: impl Fn(A, A) -> A) {
        self.count += 1;
        for _ in 0..self.count.trailing_zeros() {
            self.depth -= 1;
            // SAFETY: levels below `depth` are initialised; a count of k has passed popcount(k) levels.
            partial = merge(unsafe { self.levels[self.depth].assume_init() }, partial);
        }
        self.levels[self.depth].write(partial);
        self.depth += 1;
    }

    /// The whole, if anything was pushed.
    #[inline(always)]
    pub(crate) fn finish(mut self, merge: impl Fn(A, A) -> A) -> Option<A> {
        let mut whole = None;
        while self.depth > 0 {
            self.depth -= 1;
            // SAFETY: levels below `depth` are initialised.
            let earlier = unsafe { self.levels[self.depth].assume_init() };
            whole = Some(match whole {
                None => earlier,
                Some(later) => merge(earlier, later),
            });
        }
        whole
    }
}

/// A raw pointer for the pool's threads.
#[derive(Clone, Copy)]
struct Input<A>(*const A);
// SAFETY: the tasks only read, and the caller of `reduce` keeps the memory valid until they are done.
unsafe impl<A> Sync for Input<A> {}
impl<A> Input<A> {
    fn at(&self, offset: isize) -> *const A {
        self.0.wrapping_offset(offset)
    }
}

/// Room for partial results that tasks fill in, each its own part.
struct Partials<A>(*mut MaybeUninit<A>);
// SAFETY: tasks write disjoint entries.
unsafe impl<A: Send> Sync for Partials<A> {}
impl<A> Partials<A> {
    /// # Safety
    /// `index` is inside, and no other task touches it.
    unsafe fn set(&self, index: usize, value: A) {
        // SAFETY: the caller's promise.
        unsafe { (*self.0.add(index)).write(value) };
    }
}

/// Reduces `x`, whose terms number at least one per result.
///
/// `in_order` keeps the reduced dimensions as they are, for kernels that look at positions; otherwise the one with the
/// smallest stride is made the innermost.
///
/// # Safety
/// `x` is valid for reading at every element of the layout, and the kernel can store every result.
pub(super) unsafe fn reduce<K: Kernel>(kernel: &K, layout: &Reduction, x: *const K::In, in_order: bool) {
    if layout.outputs() == 0 {
        return;
    }
    debug_assert!(layout.terms() > 0);
    let reduced = if in_order { layout.reduced } else { layout.reduced.sorted() };
    let kept = layout.kept.sorted();
    let (run, run_stride, _) = reduced.inner();
    let (cols, col_stride, _) = kept.inner();
    let across = cols > 1
        && (col_stride.unsigned_abs() < run_stride.unsigned_abs()
            || layout.terms() < SHORT_RUN && cols >= 16
            || run == 1);
    let x = Input(x);
    // SAFETY: the caller's promise.
    unsafe {
        if across {
            reduce_across(kernel, kept, reduced, x);
        } else {
            reduce_along(kernel, layout, reduced, x);
        }
    }
}

/// Results one by one, each folded along its runs.
///
/// # Safety
/// As [`reduce`].
unsafe fn reduce_along<K: Kernel>(kernel: &K, layout: &Reduction, reduced: Dims, x: Input<K::In>) {
    let (terms, outputs) = (layout.terms(), layout.outputs());
    let (run, stride, _) = reduced.inner();
    let outer = reduced.outer();
    let merge = |a, b| kernel.merge(a, b);
    // The terms of a result in segments: parts of one run, or several whole runs.
    let pieces = run.div_ceil(SEGMENT);
    let piece = run.div_ceil(pieces);
    // SAFETY (of the closure's body): piece `s` lies inside the terms of the result.
    let fold = |base: isize, output: usize, pieces_of: std::ops::Range<usize>| {
        let mut tree = Pairwise::new();
        let count = pieces_of.len();
        for s in pieces_of {
            let (offset, _) = outer.offsets(s / pieces);
            let start = (s % pieces) * piece;
            let n = piece.min(run - start);
            let first = (s / pieces) * run + start;
            // SAFETY: the caller's promise: these are elements of the input.
            let part = unsafe { kernel.run(x.at(base + offset + start as isize * stride), n, stride, first, output) };
            if count == 1 {
                return part;
            }
            tree.push(part, merge);
        }
        tree.finish(merge).expect("a task has at least one piece")
    };
    let all_pieces = outer.len() * pieces;
    let per_task = (SEGMENT / piece).max(1);
    if outputs >= MANY || all_pieces <= per_task {
        let results = |range: std::ops::Range<usize>| {
            for output in range {
                let (base, _) = layout.kept.offsets(output);
                // SAFETY: `output` is one of the results.
                unsafe { kernel.finish(fold(base, output, 0..all_pieces), output) };
            }
        };
        if outputs * terms <= GRAIN {
            results(0..outputs);
        } else {
            pool::chunked(outputs, (GRAIN / terms).max(1), results);
        }
        return;
    }
    let tasks = all_pieces.div_ceil(per_task);
    let mut partials: Vec<MaybeUninit<K::Acc>> = vec![MaybeUninit::uninit(); outputs * tasks];
    let slots = Partials(partials.as_mut_ptr());
    pool::parallel_for(outputs * tasks, &|i| {
        let (output, task) = (i / tasks, i % tasks);
        let (base, _) = layout.kept.offsets(output);
        let end = ((task + 1) * per_task).min(all_pieces);
        // SAFETY: every task has its own slot.
        unsafe { slots.set(i, fold(base, output, task * per_task..end)) };
    });
    for output in 0..outputs {
        let mut tree = Pairwise::new();
        for partial in &partials[output * tasks..(output + 1) * tasks] {
            // SAFETY: all tasks have run.
            tree.push(unsafe { partial.assume_init() }, merge);
        }
        // SAFETY: `output` is one of the results.
        unsafe { kernel.finish(tree.finish(merge).expect("at least one task"), output) };
    }
}

/// Partial results of `WIDTH` columns.
type Columns<A> = [MaybeUninit<A>; WIDTH];
/// The same, with the number of columns in use and the first one's result.
type Band<A> = (Columns<A>, usize, usize);

/// Results side by side, each folded across the runs of kept elements.
///
/// # Safety
/// As [`reduce`].
unsafe fn reduce_across<K: Kernel>(kernel: &K, kept: Dims, reduced: Dims, x: Input<K::In>) {
    let (cols, col_stride, out_stride) = kept.inner();
    let kept_outer = kept.outer();
    let (run, row_stride, _) = reduced.inner();
    let reduced_outer = reduced.outer();
    let rows = reduced.len();
    let bands = cols.div_ceil(WIDTH);
    let items = kept_outer.len() * bands;
    let merge_columns = |a: Columns<K::Acc>, b: Columns<K::Acc>, n: usize| {
        let mut merged = a;
        for c in 0..n {
            // SAFETY: the first n columns of both are initialised.
            merged[c].write(unsafe { kernel.merge(a[c].assume_init(), b[c].assume_init()) });
        }
        merged
    };
    // Folds the rows of one item, from `begin` to `end`.
    let fold = |item: usize, begin: usize, end: usize| -> Band<K::Acc> {
        let (base, out_base) = kept_outer.offsets(item / bands);
        let first_col = (item % bands) * WIDTH;
        let n = WIDTH.min(cols - first_col);
        let output = out_base + first_col * out_stride;
        let base = base + first_col as isize * col_stride;
        let mut tree = Pairwise::new();
        let merge = |a, b| merge_columns(a, b, n);
        let mut row = begin;
        while row < end {
            // Up to ROWS rows, not beyond the end of their run.
            let (offset, _) = reduced_outer.offsets(row / run);
            let start = row % run;
            let count = ROWS.min(run - start).min(end - row);
            let mut acc: Columns<K::Acc> = [const { MaybeUninit::uninit() }; WIDTH];
            let from = x.at(base + offset + start as isize * row_stride);
            // SAFETY: the caller's promise: these are elements of the input.
            unsafe { kernel.columns(from, count, row_stride, n, col_stride, row, output, out_stride, &mut acc) };
            if count == end - begin {
                return (acc, n, output);
            }
            tree.push(acc, merge);
            row += count;
        }
        (tree.finish(merge).expect("a task has at least one row"), n, output)
    };
    let store = |(acc, n, output): Band<K::Acc>| {
        for (c, value) in acc.iter().enumerate().take(n) {
            // SAFETY: the first n columns are initialised and belong to these results.
            unsafe { kernel.finish(value.assume_init(), output + c * out_stride) };
        }
    };
    let width = cols.min(WIDTH);
    let rows_per_task = (SEGMENT / width).max(ROWS);
    if items >= MANY || rows <= rows_per_task {
        let results = |range: std::ops::Range<usize>| range.for_each(|item| store(fold(item, 0, rows)));
        if items * rows * width <= GRAIN {
            results(0..items);
        } else {
            pool::chunked(items, (GRAIN / (rows * width)).max(1), results);
        }
        return;
    }
    let tasks = rows.div_ceil(rows_per_task);
    let mut partials: Vec<MaybeUninit<Band<K::Acc>>> = vec![MaybeUninit::uninit(); items * tasks];
    let slots = Partials(partials.as_mut_ptr());
    pool::parallel_for(items * tasks, &|i| {
        let (item, task) = (i / tasks, i % tasks);
        let end = ((task + 1) * rows_per_task).min(rows);
        // SAFETY: every task has its own slot.
        unsafe { slots.set(i, fold(item, task * rows_per_task, end)) };
    });
    for item in 0..items {
        let merge = |a: Band<K::Acc>, b: Band<K::Acc>| (merge_columns(a.0, b.0, a.1), a.1, a.2);
        let mut tree = Pairwise::new();
        for partial in &partials[item * tasks..(item + 1) * tasks] {
            // SAFETY: all tasks have run.
            tree.push(unsafe { partial.assume_init() }, merge);
        }
        store(tree.finish(merge).expect("at least one task"));
    }
}
