use super::*;
use crate::isa::test_override::for_each_isa;
use crate::pool::tests::with_threads;
use crate::simd::Float;

/// A reproducible stream; tensors are filled with small integers, so that results are exact and can be compared so.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
    fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() % (high - low + 1) as u64) as usize
    }
    fn fill<T: Float>(&mut self, n: usize) -> Vec<T> {
        (0..n).map(|_| T::of_f64((self.next() % 7) as f64 - 3.0)).collect()
    }
}

/// Calls `f(input index, weight index, output index)` for every product in the convolution: the definition.
fn each_term(conv: &Conv2d, mut f: impl FnMut(usize, usize, usize)) {
    let (oh, ow) = conv.output();
    let (cin, cout) = (conv.group_in(), conv.group_out());
    for n in 0..conv.batch {
        for o in 0..conv.out_channels {
            for y in 0..oh {
                for x in 0..ow {
                    for c in 0..cin {
                        for i in 0..conv.kernel.0 {
                            for j in 0..conv.kernel.1 {
                                let iy = (y * conv.stride.0 + i * conv.dilation.0).wrapping_sub(conv.padding.0);
                                let ix = (x * conv.stride.1 + j * conv.dilation.1).wrapping_sub(conv.padding.1);
                                if iy < conv.input.0 && ix < conv.input.1 {
                                    let channel = n * conv.in_channels + o / cout * cin + c;
                                    f(
                                        (channel * conv.input.0 + iy) * conv.input.1 + ix,
                                        ((o * cin + c) * conv.kernel.0 + i) * conv.kernel.1 + j,
                                        ((n * conv.out_channels + o) * oh + y) * ow + x,
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn same<T: Float>(what: &str, conv: &Conv2d, got: &[T], want: &[T]) {
    for (index, (g, w)) in got.iter().zip(want).enumerate() {
        assert!(g == w, "{what} {conv:?} {:?}: element {index} is {g}, expected {w}", crate::isa::isa());
    }
}

/// Checks all three computations against the definition, every element of the results.
fn check<T: Float>(conv: &Conv2d, seed: u64) {
    let mut numbers = Numbers(seed);
    let (in_plane, out_plane) = conv.planes();
    let x = numbers.fill::<T>(conv.batch * conv.in_channels * in_plane);
    let w = numbers.fill::<T>(conv.out_channels * conv.group_in() * conv.taps());
    let bias = numbers.fill::<T>(conv.out_channels);
    let dy = numbers.fill::<T>(conv.batch * conv.out_channels * out_plane);
    let with_bias = numbers.next().is_multiple_of(2);

    let mut y = vec![T::NAN; dy.len()];
    let mut want: Vec<T> = (0..y.len())
        .map(|index| if with_bias { bias[index / out_plane % conv.out_channels] } else { T::default() })
        .collect();
    each_term(conv, |ix, iw, iy| want[iy] = want[iy] + x[ix] * w[iw]);
    let bias = if with_bias { bias.as_ptr() } else { std::ptr::null() };
    // SAFETY: the vectors have the sizes `conv` describes.
    unsafe { forward(conv, x.as_ptr(), w.as_ptr(), bias, y.as_mut_ptr()) };
    same("forward", conv, &y, &want);

    let mut dx = vec![T::NAN; x.len()];
    let mut want = vec![T::default(); x.len()];
    each_term(conv, |ix, iw, iy| want[ix] = want[ix] + dy[iy] * w[iw]);
    // SAFETY: as above.
    unsafe { backward_input(conv, dy.as_ptr(), w.as_ptr(), dx.as_mut_ptr()) };
    same("backward_input", conv, &dx, &want);

    let mut dw = vec![T::NAN; w.len()];
    let mut want = vec![T::default(); w.len()];
    each_term(conv, |ix, iw, iy| want[iw] = want[iw] + dy[iy] * x[ix]);
    // SAFETY: as above.
    unsafe { backward_weight(conv, x.as_ptr(), dy.as_ptr(), dw.as_mut_ptr()) };
    same("backward_weight", conv, &dw, &want);
}

fn conv(batch: usize, channels: (usize, usize), input: (usize, usize), kernel: (usize, usize)) -> Conv2d {
    Conv2d {
        batch,
        in_channels: channels.0,
        input,
        out_channels: channels.1,
        kernel,
        stride: (1, 1),
        padding: (0, 0),
        dilation: (1, 1),
        groups: 1,
    }
}

#[test]
fn shapes_of_known_networks() {
    let cases = [
        conv(3, (1, 6), (28, 28), (5, 5)),
        Conv2d { padding: (2, 2), ..conv(2, (1, 6), (28, 28), (5, 5)) },
        conv(3, (6, 16), (12, 12), (5, 5)),
        Conv2d { padding: (1, 1), ..conv(2, (16, 20), (8, 8), (3, 3)) },
        Conv2d { padding: (1, 1), stride: (2, 2), ..conv(2, (16, 20), (9, 8), (3, 3)) },
        Conv2d { padding: (1, 1), stride: (2, 2), ..conv(2, (8, 5), (8, 8), (4, 4)) },
        conv(2, (19, 17), (7, 7), (1, 1)),
        Conv2d { stride: (2, 2), ..conv(2, (19, 17), (7, 7), (1, 1)) },
        Conv2d { padding: (3, 3), stride: (2, 2), ..conv(1, (3, 8), (30, 31), (7, 7)) },
        Conv2d { padding: (1, 1), groups: 6, ..conv(2, (6, 6), (9, 10), (3, 3)) },
        Conv2d { padding: (0, 2), ..conv(2, (5, 7), (1, 40), (1, 5)) },
        conv(2, (70, 40), (5, 5), (3, 3)),
    ];
    for_each_isa(|_| {
        for (seed, case) in cases.iter().enumerate() {
            check::<f32>(case, seed as u64);
            check::<f64>(case, seed as u64);
        }
    });
}

#[test]
fn shapes_for_winograd() {
    // Kernel elements are halved and quartered on the way, which is exact too.
    let cases = [
        Conv2d { padding: (1, 1), ..conv(2, (24, 33), (16, 16), (3, 3)) },
        Conv2d { padding: (1, 1), ..conv(17, (25, 24), (4, 4), (3, 3)) },
        conv(3, (30, 26), (11, 45), (3, 3)),
        Conv2d { padding: (0, 2), ..conv(2, (24, 24), (14, 35), (3, 3)) },
        Conv2d { padding: (3, 1), ..conv(2, (24, 40), (9, 21), (3, 3)) },
    ];
    for_each_isa(|_| {
        for (seed, case) in cases.iter().enumerate() {
            check::<f32>(case, seed as u64);
        }
    });
}

#[test]
fn nothing_to_compute() {
    for case in [
        conv(0, (2, 3), (5, 5), (3, 3)),
        conv(2, (2, 3), (2, 5), (3, 3)), // the kernel does not fit
        conv(2, (0, 3), (5, 5), (3, 3)),
        conv(2, (3, 0), (5, 5), (3, 3)),
        conv(2, (2, 3), (0, 5), (1, 1)),
    ] {
        check::<f32>(&case, 1);
    }
}

#[test]
fn random_configurations() {
    for_each_isa(|_| {
        let mut numbers = Numbers(11);
        for seed in 0..250 {
            let groups = numbers.between(1, 3);
            let case = Conv2d {
                batch: numbers.between(1, 4),
                in_channels: groups * numbers.between(1, 5),
                input: (numbers.between(1, 12), numbers.between(1, 20)),
                out_channels: groups * numbers.between(1, 9),
                kernel: (numbers.between(1, 4), numbers.between(1, 5)),
                stride: (numbers.between(1, 3), numbers.between(1, 3)),
                padding: (numbers.between(0, 4), numbers.between(0, 3)),
                dilation: (numbers.between(1, 3), numbers.between(1, 2)),
                groups,
            };
            check::<f32>(&case, seed);
            check::<f64>(&case, seed);
        }
    });
}

fn fractions(n: usize, seed: u64) -> Vec<f32> {
    let mut numbers = Numbers(seed);
    (0..n).map(|_| numbers.next() as f32 / u32::MAX as f32 - 0.25).collect()
}

#[test]
fn results_do_not_depend_on_threads() {
    let cases = [
        Conv2d { padding: (1, 1), ..conv(20, (6, 16), (14, 14), (5, 5)) },
        Conv2d { padding: (1, 1), ..conv(9, (32, 40), (14, 14), (3, 3)) },
        Conv2d { padding: (1, 1), stride: (2, 2), groups: 2, ..conv(9, (8, 40), (14, 14), (3, 3)) },
    ];
    for case in cases {
        let (in_plane, out_plane) = case.planes();
        let x = fractions(case.batch * case.in_channels * in_plane, 5);
        let w = fractions(case.out_channels * case.group_in() * case.taps(), 6);
        let dy = fractions(case.batch * case.out_channels * out_plane, 7);
        let results: Vec<_> = [1, 2, 5]
            .into_iter()
            .map(|threads| {
                with_threads(threads, || {
                    let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
                    // SAFETY: the vectors have the sizes `case` describes.
                    unsafe {
                        forward(&case, x.as_ptr(), w.as_ptr(), std::ptr::null(), y.as_mut_ptr());
                        backward_input(&case, dy.as_ptr(), w.as_ptr(), dx.as_mut_ptr());
                        backward_weight(&case, x.as_ptr(), dy.as_ptr(), dw.as_mut_ptr());
                    }
                    (y, dx, dw)
                })
            })
            .collect();
        assert!(results.iter().all(|result| *result == results[0]), "{case:?}");
    }
}

#[test]
fn winograd_is_about_as_accurate_as_the_sum() {
    let case = Conv2d { padding: (1, 1), ..conv(2, (64, 64), (16, 16), (3, 3)) };
    let (in_plane, out_plane) = case.planes();
    let x = fractions(case.batch * case.in_channels * in_plane, 1);
    let w = fractions(case.out_channels * case.in_channels * 9, 2);
    let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&value| f64::from(value)).collect() };
    let mut exact = vec![0.0f64; case.batch * case.out_channels * out_plane];
    // SAFETY: the vectors have the sizes `case` describes.
    unsafe { forward(&case, wide(&x).as_ptr(), wide(&w).as_ptr(), std::ptr::null(), exact.as_mut_ptr()) };
    let mean = exact.iter().map(|value| value.abs()).sum::<f64>() / exact.len() as f64;
    for_each_isa(|_| {
        let mut y = vec![0.0f32; exact.len()];
        // SAFETY: as above.
        unsafe { forward(&case, x.as_ptr(), w.as_ptr(), std::ptr::null(), y.as_mut_ptr()) };
        let worst = y.iter().zip(&exact).map(|(&got, &want)| (f64::from(got) - want).abs()).fold(0.0, f64::max);
        assert!(worst <= 5e-6 * mean, "error {worst} for results of about {mean}");
    });
}
