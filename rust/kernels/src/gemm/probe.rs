//! What the machine can do at this moment. Virtual machines vary from minute to minute, so benchmarks print these
//! beside their results and report ratios.

use std::hint::black_box;
use std::time::Instant;

use crate::simd::simd_fn;

/// Fused multiply-adds of one core now, in GF/s of f32 (two operations each), by the instruction set in use.
///
/// Takes a few milliseconds.
pub fn fma_peak() -> f64 {
    const ROUNDS: usize = 100_000;
    let mut best = f64::INFINITY;
    let mut operations = 0;
    for _ in 0..5 {
        let start = Instant::now();
        // SAFETY: no pointers are involved.
        let (sum, count) = unsafe { spin::<f32>(black_box(ROUNDS)) };
        black_box(sum);
        operations = count;
        best = best.min(start.elapsed().as_secs_f64());
    }
    operations as f64 / best / 1e9
}

simd_fn! {
    /// Runs independent chains of multiply-adds; returns something that depends on them all, and their number times 2.
    ///
    /// # Safety
    /// None is needed.
    unsafe fn spin<T: Float, V>(rounds: usize) -> (T, usize) {
        const CHAINS: usize = 12; // more than latency times units, less than the registers of any instruction set
        let mut sums = [V::zero(); CHAINS];
        let (x, y) = (V::from_f64(1e-3), V::from_f64(black_box(0.5)));
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = x.mul_add(y, *sum);
            }
        }
        let total = sums.iter().fold(V::zero(), |a, &b| a + b);
        (total.reduce_add(), 2 * rounds * CHAINS * V::LANES)
    }
}

/// Bytes per second one core reads from memory now, over a block larger than the caches.
///
/// Takes about 30 ms; `None` if the memory cannot be had.
pub fn bandwidth() -> Option<f64> {
    const BYTES: usize = 128 << 20;
    let block = crate::alloc::alloc(BYTES)?;
    // SAFETY: the block has this size; writing makes its pages real.
    unsafe { block.as_ptr().write_bytes(1, BYTES) };
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        // SAFETY: the block holds this many numbers, and all of it has been written.
        black_box(unsafe { read::<f32>(block.as_ptr().cast(), BYTES / size_of::<f32>()) });
        best = best.min(start.elapsed().as_secs_f64());
    }
    // SAFETY: allocated above with this size.
    unsafe { crate::alloc::free(block, BYTES) };
    Some(BYTES as f64 / best)
}

simd_fn! {
    /// # Safety
    /// `n` numbers are readable at `p`; `n` is a multiple of four registers.
    unsafe fn read<T: Float, V>(p: *const T, n: usize) -> T {
        let mut sums = [V::zero(); 4];
        for i in (0..n).step_by(4 * V::LANES) {
            for (j, sum) in sums.iter_mut().enumerate() {
                // SAFETY: below n.
                *sum = *sum + unsafe { V::load(p.add(i + j * V::LANES)) };
            }
        }
        sums.iter().fold(V::zero(), |a, &b| a + b).reduce_add()
    }
}
