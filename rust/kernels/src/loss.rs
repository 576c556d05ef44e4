//! Cross-entropy from logits and class indices, in one pass over each row and without a table of log-probabilities.
//!
//! For a row with class `t`, weights `w` and smoothing `e` over `C` classes, as torch has it:
//! `loss = -(1 - e) w[t] log p[t] - e / C * sum_c w[c] log p[c]`; rows whose target is `ignore_index` count as nothing.

use crate::math;
use crate::pool;
use crate::rows::{GRAIN, Shared, for_lanes, load, maximum, store, sum_lanes};
use crate::simd::{Float, simd_fn};

/// The settings of a cross-entropy.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy<'a, T> {
    /// One factor per class.
    pub weight: Option<&'a [T]>,
    /// Rows with this target have no loss and no gradient.
    pub ignore_index: i64,
    /// How much of the target is spread evenly over all classes, in `[0, 1]`.
    pub label_smoothing: f64,
}

/// The first target that is neither a class nor `ignore_index`.
pub fn bad_target(target: &[i64], classes: usize, ignore_index: i64) -> Option<i64> {
    target.iter().copied().find(|&t| t != ignore_index && (t < 0 || t as u64 >= classes as u64))
}

impl<T: Float> CrossEntropy<'_, T> {
    /// The weight of class `t`.
    fn weight_of(&self, t: i64) -> T {
        self.weight.map_or(T::of_f64(1.0), |w| w[t as usize])
    }

    /// The sum of the weights of all classes.
    fn total_weight(&self, classes: usize) -> f64 {
        self.weight.map_or(classes as f64, |w| w.iter().map(|w| w.to_f64()).sum())
    }

    /// What a mean divides by: the weights of the targets, added (their number, if there are no weights).
    pub fn divisor(&self, target: &[i64]) -> T {
        let counted = target.iter().filter(|&&t| t != self.ignore_index);
        T::of_f64(counted.map(|&t| self.weight_of(t).to_f64()).sum())
    }

    fn check(&self, classes: usize, logits: usize, target: &[i64]) {
        assert_eq!(logits, classes * target.len(), "cross_entropy: one row of logits per target");
        if let Some(w) = self.weight {
            assert_eq!(w.len(), classes, "cross_entropy: one weight per class");
        }
        assert_eq!(bad_target(target, classes, self.ignore_index), None, "cross_entropy: targets must be classes");
    }

    /// The loss of every row of `logits`, and `log(sum(exp(row)))`, which the gradient needs.
    ///
    /// # Panics
    /// When a slice does not fit, or a target is no class; see [`bad_target`].
    pub fn forward(&self, logits: &[T], target: &[i64], loss: &mut [T], lse: &mut [T]) {
        let rows = target.len();
        if rows == 0 {
            return;
        }
        let n = logits.len() / rows;
        self.check(n, logits.len(), target);
        assert!(loss.len() == rows && lse.len() == rows, "cross_entropy: one result per row");
        let spread = T::of_f64(self.label_smoothing / n as f64);
        let kept = T::of_f64(1.0 - self.label_smoothing);
        let (loss, lse) = (Shared::new(loss), Shared::new(lse));
        let all_weight = T::of_f64(self.total_weight(n));
        let (has_smoothing, weight) =
            (self.label_smoothing != 0.0, self.weight.map_or(std::ptr::null(), <[T]>::as_ptr));
        let weight = Shared::new_const(weight);
        pool::chunked(rows, (GRAIN / n.max(1)).max(1), |range| {
            for r in range {
                let t = target[r];
                let row = &logits[r * n..(r + 1) * n];
                // SAFETY: a row of n numbers, and n weights or none; result r is this task's own.
                unsafe {
                    let (log_total, weighted) = row_terms(row.as_ptr(), n, weight.at(0), has_smoothing);
                    *lse.at(r) = log_total;
                    *loss.at(r) = if t == self.ignore_index {
                        T::of_f64(0.0)
                    } else {
                        let own = kept * self.weight_of(t) * (log_total - row[t as usize]);
                        // sum_c w_c (lse - x_c) = W lse - sum_c w_c x_c
                        let smooth =
                            if has_smoothing { spread * (all_weight * log_total - weighted) } else { T::of_f64(0.0) };
                        own + smooth
                    };
                }
            }
        });
    }

    /// The gradient with respect to the logits, for upstream gradients `scale` of the rows' losses (one for each, or
    /// one for all).
    ///
    /// # Panics
    /// As [`Self::forward`].
    pub fn backward(&self, logits: &[T], target: &[i64], lse: &[T], scale: &[T], dx: &mut [T]) {
        let rows = target.len();
        if rows == 0 {
            return;
        }
        let n = logits.len() / rows;
        self.check(n, logits.len(), target);
        assert!(lse.len() == rows && dx.len() == logits.len(), "cross_entropy: slices must fit the logits");
        assert!(scale.len() == rows || scale.len() == 1, "cross_entropy: one gradient per row, or one for all");
        let spread = T::of_f64(self.label_smoothing / n as f64);
        let kept = T::of_f64(1.0 - self.label_smoothing);
        let all_weight = T::of_f64(self.total_weight(n));
        let weight = Shared::new_const(self.weight.map_or(std::ptr::null(), <[T]>::as_ptr));
        let dx = Shared::new(dx);
        pool::chunked(rows, (GRAIN / n.max(1)).max(1), |range| {
            for r in range {
                let (t, scale) = (target[r], scale[if scale.len() == 1 { 0 } else { r }]);
                let out = dx.at(r * n);
                if t == self.ignore_index {
                    // SAFETY: row r is this task's own.
                    unsafe { std::slice::from_raw_parts_mut(out, n) }.fill(T::of_f64(0.0));
                    continue;
                }
                let own = kept * self.weight_of(t);
                // The factor of the probabilities is the sum of the target's weights over the classes.
                let factor = (own + spread * all_weight) * scale;
                // SAFETY: a row of n numbers, and n weights or none; row r of the gradient is this task's own.
                unsafe {
                    row_gradient(logits.as_ptr().add(r * n), n, lse[r], factor, spread * scale, weight.at(0), out);
                    let at = out.add(t as usize);
                    *at = *at - own * scale;
                }
            }
        });
    }
}

