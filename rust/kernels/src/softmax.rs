//! Softmax and its logarithm over one dimension of a contiguous `[outer, n, inner]` tensor, and their gradients.
//!
//! The greatest element is subtracted first, so nothing overflows; a row of minus infinities gives NaN, as in torch.

use crate::math;
use crate::pool;
use crate::rows::{GRAIN, Shared, for_lanes, load, maximum, store, sum_lanes};
use crate::simd::{Float, simd_fn};

/// `out = softmax(x)` over the middle dimension.
///
/// # Panics
/// When a slice does not have `outer * n * inner` elements.
pub fn softmax<T: Float>(x: &[T], shape: [usize; 3], out: &mut [T]) {
    forward(x, shape, out, false);
}

/// `out = log(softmax(x))` over the middle dimension.
///
/// # Panics
/// As [`softmax`].
pub fn log_softmax<T: Float>(x: &[T], shape: [usize; 3], out: &mut [T]) {
    forward(x, shape, out, true);
}

/// The gradient of softmax: `dx = y (dy - sum(dy y))`, from the result `y`.
///
/// # Panics
/// As [`softmax`].
pub fn softmax_backward<T: Float>(y: &[T], dy: &[T], shape: [usize; 3], dx: &mut [T]) {
    backward(y, dy, shape, dx, false);
}

/// The gradient of log-softmax: `dx = dy - exp(y) sum(dy)`, from the result `y`.
///
/// # Panics
/// As [`softmax`].
pub fn log_softmax_backward<T: Float>(y: &[T], dy: &[T], shape: [usize; 3], dx: &mut [T]) {
    backward(y, dy, shape, dx, true);
}

fn check(lengths: &[usize], [outer, n, inner]: [usize; 3]) {
    for &len in lengths {
        assert_eq!(len, outer * n * inner, "softmax: slices must have the given shape");
    }
}

/// Columns that one task takes from a tensor with an inner dimension.
const COLUMNS: usize = 64;

/// Calls `f(first element, columns)` for rows (`inner == 1`, one column) or bands of columns, in parallel.
fn for_each_band([outer, n, inner]: [usize; 3], f: impl Fn(usize, usize) + Sync) {
    let bands = inner.div_ceil(COLUMNS);
    let width = inner.min(COLUMNS);
    pool::chunked(outer * bands, (GRAIN / (n * width).max(1)).max(1), |range| {
        for item in range {
            let first = (item % bands) * COLUMNS;
            f((item / bands) * n * inner + first, COLUMNS.min(inner - first));
        }
    });
}

fn forward<T: Float>(x: &[T], shape: [usize; 3], out: &mut [T], is_log: bool) {
    check(&[x.len(), out.len()], shape);
    let [outer, n, inner] = shape;
    if out.is_empty() {
        return;
    }
    let (x, out) = (Shared::new_const(x.as_ptr()), Shared::new(out));
    if inner == 1 {
        pool::chunked(outer, (GRAIN / n).max(1), |range| {
            // SAFETY: rows of the tensors, each one task's own.
            unsafe { softmax_rows(x.at(range.start * n), out.at(range.start * n), range.len(), n, is_log) }
        });
    } else {
        for_each_band(shape, |first, cols| {
            // SAFETY: columns of the tensors, each one task's own.
            unsafe { softmax_columns(x.at(first), out.at(first), n, inner, cols, is_log) }
        });
    }
}

simd_fn! {
    /// # Safety
    /// `x` and `out` are valid for `rows` rows of `n` numbers.
    unsafe fn softmax_rows<T: Float, V>(x: *const T, out: *mut T, rows: usize, n: usize, is_log: bool) {
        for r in 0..rows {
            // SAFETY: row r.
            unsafe {
                let (x, out) = (x.add(r * n), out.add(r * n));
                let greatest = V::splat(maximum::<V>(x, n));
                if is_log {
                    let total: T = sum_lanes!(V, n, |i, len| math::exp(load::<V>(x.add(i), len) - greatest));
                    let log_total = math::log(V::splat(total));
                    for_lanes!(V, n, |i, len| {
                        store((load::<V>(x.add(i), len) - greatest) - log_total, out.add(i), len);
                    });
                } else {
                    let total: T = sum_lanes!(V, n, |i, len| {
                        let e = math::exp(load::<V>(x.add(i), len) - greatest);
                        store(e, out.add(i), len);
                        e
                    });
                    let factor = V::splat(T::of_f64(1.0) / total);
                    for_lanes!(V, n, |i, len| {
                        store(load::<V>(out.add(i), len) * factor, out.add(i), len);
                    });
                }
            }
        }
    }
}

