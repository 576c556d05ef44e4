//! The second way around the register tiles: for products with few rows, many columns, and a B that has to be packed.
//!
//! All of A is packed once. Then every task takes some columns through the whole depth: it packs their part of B into
//! memory of its own and multiplies it while it is still in the cache. Sums have the same order as in the first way.

use super::driver::{Block, Product, Run, Scratch, Target, depth_blocks};
use super::pack::Operand;
use crate::pool;
use crate::simd::Float;

/// Bytes of B a task packs at a time.
const PACK_BYTES: usize = 128 << 10;
/// Elements of A that are packed sooner than a sleeping thread wakes up.
const LITTLE: usize = 1 << 15;
/// Multiply-adds worth a task.
const TASK_WORK: usize = 1 << 18;

/// As [`super::driver::product`].
///
/// # Safety
/// As for [`super::driver::product`].
pub(crate) unsafe fn product_by_columns<T, A, B, C>(args: &Product<'_, T, A, B, C>)
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
    let run = Run::packing_both(args);
    let (blocks, depth_most) = depth_blocks::<T>(k);
    let depths_of = |index: usize| (index * k / blocks, (index + 1) * k / blocks);
    let packed_a = Scratch::<T>::new(m * k);
    let pack = |job: usize| {
        let ((depth, end), panel) = (depths_of(job / run.panels), job % run.panels);
        let (row, rows) = run.rows_of(panel);
        let to = packed_a.at(m * depth + row * (end - depth));
        // SAFETY: rows and depths inside A; every panel of every block has its own place.
        unsafe { args.a.pack(row, rows, depth, end - depth, rows, to) };
    };
    // With k = 0 there is nothing to pack, and operands need not have an answer.
    let jobs = if k == 0 { 0 } else { blocks * run.panels };
    if m * k < LITTLE {
        (0..jobs).for_each(pack);
    } else {
        run.share(jobs, &pack);
    }

    let width = 2 * run.kernels.lanes;
    let panels = n.div_ceil(width);
    let at_once = (PACK_BYTES / (width * depth_most.max(1) * size_of::<T>())).max(1);
    let panel_work = width * m * k.max(1);
    let group = (TASK_WORK / panel_work).min(panels / (4 * pool::num_threads())).max(1);
    run.share(panels.div_ceil(group), &|task| {
        let at_once = at_once.min(group);
        let packed_b = Scratch::<T>::new(at_once * width * depth_most);
        let end = n.min((task + 1) * group * width);
        for column in (task * group * width..end).step_by(at_once * width) {
            let columns_end = end.min(column + at_once * width);
            for index in 0..blocks {
                let (depth, depth_end) = depths_of(index);
                let depths = depth_end - depth;
                for first in (column..if k == 0 { column } else { columns_end }).step_by(width) {
                    let count = width.min(columns_end - first);
                    let to = packed_b.at((first - column) * depths);
                    // SAFETY: columns and depths inside B; the memory is this task's.
                    unsafe { args.b.pack(first, count, depth, depths, run.panel_width(count), to) };
                }
                let block = Block {
                    depth,
                    depths,
                    column,
                    columns_end,
                    panel: 0,
                    a: Some(packed_a.at(m * depth).cast_const()),
                    b: Some(packed_b.at(0).cast_const()),
                };
                // SAFETY: the block is packed as it says; tasks have disjoint columns.
                unsafe { run.tiles(&block, 0..run.panels, column..columns_end) };
            }
        }
    });
}