simd_fn! {
    /// `log(sum(exp(x)))` and, on demand, `sum(w x)`; without weights they are ones.
    ///
    /// # Safety
    /// `x` is valid for reading `n` numbers, and so is `weight` unless it is null.
    unsafe fn row_terms<T: Float, V>(x: *const T, n: usize, weight: *const T, has_smoothing: bool) -> (T, T) {
        // SAFETY: all reads are below n.
        unsafe {
            let top = maximum::<V>(x, n);
            // An infinite shift would give inf - inf.
            let greatest = if math::is_finite(top) { top } else { T::of_f64(0.0) };
            let shift = V::splat(greatest);
            let total: T = sum_lanes!(V, n, |i, len| math::exp(load::<V>(x.add(i), len) - shift));
            let weighted = if !has_smoothing {
                T::of_f64(0.0)
            } else if weight.is_null() {
                sum_lanes!(V, n, |i, len| load::<V>(x.add(i), len))
            } else {
                sum_lanes!(V, n, |i, len| load::<V>(x.add(i), len) * load(weight.add(i), len))
            };
            (math::log(V::splat(total)).first() + greatest, weighted)
        }
    }
}

simd_fn! {
    /// `out = factor * exp(x - lse) - spread * w`; without weights they are ones.
    ///
    /// # Safety
    /// `x` is valid for reading and `out` for writing `n` numbers; so is `weight` for reading unless it is null.
    unsafe fn row_gradient<T: Float, V>(
        x: *const T, n: usize, lse: T, factor: T, spread: T, weight: *const T, out: *mut T
    ) {
        let (lse, factor, spread) = (V::splat(lse), V::splat(factor), V::splat(spread));
        for_lanes!(V, n, |i, len| {
            // SAFETY: i + len <= n.
            unsafe {
                let p = math::exp(load::<V>(x.add(i), len) - lse);
                let rest = if weight.is_null() { spread } else { spread * load(weight.add(i), len) };
                store(p * factor - rest, out.add(i), len);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::test_override::for_each_isa;

    fn noise(n: usize, seed: usize) -> Vec<f64> {
        (0..n).map(|i| (((i + seed * 7919) as f64 * 0.618_033_988_749).fract() - 0.5) * 8.0).collect()
    }

    /// The definition, written out.
    fn oracle(x: &[f64], t: usize, w: &[f64], e: f64) -> f64 {
        let lse = x.iter().map(|v| v.exp()).sum::<f64>().ln();
        let smooth: f64 = x.iter().zip(w).map(|(x, w)| w * (lse - x)).sum();
        (1.0 - e) * w[t] * (lse - x[t]) + e / x.len() as f64 * smooth
    }

    fn check_type<T: Float>(rows: usize, n: usize, has_weight: bool, smoothing: f64, tolerance: f64) {
        let logits = noise(rows * n, 1);
        let weight: Vec<f64> =
            if has_weight { noise(n, 3).iter().map(|x| x.abs() + 0.1).collect() } else { vec![1.0; n] };
        let target: Vec<i64> = (0..rows).map(|r| if r % 5 == 3 { -100 } else { (r * 7 % n) as i64 }).collect();
        let scale = noise(rows, 4);
        let convert = |x: &[f64]| -> Vec<T> { x.iter().map(|&x| T::of_f64(x)).collect() };
        let (x, w, s) = (convert(&logits), convert(&weight), convert(&scale));
        let loss =
            CrossEntropy { weight: has_weight.then_some(&w[..]), ignore_index: -100, label_smoothing: smoothing };
        let (mut losses, mut lse, mut dx) = (vec![T::NAN; rows], vec![T::NAN; rows], vec![T::NAN; rows * n]);
        loss.forward(&x, &target, &mut losses, &mut lse);
        loss.backward(&x, &target, &lse, &s, &mut dx);
        let mut divisor = 0.0;
        for r in 0..rows {
            let row = &logits[r * n..(r + 1) * n];
            let ignored = target[r] == -100;
            let t = if ignored { 0 } else { target[r] as usize };
            let want = if ignored { 0.0 } else { oracle(row, t, &weight, smoothing) };
            divisor += if ignored { 0.0 } else { weight[t] };
            let got = losses[r].to_f64();
            assert!((got - want).abs() <= tolerance * (1.0 + want.abs()), "loss {rows}x{n} row {r}: {got}, not {want}");
            for c in 0..n.min(40) {
                let step = 1e-5;
                let mut moved = row.to_vec();
                moved[c] += step;
                let up = oracle(&moved, t, &weight, smoothing);
                moved[c] -= 2.0 * step;
                let slope = (up - oracle(&moved, t, &weight, smoothing)) / (2.0 * step);
                let want = if ignored { 0.0 } else { slope * scale[r] };
                let got = dx[r * n + c].to_f64();
                // The slope itself is good to about 1e-9.
                assert!(
                    (got - want).abs() <= tolerance.max(1e-8) * (1.0 + want.abs()),
                    "dx {rows}x{n} {r} {c}: {got}, not {want}"
                );
            }
        }
        assert!((loss.divisor(&target).to_f64() - divisor).abs() <= tolerance * (1.0 + divisor));
    }

    #[test]
    fn agrees_with_the_definition_and_its_slope() {
        for_each_isa(|_| {
            for n in [1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 31, 33, 100, 1025] {
                for (has_weight, smoothing) in [(false, 0.0), (true, 0.0), (false, 0.1), (true, 0.3)] {
                    check_type::<f32>(7, n, has_weight, smoothing, 5e-6);
                    check_type::<f64>(7, n, has_weight, smoothing, 1e-13);
                }
            }
        });
        check_type::<f32>(4000, 10, true, 0.1, 5e-6);
    }

    #[test]
    fn bad_targets_are_found() {
        assert_eq!(bad_target(&[0, 2, -100, 1], 3, -100), None);
        assert_eq!(bad_target(&[0, 3, 1], 3, -100), Some(3));
        assert_eq!(bad_target(&[0, -1, 1], 3, -100), Some(-1));
        assert_eq!(bad_target(&[7], 3, 7), None);
    }

    #[test]
    fn certain_rows() {
        let loss = CrossEntropy { weight: None, ignore_index: -100, label_smoothing: 0.0 };
        let (mut losses, mut lse, mut dx) = ([9f32; 2], [9f32; 2], [9f32; 4]);
        let logits = [0.0, f32::NEG_INFINITY, 1e30, -1e30];
        loss.forward(&logits, &[0, 1], &mut losses, &mut lse);
        assert_eq!(losses[0], 0.0);
        assert_eq!(losses[1], 2e30);
        loss.backward(&logits, &[0, 1], &lse, &[1.0], &mut dx);
        assert_eq!(dx, [0.0, 0.0, 1.0, -1.0]);
    }
}
