//! Layer normalisation of rows.

use crate::pool;
use crate::rows::{GRAIN, Shared, for_lanes, load, store, sum_lanes};
use crate::simd::{Float, simd_fn};

/// `y = (x - mean) / sqrt(var + eps) * weight + bias` for every row of `n` numbers; `mean` and `rstd` (the reciprocal
/// root) of each row are kept for the gradient.
///
/// # Panics
/// When a slice does not fit.
pub fn layer_norm<T: Float>(
    x: &[T],
    n: usize,
    weight: Option<&[T]>,
    bias: Option<&[T]>,
    eps: f64,
    y: &mut [T],
    mean: &mut [T],
    rstd: &mut [T],
) {
    let rows = mean.len();
    assert!(x.len() == rows * n && y.len() == x.len() && rstd.len() == rows, "layer_norm: slices must fit");
    for affine in [weight, bias].into_iter().flatten() {
        assert_eq!(affine.len(), n, "layer_norm: one weight and bias per column");
    }
    let address = |slice: Option<&[T]>| Shared::new_const(slice.map_or(std::ptr::null(), <[T]>::as_ptr));
    let (weight, bias, x) = (address(weight), address(bias), Shared::new_const(x.as_ptr()));
    let (y, mean, rstd) = (Shared::new(y), Shared::new(mean), Shared::new(rstd));
    pool::chunked(rows, (GRAIN / n.max(1)).max(1), |range| {
        let (r, count) = (range.start, range.len());
        // SAFETY: these rows are this task's own; weight and bias hold n numbers or are null.
        unsafe {
            let out = [y.at(r * n), mean.at(r), rstd.at(r)];
            forward_rows(x.at(r * n), count, n, [weight.at(0), bias.at(0)], T::of_f64(eps), out);
        }
    });
}

simd_fn! {
    /// # Safety
    /// `x` and `out[0]` are valid for `rows` rows of `n` numbers, the other outputs for `rows`; `affine` (weight and
    /// bias) for `n` each, or null.
    unsafe fn forward_rows<T: Float, V>(
        x: *const T, rows: usize, n: usize, affine: [*const T; 2], eps: T, out: [*mut T; 3]
    ) {
        let [weight, bias] = affine;
        let [y, means, rstds] = out;
        let count = T::of_f64(n as f64);
        for r in 0..rows {
            // SAFETY: row r.
            unsafe {
                let (x, y) = (x.add(r * n), y.add(r * n));
                let mean: T = sum_lanes!(V, n, |i, len| load::<V>(x.add(i), len)) / count;
                let center = V::splat(mean);
                let var: T = sum_lanes!(V, n, |i, len| {
                    let d = load::<V>(x.add(i), len) - center;
                    d * d
                }) / count;
                let rstd = T::of_f64(1.0) / (var + eps).sqrt();
                *means.add(r) = mean;
                *rstds.add(r) = rstd;
                let rstd = V::splat(rstd);
                for_lanes!(V, n, |i, len| {
                    let mut v = (load::<V>(x.add(i), len) - center) * rstd;
                    if !weight.is_null() {
                        v = v * load(weight.add(i), len);
                    }
                    if !bias.is_null() {
                        v = v + load(bias.add(i), len);
                    }
                    store(v, y.add(i), len);
                });
            }
        }
    }
}