simd_fn! {
    /// # Safety
    /// `x` and `out` are valid for `n` rows of `cols` numbers, `stride` apart.
    unsafe fn softmax_columns<T: Float, V>(
        x: *const T, out: *mut T, n: usize, stride: usize, cols: usize, is_log: bool
    ) {
        for_lanes!(V, cols, |c, len| {
            // SAFETY: columns c..c + len.
            unsafe {
                let (x, out) = (x.add(c), out.add(c));
                let mut greatest = V::splat(T::NEG_INFINITY);
                for r in 0..n {
                    greatest = greatest.maximum(load(x.add(r * stride), len));
                }
                let mut total = V::zero();
                for r in 0..n {
                    let e = math::exp(load::<V>(x.add(r * stride), len) - greatest);
                    if !is_log {
                        store(e, out.add(r * stride), len);
                    }
                    total = total + e;
                }
                let scale = if is_log { math::log(total) } else { V::from_f64(1.0) / total };
                for r in 0..n {
                    let out = out.add(r * stride);
                    let y = if is_log {
                        (load::<V>(x.add(r * stride), len) - greatest) - scale
                    } else {
                        load::<V>(out, len) * scale
                    };
                    store(y, out, len);
                }
            }
        });
    }
}

fn backward<T: Float>(y: &[T], dy: &[T], shape: [usize; 3], dx: &mut [T], is_log: bool) {
    check(&[y.len(), dy.len(), dx.len()], shape);
    let [outer, n, inner] = shape;
    if dx.is_empty() {
        return;
    }
    let (y, dy, dx) = (Shared::new_const(y.as_ptr()), Shared::new_const(dy.as_ptr()), Shared::new(dx));
    if inner == 1 {
        pool::chunked(outer, (GRAIN / n).max(1), |range| {
            let at = range.start * n;
            // SAFETY: rows of the tensors, each one task's own.
            unsafe { backward_rows(y.at(at), dy.at(at), dx.at(at), range.len(), n, is_log) }
        });
    } else {
        for_each_band(shape, |first, cols| {
            // SAFETY: columns of the tensors, each one task's own.
            unsafe { backward_columns(y.at(first), dy.at(first), dx.at(first), n, inner, cols, is_log) }
        });
    }
}

simd_fn! {
    /// # Safety
    /// All are valid for `rows` rows of `n` numbers.
    unsafe fn backward_rows<T: Float, V>(
        y: *const T, dy: *const T, dx: *mut T, rows: usize, n: usize, is_log: bool
    ) {
        for r in 0..rows {
            // SAFETY: row r.
            unsafe {
                let (y, dy, dx) = (y.add(r * n), dy.add(r * n), dx.add(r * n));
                if is_log {
                    let total = V::splat(sum_lanes!(V, n, |i, len| load::<V>(dy.add(i), len)));
                    for_lanes!(V, n, |i, len| {
                        let p = math::exp(load::<V>(y.add(i), len));
                        store((-p).mul_add(total, load(dy.add(i), len)), dx.add(i), len);
                    });
                } else {
                    let total = V::splat(sum_lanes!(V, n, |i, len| load::<V>(dy.add(i), len) * load(y.add(i), len)));
                    for_lanes!(V, n, |i, len| {
                        store(load::<V>(y.add(i), len) * (load::<V>(dy.add(i), len) - total), dx.add(i), len);
                    });
                }
            }
        }
    }
}

