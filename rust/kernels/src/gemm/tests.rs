use super::*;
use crate::isa::test_override::for_each_isa;

/// A reproducible stream of small integers: products of them are exact in f32, so results can be compared exactly.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
    fn below(&mut self, n: u64) -> usize {
        (self.next() % n) as usize
    }
    fn fill<T: Float>(&mut self, n: usize) -> Vec<T> {
        (0..n).map(|_| T::of_f64(self.next() as f64 % 9.0 - 4.0)).collect()
    }
}

/// How the tests lay out a matrix of `rows` x `cols`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Rows,
    Columns,
    /// Rows with gaps, walked backwards.
    Reversed,
    /// Every row the same memory.
    Repeated,
    /// Neither stride is one.
    Scattered,
}

const ORDERS: [Order; 5] = [Order::Rows, Order::Columns, Order::Reversed, Order::Repeated, Order::Scattered];

struct Matrix<T> {
    data: Vec<T>,
    start: usize,
    row: isize,
    col: isize,
}

impl<T: Float> Matrix<T> {
    fn new(order: Order, rows: usize, cols: usize, numbers: &mut Numbers) -> Self {
        let (r, c) = (rows.max(1), cols.max(1));
        let (len, start, row, col) = match order {
            Order::Rows => (r * c, 0, c as isize, 1),
            Order::Columns => (r * c, 0, 1, r as isize),
            Order::Reversed => (r * (c + 3), (r - 1) * (c + 3) + c - 1, -(c as isize + 3), -1),
            Order::Repeated => (c, 0, 0, 1),
            Order::Scattered => (2 * r * c, 0, 2 * c as isize, 2),
        };
        Matrix { data: numbers.fill(len), start, row, col }
    }
    fn get(&self, i: usize, j: usize) -> T {
        self.data[(self.start as isize + i as isize * self.row + j as isize * self.col) as usize]
    }
    fn pointer(&self) -> *const T {
        &raw const self.data[self.start]
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    m: usize,
    n: usize,
    k: usize,
    a: Order,
    b: Order,
    accumulate: bool,
    bias: u8,
    relu: bool,
}

/// Runs one product and compares all of C, the gaps between its rows included, with the triple loop.
fn check<T: Float>(case: Case, seed: u64) {
    let Case { m, n, k, accumulate, relu, .. } = case;
    let mut numbers = Numbers(seed);
    let a = Matrix::<T>::new(case.a, m, k, &mut numbers);
    let b = Matrix::<T>::new(case.b, k, n, &mut numbers);
    let bias = numbers.fill::<T>(m.max(n));
    let ldc = n + 2;
    let before = numbers.fill::<T>(m * ldc + 1);
    let mut c = before.clone();
    let bias_of = match case.bias {
        0 => Bias::None,
        1 => Bias::Columns(bias.as_ptr()),
        _ => Bias::Rows(bias.as_ptr()),
    };
    let args = Gemm {
        m,
        n,
        k,
        a: a.pointer(),
        a_row: a.row,
        a_col: a.col,
        b: b.pointer(),
        b_row: b.row,
        b_col: b.col,
        c: c.as_mut_ptr(),
        ldc: ldc as isize,
        accumulate,
        epilogue: Epilogue { bias: bias_of, relu },
    };
    // SAFETY: the vectors hold the matrices the strides describe.
    unsafe { gemm(&args) };
    let mut expected = before.clone();
    for i in 0..m {
        for j in 0..n {
            let mut sum = if accumulate { before[i * ldc + j].to_f64() } else { 0.0 };
            for p in 0..k {
                sum += a.get(i, p).to_f64() * b.get(p, j).to_f64();
            }
            sum += match case.bias {
                0 => 0.0,
                1 => bias[j].to_f64(),
                _ => bias[i].to_f64(),
            };
            expected[i * ldc + j] = T::of_f64(if relu { sum.max(0.0) } else { sum });
        }
    }
    for (index, (got, want)) in c.iter().zip(&expected).enumerate() {
        assert!(got == want, "{case:?} {:?}: C[{index}] = {got}, expected {want}", crate::isa::isa());
    }
}

fn plain(m: usize, n: usize, k: usize, a: Order, b: Order) -> Case {
    Case { m, n, k, a, b, accumulate: false, bias: 0, relu: false }
}

#[test]
fn every_edge_of_every_tile() {
    for_each_isa(|_| {
        for m in 0..=30 {
            for n in [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 49, 63, 64, 65, 79, 97] {
                check::<f32>(plain(m, n, 5, Order::Rows, Order::Rows), 1);
                check::<f64>(plain(m, n, 5, Order::Rows, Order::Columns), 2);
            }
        }
    });
}

#[test]
fn every_layout_with_every_epilogue() {
    for_each_isa(|_| {
        for a in ORDERS {
            for b in ORDERS {
                for (m, n, k) in [(1, 70, 40), (70, 1, 40), (3, 65, 33), (17, 40, 0), (20, 90, 65), (50, 37, 1)] {
                    for (accumulate, bias, relu) in
                        [(false, 0, false), (true, 1, false), (true, 2, true), (false, 1, true)]
                    {
                        let case = Case { m, n, k, a, b, accumulate, bias, relu };
                        check::<f32>(case, 3);
                        check::<f64>(case, 4);
                    }
                }
            }
        }
    });
}

#[test]
fn many_depth_row_and_column_blocks() {
    for_each_isa(|isa| {
        let sizes: &[_] = match isa {
            crate::isa::Isa::Scalar => &[(45, 70, 1100)],
            _ => &[(45, 70, 2600), (1100, 70, 40), (33, 2200, 40), (230, 100, 515), (9, 300, 1500)],
        };
        for &(m, n, k) in sizes {
            for (a, b) in [
                (Order::Rows, Order::Rows),
                (Order::Rows, Order::Columns),
                (Order::Columns, Order::Rows),
                (Order::Columns, Order::Columns),
            ] {
                check::<f32>(Case { m, n, k, a, b, accumulate: true, bias: 1, relu: true }, 5);
                check::<f64>(plain(m, n, k, a, b), 6);
            }
        }
    });
}

#[test]
fn random_cases() {
    for_each_isa(|_| {
        let mut numbers = Numbers(7);
        for seed in 0..150 {
            let case = Case {
                m: numbers.below(70),
                n: numbers.below(150),
                k: numbers.below(90),
                a: ORDERS[numbers.below(5)],
                b: ORDERS[numbers.below(5)],
                accumulate: numbers.below(2) == 1,
                bias: numbers.below(3) as u8,
                relu: numbers.below(2) == 1,
            };
            check::<f32>(case, seed);
            check::<f64>(case, seed);
        }
    });
}

#[test]
fn nan_and_infinity_pass_through_the_rectifier_and_overwritten_c_is_ignored() {
    for_each_isa(|_| {
        let a = [1.0f32, f32::INFINITY, f32::NAN, -1.0];
        let b = [1.0f32];
        let mut c = [f32::NAN; 4];
        let args = Gemm {
            m: 4,
            n: 1,
            k: 1,
            a: a.as_ptr(),
            a_row: 1,
            a_col: 1,
            b: b.as_ptr(),
            b_row: 1,
            b_col: 1,
            c: c.as_mut_ptr(),
            ldc: 1,
            accumulate: false,
            epilogue: Epilogue { bias: Bias::None, relu: true },
        };
        // SAFETY: the arrays hold the matrices described.
        unsafe { gemm(&args) };
        assert_eq!((c[0], c[1], c[3]), (1.0, f32::INFINITY, 0.0));
        assert!(c[2].is_nan());
    });
}

#[test]
fn results_do_not_depend_on_threads() {
    let fractions = |n: usize, seed| -> Vec<f32> {
        let mut numbers = Numbers(seed);
        (0..n).map(|_| numbers.next() as f32 / u32::MAX as f32).collect()
    };
    for (m, n, k, b_row, b_col) in [(150, 170, 1300, 170, 1), (64, 300, 600, 1, 600), (1, 700, 900, 1, 900)] {
        let (a, b) = (fractions(m * k, 1), fractions(k * n, 2));
        let results: Vec<Vec<f32>> = [1, 2, 3]
            .into_iter()
            .map(|threads| {
                pool::tests::with_threads(threads, || {
                    let mut c = vec![0.0f32; m * n];
                    let args = Gemm {
                        m,
                        n,
                        k,
                        a: a.as_ptr(),
                        a_row: k as isize,
                        a_col: 1,
                        b: b.as_ptr(),
                        b_row,
                        b_col,
                        c: c.as_mut_ptr(),
                        ldc: n as isize,
                        accumulate: false,
                        epilogue: Epilogue::NONE,
                    };
                    // SAFETY: the vectors hold the matrices described.
                    unsafe { gemm(&args) };
                    c
                })
            })
            .collect();
        assert!(results.iter().all(|c| *c == results[0]));
    }
}

#[test]
fn batches_of_any_stride() {
    for_each_isa(|_| {
        for (batch, m, n, k) in [(1, 5, 6, 7), (3, 8, 8, 8), (40, 33, 20, 17), (3, 70, 40, 90)] {
            for (shared_a, shared_b) in [(false, false), (true, false), (false, true)] {
                let mut numbers = Numbers(batch as u64);
                let a = numbers.fill::<f32>(batch * m * k);
                let b = numbers.fill::<f32>(batch * k * n);
                let mut c = vec![0.0f32; batch * m * n];
                let a_batch = if shared_a { 0 } else { m * k };
                let b_batch = if shared_b { 0 } else { k * n };
                let args = Gemm {
                    m,
                    n,
                    k,
                    a: a.as_ptr(),
                    a_row: k as isize,
                    a_col: 1,
                    b: b.as_ptr(),
                    b_row: n as isize,
                    b_col: 1,
                    c: c.as_mut_ptr(),
                    ldc: n as isize,
                    accumulate: false,
                    epilogue: Epilogue::NONE,
                };
                // SAFETY: the vectors hold the matrices described.
                unsafe { gemm_batch(&args, batch, a_batch as isize, b_batch as isize, (m * n) as isize) };
                for index in 0..batch {
                    for i in 0..m {
                        for j in 0..n {
                            let terms = (0..k).map(|p| a[index * a_batch + i * k + p] * b[index * b_batch + p * n + j]);
                            assert_eq!(c[(index * m + i) * n + j], terms.sum::<f32>());
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn probes_report_something_possible() {
    let peak = fma_peak();
    assert!(peak > 0.01 && peak < 2000.0, "{peak} GF/s");
    let bytes = bandwidth().expect("128 MiB");
    assert!(bytes > 1e7 && bytes < 1e13, "{bytes} bytes/s");
}