/// The gradients of [`layer_norm`]: with respect to `x`, and, where wanted, to weight and bias.
///
/// # Panics
/// When a slice does not fit.
pub fn layer_norm_backward<T: Float>(
    dy: &[T],
    x: &[T],
    n: usize,
    weight: Option<&[T]>,
    mean: &[T],
    rstd: &[T],
    dx: &mut [T],
    dweight: Option<&mut [T]>,
    dbias: Option<&mut [T]>,
) {
    let rows = mean.len();
    let fits = dy.len() == rows * n && x.len() == dy.len() && dx.len() == dy.len() && rstd.len() == rows;
    assert!(fits, "layer_norm: slices must fit");
    assert!(weight.is_none_or(|w| w.len() == n), "layer_norm: one weight per column");
    // Each task sums its rows' part of the gradients of weight and bias; the parts are added in order.
    let per_task = (GRAIN / n.max(1)).clamp(1, 512).max(rows.div_ceil(64));
    let tasks = rows.div_ceil(per_task);
    let has_sums = dweight.is_some() || dbias.is_some();
    let mut parts = vec![T::of_f64(0.0); if has_sums { tasks * 2 * n } else { 0 }];
    {
        let read = |slice: &[T]| Shared::new_const(slice.as_ptr());
        let (dy, x, mean, rstd) = (read(dy), read(x), read(mean), read(rstd));
        let weight = Shared::new_const(weight.map_or(std::ptr::null(), <[T]>::as_ptr));
        let (dx, parts) = (Shared::new(dx), Shared::new(&mut parts));
        pool::parallel_for(tasks, &|task| {
            let r = task * per_task;
            let count = per_task.min(rows - r);
            // SAFETY: these rows and this part are the task's own; weight holds n numbers or is null.
            unsafe {
                let sums = if has_sums { parts.at(task * 2 * n) } else { std::ptr::null_mut() };
                let inputs =
                    [dy.at(r * n), x.at(r * n), weight.at(0), mean.at(r), rstd.at(r)].map(<*mut T>::cast_const);
                backward_rows(inputs, count, n, dx.at(r * n), sums);
            }
        });
    }
    for (k, total) in [dweight, dbias].into_iter().enumerate() {
        if let Some(total) = total {
            assert_eq!(total.len(), n, "layer_norm: one gradient per column");
            total.fill(T::of_f64(0.0));
            for part in parts.chunks_exact(2 * n) {
                for (total, &part) in total.iter_mut().zip(&part[k * n..(k + 1) * n]) {
                    *total = *total + part;
                }
            }
        }
    }
}

simd_fn! {
    /// # Safety
    /// `inputs` are dy and x (`rows * n` numbers), weight (`n`, or null), mean and rstd (`rows`); `dx` is valid for
    /// `rows * n`, `sums` for `2 n` numbers, or null.
    unsafe fn backward_rows<T: Float, V>(inputs: [*const T; 5], rows: usize, n: usize, dx: *mut T, sums: *mut T) {
        let [dy, x, weight, means, rstds] = inputs;
        let share = T::of_f64(1.0 / n as f64);
        for r in 0..rows {
            // SAFETY: row r.
            unsafe {
                let (dy, x, dx) = (dy.add(r * n), x.add(r * n), dx.add(r * n));
                let (center, rstd) = (V::splat(*means.add(r)), V::splat(*rstds.add(r)));
                let mut with_x = V::zero();
                let total: T = sum_lanes!(V, n, |i, len| {
                    let normal = (load::<V>(x.add(i), len) - center) * rstd;
                    let g: V = load(dy.add(i), len);
                    if !sums.is_null() {
                        let (dw, db) = (sums.add(i), sums.add(n + i));
                        store(g.mul_add(normal, load(dw, len)), dw, len);
                        store(load::<V>(db, len) + g, db, len);
                    }
                    let g = if weight.is_null() { g } else { g * load(weight.add(i), len) };
                    // Lanes behind the end have g = 0, whatever their x.
                    with_x = g.mul_add(normal, with_x);
                    g
                });
                let mean_g = V::splat(total * share);
                let mean_gx = V::splat(with_x.reduce_add() * share);
                for_lanes!(V, n, |i, len| {
                    let normal = (load::<V>(x.add(i), len) - center) * rstd;
                    let g: V = load(dy.add(i), len);
                    let g = if weight.is_null() { g } else { g * load(weight.add(i), len) };
                    store((g - mean_g - normal * mean_gx) * rstd, dx.add(i), len);
                });
            }
        }
    }
}