simd_fn! {
    /// # Safety
    /// All are valid for `n` rows of `cols` numbers, `stride` apart.
    unsafe fn backward_columns<T: Float, V>(
        y: *const T, dy: *const T, dx: *mut T, n: usize, stride: usize, cols: usize, is_log: bool
    ) {
        for_lanes!(V, cols, |c, len| {
            // SAFETY: columns c..c + len.
            unsafe {
                let mut total = V::zero();
                for r in 0..n {
                    let at = r * stride + c;
                    let g = load::<V>(dy.add(at), len);
                    total = if is_log { total + g } else { g.mul_add(load(y.add(at), len), total) };
                }
                for r in 0..n {
                    let at = r * stride + c;
                    let (y, g) = (load::<V>(y.add(at), len), load::<V>(dy.add(at), len));
                    let result = if is_log { (-math::exp(y)).mul_add(total, g) } else { y * (g - total) };
                    store(result, dx.add(at), len);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::test_override::for_each_isa;

    fn noise<T: Float>(n: usize, seed: usize) -> Vec<T> {
        (0..n).map(|i| T::of_f64((((i + seed * 7919) as f64 * 0.618_033_988_749).fract() - 0.5) * 12.0)).collect()
    }

    /// The definition, in f64, for one line of numbers.
    fn oracle(x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let greatest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = x.iter().map(|v| (v - greatest).exp()).sum();
        let logs: Vec<f64> = x.iter().map(|v| v - greatest - total.ln()).collect();
        (logs.iter().map(|v| v.exp()).collect(), logs)
    }

    fn check_type<T: Float>(shape: [usize; 3], tolerance: f64) {
        let [outer, n, inner] = shape;
        let len = outer * n * inner;
        let (x, g) = (noise::<T>(len, 1), noise::<T>(len, 2));
        let mut out = [(); 4].map(|()| vec![T::NAN; len]);
        let [y, logs, dx, dlogs] = &mut out;
        softmax(&x, shape, y);
        log_softmax(&x, shape, logs);
        softmax_backward(y, &g, shape, dx);
        log_softmax_backward(logs, &g, shape, dlogs);
        for line in 0..outer * inner {
            let at = |i: usize| (line / inner) * n * inner + i * inner + line % inner;
            let pick = |v: &[T]| -> Vec<f64> { (0..n).map(|i| v[at(i)].to_f64()).collect() };
            let (want_y, want_logs) = oracle(&pick(&x));
            let g = pick(&g);
            let dot: f64 = g.iter().zip(&want_y).map(|(a, b)| a * b).sum();
            let total: f64 = g.iter().sum();
            let want_dx: Vec<f64> = (0..n).map(|i| want_y[i] * (g[i] - dot)).collect();
            let want_dlogs: Vec<f64> = (0..n).map(|i| g[i] - want_y[i] * total).collect();
            let wants = [want_y, want_logs, want_dx, want_dlogs];
            for (name, (got, want)) in ["y", "log", "dx", "dlog"].iter().zip(out.iter().zip(&wants)) {
                for (i, (got, want)) in pick(got).iter().zip(want).enumerate() {
                    let scale = 1.0 + want.abs() + if *name == "dlog" { total.abs() } else { 0.0 };
                    assert!((got - want).abs() <= tolerance * scale, "{name} {shape:?} {line} {i}: {got}, not {want}");
                }
            }
        }
    }

    #[test]
    fn agrees_with_the_definition() {
        for_each_isa(|_| {
            for n in (1..36).chain([63, 64, 65, 100, 1023, 1025, 2100]) {
                for shape in [[3, n, 1], [2, n, 5], [1, n, 67]] {
                    check_type::<f32>(shape, 2e-6);
                    check_type::<f64>(shape, 4e-15);
                }
            }
        });
        check_type::<f32>([5000, 10, 1], 2e-6);
        check_type::<f32>([20, 30, 100], 2e-6);
        check_type::<f32>([0, 3, 4], 0.0);
    }

    #[test]
    fn extreme_rows() {
        for_each_isa(|_| {
            let mut out = [0f32; 4];
            softmax(&[1e30, 1e30, -1e30, f32::NEG_INFINITY], [1, 4, 1], &mut out);
            assert_eq!(out, [0.5, 0.5, 0.0, 0.0]);
            log_softmax(&[f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY, f32::NEG_INFINITY], [1, 4, 1], &mut out);
            assert_eq!(out, [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY, f32::NEG_INFINITY]);
            softmax(&[f32::NEG_INFINITY; 4], [1, 4, 1], &mut out);
            assert!(out.iter().all(|y| y.is_nan()));
            softmax(&[1.0, f32::NAN, 0.0, 0.0], [2, 2, 1], &mut out);
            assert!(out[0].is_nan() && out[1].is_nan() && out[2] == 0.5 && out[3] == 0.5);
        });
    }
}
