//! How close convolutions come to the machine's multiply-add peak of the same minute.
//!
//! `cargo run --release -p pyneuro-kernels --example conv_speed [threads [part of the name of a layer]]`
#![allow(clippy::print_stdout)] // its purpose

mod clock;

use clock::{clock, numbers};
use pyneuro_kernels::conv::{Conv2d, backward_input, backward_weight, forward};
use pyneuro_kernels::gemm::fma_peak;
use pyneuro_kernels::pool;

fn main() {
    let threads = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or_else(pool::num_threads);
    pool::set_num_threads(threads);
    // Name, batch, input and output channels, size, kernel, stride, padding, groups.
    let layers = [
        ("LeNet 1>6 5x5", 64, 1, 6, 28, 5, 1, 0, 1),
        ("LeNet 6>16 5x5", 64, 6, 16, 12, 5, 1, 0, 1),
        ("LeNet 1>6 5x5 p2", 100, 1, 6, 28, 5, 1, 2, 1),
        ("digits 1>16 3x3 p1", 64, 1, 16, 8, 3, 1, 1, 1),
        ("digits 16>32 3x3 p1", 64, 16, 32, 8, 3, 1, 1, 1),
        ("MNIST 1>32 3x3", 64, 1, 32, 28, 3, 1, 0, 1),
        ("MNIST 32>64 3x3", 64, 32, 64, 26, 3, 1, 0, 1),
        ("3x3 3>64", 16, 3, 64, 32, 3, 1, 1, 1),
        ("3x3 C64", 16, 64, 64, 32, 3, 1, 1, 1),
        ("3x3 C128", 16, 128, 128, 16, 3, 1, 1, 1),
        ("3x3 C256", 16, 256, 256, 8, 3, 1, 1, 1),
        ("3x3 C512", 16, 512, 512, 4, 3, 1, 1, 1),
        ("3x3 s2 64>128", 16, 64, 128, 32, 3, 2, 1, 1),
        ("1x1 s2 64>128", 16, 64, 128, 32, 1, 2, 0, 1),
        ("4x4 s2 3>64", 16, 3, 64, 32, 4, 2, 1, 1),
        ("depthwise 3x3 C64", 16, 64, 64, 32, 3, 1, 1, 64),
    ];
    println!(
        "{:>20} {:>24} {:>24} {:>24}  {threads} thread(s)",
        "layer", "forward", "input gradient", "weight gradient"
    );
    let wanted = std::env::args().nth(2).unwrap_or_default();
    for (name, batch, cin, cout, size, kernel, stride, padding, groups) in layers {
        if !name.contains(&wanted) {
            continue;
        }
        let conv = Conv2d {
            batch,
            in_channels: cin,
            input: (size, size),
            out_channels: cout,
            kernel: (kernel, kernel),
            stride: (stride, stride),
            padding: (padding, padding),
            dilation: (1, 1),
            groups,
        };
        let outputs = batch * cout * conv.output().0 * conv.output().1;
        let weights = cout * cin / groups * kernel * kernel;
        let inputs = batch * cin * size * size;
        let x = numbers(inputs, |_| 0.5);
        let w = numbers(weights, |_| 0.25);
        let dy = numbers(outputs, |_| 0.125);
        let (y, dx, dw) = (numbers(outputs, |_| 0.0), numbers(inputs, |_| 0.0), numbers(weights, |_| 0.0));
        let flops = 2.0 * (outputs * (cin / groups) * kernel * kernel) as f64;
        let peak = fma_peak();
        // SAFETY: the slices have the sizes `conv` describes.
        let cells = unsafe {
            [
                time(threads, || forward(&conv, x.as_ptr(), w.as_ptr(), std::ptr::null(), y.as_mut_ptr())),
                time(threads, || backward_input(&conv, dy.as_ptr(), w.as_ptr(), dx.as_mut_ptr())),
                time(threads, || backward_weight(&conv, x.as_ptr(), dy.as_ptr(), dw.as_mut_ptr())),
            ]
        };
        let cells = cells.map(|seconds| {
            let rate = flops / seconds / 1e9;
            format!("{:8.3} ms {rate:5.0} {:4.0}%", seconds * 1e3, 100.0 * rate / (peak * threads as f64))
        });
        println!("{name:>20} {:>24} {:>24} {:>24}", cells[0], cells[1], cells[2]);
    }
}

/// Seconds of one call, best of several.
fn time(threads: usize, mut call: impl FnMut()) -> f64 {
    let first = clock(threads);
    let mut best = f64::INFINITY;
    while clock(threads) - first < 0.12 {
        let start = clock(threads);
        call();
        best = best.min(clock(threads) - start);
    }
    best
}
