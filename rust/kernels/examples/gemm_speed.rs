//! How close the matrix product comes to the machine's multiply-add peak of the same minute.
//!
//! `cargo run --release -p pyneuro-kernels --example gemm_speed [M K N ...]`
#![allow(clippy::print_stdout)] // its purpose

mod clock;

use clock::{clock, numbers};
use pyneuro_kernels::gemm::{Epilogue, Gemm, bandwidth, fma_peak, gemm};
use pyneuro_kernels::pool;

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let shapes: Vec<[usize; 3]> = if sizes.is_empty() {
        vec![
            [8, 8, 8],
            [32, 32, 32],
            [64, 64, 64],
            [128, 128, 128],
            [256, 256, 256],
            [512, 512, 512],
            [768, 768, 768],
            [1024, 1024, 1024],
            [64, 512, 512],
            [64, 784, 512],
            [12, 512, 512],
            [4, 512, 512],
            [1, 4096, 4096],
            [64, 128, 10],
            [512, 64, 784],
        ]
    } else {
        sizes.chunks_exact(3).map(|shape| [shape[0], shape[1], shape[2]]).collect()
    };
    let threads = pool::num_threads();
    println!("memory {:.1} GB/s on one core", bandwidth().unwrap_or(f64::NAN) / 1e9);
    println!("{:>18} {:>22} {:>22} {:>22}", "M x K x N", "NN", "NT", "TN");
    for [m, k, n] in shapes {
        for used in [1, threads] {
            pool::set_num_threads(used);
            let cells = [(false, false), (false, true), (true, false)].map(|(ta, tb)| measure(m, n, k, ta, tb, used));
            println!("{:>18} {} {} {}  {used} thread(s)", format!("{m}x{k}x{n}"), cells[0], cells[1], cells[2]);
        }
    }
}

/// "time, GF/s, share of the peak" of one shape, best of several runs.
fn measure(m: usize, n: usize, k: usize, ta: bool, tb: bool, threads: usize) -> String {
    let a = numbers(m * k, |i| (i % 13) as f32 - 6.0);
    let b = numbers(k * n, |i| (i % 11) as f32 - 5.0);
    let c = numbers(m * n, |_| 0.0);
    let args = Gemm {
        m,
        n,
        k,
        a: a.as_ptr(),
        a_row: if ta { 1 } else { k as isize },
        a_col: if ta { m as isize } else { 1 },
        b: b.as_ptr(),
        b_row: if tb { 1 } else { n as isize },
        b_col: if tb { k as isize } else { 1 },
        c: c.as_mut_ptr(),
        ldc: n as isize,
        accumulate: false,
        epilogue: Epilogue::NONE,
    };
    let flops = 2.0 * (m * n * k) as f64;
    let repeats = (1e8 / flops).clamp(1.0, 100_000.0) as usize;
    let mut best = f64::INFINITY;
    let mut peak = fma_peak();
    for _ in 0..9 {
        let start = clock(threads);
        for _ in 0..repeats {
            // SAFETY: the slices hold the matrices described.
            unsafe { gemm(&args) };
        }
        best = best.min((clock(threads) - start) / repeats as f64);
    }
    peak = peak.max(fma_peak());
    let rate = flops / best / 1e9;
    format!("{:8.2}us {rate:5.0} {:4.0}%", best * 1e6, 100.0 * rate / (peak * threads as f64))
}
