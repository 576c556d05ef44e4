use super::*;
use crate::isa::test_override::for_each_isa;

struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
    fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() % (high - low + 1) as u64) as usize
    }
}

/// The elements of window (y, x): positions in the plane, in order.
fn window(pool: &Pool2d, y: usize, x: usize) -> Vec<usize> {
    let mut positions = Vec::new();
    for i in 0..pool.kernel.0 {
        for j in 0..pool.kernel.1 {
            let iy = (y * pool.stride.0 + i * pool.dilation.0).wrapping_sub(pool.padding.0);
            let ix = (x * pool.stride.1 + j * pool.dilation.1).wrapping_sub(pool.padding.1);
            if iy < pool.input.0 && ix < pool.input.1 {
                positions.push(iy * pool.input.1 + ix);
            }
        }
    }
    positions
}

fn outputs(pool: &Pool2d) -> impl Iterator<Item = (usize, usize, usize)> {
    let Pool2d { planes, output, .. } = *pool;
    (0..planes).flat_map(move |p| (0..output.0).flat_map(move |y| (0..output.1).map(move |x| (p, y, x))))
}

/// A random pooling such that every window touches the input, as the shape rule of the op guarantees.
fn random(numbers: &mut Numbers, dilated: bool) -> Pool2d {
    let mut one = || {
        let kernel = numbers.between(1, 4);
        let dilation = if dilated { numbers.between(1, 2) } else { 1 };
        let (stride, padding) = (numbers.between(1, 3), numbers.between(0, kernel / 2));
        let reach = dilation * (kernel - 1) + 1;
        let input = numbers.between(reach.saturating_sub(2 * padding).max(1), reach + 40);
        let room = input + 2 * padding - reach;
        let mut output = room / stride + 1;
        // Ceil mode: one more window if it starts inside the input or its left border.
        if numbers.between(0, 1) == 1 && !room.is_multiple_of(stride) && output * stride < input + padding {
            output += 1;
        }
        (input, output, kernel, stride, padding, dilation)
    };
    let (a, b) = (one(), one());
    Pool2d {
        planes: 3,
        input: (a.0, b.0),
        output: (a.1, b.1),
        kernel: (a.2, b.2),
        stride: (a.3, b.3),
        padding: (a.4, b.4),
        dilation: (a.5, b.5),
    }
}

fn check_max<T: Float>(pool: &Pool2d, numbers: &mut Numbers, nan: bool) {
    let (from, to) = pool.sizes();
    let x: Vec<T> = (0..pool.planes * from)
        .map(|_| match numbers.between(0, 19) {
            0 if nan => T::NAN,
            1 => T::NEG_INFINITY,
            value => T::of_f64(value as f64 / 2.0),
        })
        .collect();
    let mut y = vec![T::default(); pool.planes * to];
    let mut indices = vec![-1i64; y.len()];
    // SAFETY: the vectors have the sizes `pool` describes.
    unsafe { max_pool2d(pool, x.as_ptr(), y.as_mut_ptr(), indices.as_mut_ptr()) };
    let mut want_dx = vec![T::default(); x.len()];
    for (at, (p, oy, ox)) in outputs(pool).enumerate() {
        let positions = window(pool, oy, ox);
        let mut best = positions[0];
        let mut greatest = T::NEG_INFINITY;
        for &position in &positions {
            let value = x[p * from + position];
            if value > greatest || value.is_nan() {
                (best, greatest) = (position, value);
            }
        }
        assert_eq!(indices[at], best as i64, "{pool:?} output {at}");
        assert!(y[at] == greatest || (y[at].is_nan() && greatest.is_nan()), "{pool:?} output {at}");
        want_dx[p * from + best] = want_dx[p * from + best] + T::of_f64(at as f64);
    }
    let dy: Vec<T> = (0..y.len()).map(|at| T::of_f64(at as f64)).collect();
    let mut dx = vec![T::NAN; x.len()];
    // SAFETY: as above, and the indices are those of the forward pass.
    unsafe { max_pool2d_backward(pool, dy.as_ptr(), indices.as_ptr(), dx.as_mut_ptr()) };
    assert!(dx == want_dx, "{pool:?}");
}

#[test]
fn maxima_and_their_gradient() {
    for_each_isa(|_| {
        let mut numbers = Numbers(1);
        for round in 0..120 {
            let pool = random(&mut numbers, true);
            check_max::<f32>(&pool, &mut numbers, round % 2 == 0);
            check_max::<f64>(&pool, &mut numbers, round % 2 == 0);
        }
    });
}

#[test]
fn averages_and_their_gradient() {
    for_each_isa(|_| {
        let mut numbers = Numbers(2);
        for _ in 0..120 {
            let pool = random(&mut numbers, false);
            let (from, to) = pool.sizes();
            let x: Vec<f64> = (0..pool.planes * from).map(|_| numbers.between(0, 40) as f64 - 20.0).collect();
            let dy: Vec<f64> = (0..pool.planes * to).map(|_| numbers.between(0, 40) as f64 - 20.0).collect();
            for divisor in [Divisor::WithPadding, Divisor::WithoutPadding, Divisor::Fixed(4.0)] {
                let mut y = vec![f64::NAN; dy.len()];
                let mut dx = vec![f64::NAN; x.len()];
                // SAFETY: the vectors have the sizes `pool` describes.
                unsafe {
                    avg_pool2d(&pool, divisor, x.as_ptr(), y.as_mut_ptr());
                    avg_pool2d_backward(&pool, divisor, dy.as_ptr(), dx.as_mut_ptr());
                }
                let mut want_dx = vec![0.0; x.len()];
                for (at, (p, oy, ox)) in outputs(&pool).enumerate() {
                    let positions = window(&pool, oy, ox);
                    let padded = |o: usize, stride: usize, kernel: usize, input: usize, padding: usize| {
                        (o * stride + kernel).min(input + 2 * padding) - o * stride
                    };
                    let count = match divisor {
                        Divisor::Fixed(number) => number,
                        Divisor::WithoutPadding => positions.len() as f64,
                        Divisor::WithPadding => {
                            let rows = padded(oy, pool.stride.0, pool.kernel.0, pool.input.0, pool.padding.0);
                            let columns = padded(ox, pool.stride.1, pool.kernel.1, pool.input.1, pool.padding.1);
                            (rows * columns) as f64
                        }
                    };
                    let sum: f64 = positions.iter().map(|&position| x[p * from + position]).sum();
                    assert_eq!(y[at], sum / count, "{pool:?} {divisor:?} output {at}");
                    for &position in &positions {
                        want_dx[p * from + position] += dy[at] / count;
                    }
                }
                for (got, want) in dx.iter().zip(&want_dx) {
                    assert!((got - want).abs() <= 1e-12 * want.abs().max(1.0), "{pool:?} {divisor:?}");
                }
            }
        }
    });
}

#[test]
fn nothing_to_pool() {
    let pool = Pool2d {
        planes: 0,
        input: (4, 4),
        output: (2, 2),
        kernel: (2, 2),
        stride: (2, 2),
        padding: (0, 0),
        dilation: (1, 1),
    };
    let mut nothing = [0.0f32; 0];
    // SAFETY: there is no plane to read or write.
    unsafe {
        max_pool2d(&pool, nothing.as_ptr(), nothing.as_mut_ptr(), std::ptr::dangling_mut());
        avg_pool2d(&pool, Divisor::WithPadding, nothing.as_ptr(), nothing.as_mut_ptr());
    }
}
