//! The clock that the benchmarks read, and memory such as tensors have.

use std::sync::OnceLock;
use std::time::Instant;

/// Seconds: of this thread's own work when it works alone, so that a busy neighbour does not count; else of the clock.
pub fn clock(threads: usize) -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    #[cfg(unix)]
    if threads == 1 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` outlives the call.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
        return time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9;
    }
    let _ = threads;
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// `n` numbers in memory from the tensor allocator, never given back.
pub fn numbers(n: usize, value: impl Fn(usize) -> f32) -> &'static mut [f32] {
    let block = pyneuro_kernels::alloc::alloc(4 * n).expect("memory for the benchmark").cast::<f32>();
    for i in 0..n {
        // SAFETY: below the `n` numbers allocated.
        unsafe { block.add(i).write(value(i)) };
    }
    // SAFETY: all of them were written above, and the block is never freed.
    unsafe { std::slice::from_raw_parts_mut(block.as_ptr(), n) }
}
