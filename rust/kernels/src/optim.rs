//! Optimizer steps, fused: every number of every parameter is read and written once, and many small tensors are shared
//! out between threads as if they were one long one.

use crate::pool;
use crate::rows::{GRAIN, for_lanes, load, store};
use crate::simd::{Float, simd_fn};

/// Stochastic gradient descent, with torch's names and formula.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Factor of the momentum buffer; 0 for none.
    pub momentum: f64,
    /// How much less than the whole gradient enters the momentum buffer.
    pub dampening: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
    /// Looks one step ahead along the momentum.
    pub nesterov: bool,
    /// Climbs instead of descending.
    pub maximize: bool,
}

/// One parameter of an [`Sgd`] step.
#[derive(Debug)]
pub struct SgdParam<'a, T> {
    /// The parameter.
    pub param: &'a mut [T],
    /// Its gradient.
    pub grad: &'a [T],
    /// Its momentum buffer, if there is momentum.
    pub momentum: Option<&'a mut [T]>,
    /// Whether this is its first step: the momentum buffer then starts as the gradient, whatever it held.
    pub is_first: bool,
}

/// Adam and AdamW, with torch's names and formula.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the average of gradients.
    pub beta1: f64,
    /// Decay of the average of squared gradients.
    pub beta2: f64,
    /// Added to the root, against division by zero.
    pub eps: f64,
    /// L2 penalty, or shrinkage if `decoupled`.
    pub weight_decay: f64,
    /// Whether weight decay shrinks the parameter (AdamW) rather than joining the gradient (Adam).
    pub decoupled: bool,
    /// Climbs instead of descending.
    pub maximize: bool,
}

/// One parameter of an [`Adam`] step.
#[derive(Debug)]
pub struct AdamParam<'a, T> {
    /// The parameter.
    pub param: &'a mut [T],
    /// Its gradient.
    pub grad: &'a [T],
    /// The running average of its gradients.
    pub exp_avg: &'a mut [T],
    /// The running average of their squares.
    pub exp_avg_sq: &'a mut [T],
    /// The greatest such average so far (AMSGrad), or none.
    pub max_exp_avg_sq: Option<&'a mut [T]>,
    /// Number of this step, counted from 1.
    pub step: u64,
}

/// Calls `f(tensor, first element, elements)` on pieces that cover tensors of these lengths. Long tensors are cut and
/// short ones put together, so that tasks are of one size.
fn for_each_piece(lengths: &[usize], f: impl Fn(usize, usize, usize) + Sync) {
    let total: usize = lengths.iter().sum();
    let mut starts = Vec::with_capacity(lengths.len());
    let mut start = 0;
    for len in lengths {
        starts.push(start);
        start += len;
    }
    // The range of a task among all elements, laid end to end.
    pool::chunked(total, GRAIN, |range| {
        // The last tensor that starts at or before the range; empty ones that start there too hold nothing.
        let mut tensor = starts.partition_point(|&s| s <= range.start) - 1;
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(starts[tensor] + lengths[tensor]);
            if at < end {
                f(tensor, at - starts[tensor], end - at);
                at = end;
            }
            tensor += 1;
        }
    });
}

/// The addresses of one parameter's numbers, for the pool's threads.
struct Addresses<T, const N: usize> {
    written: [*mut T; N],
    grad: *const T,
}
// SAFETY: the pieces that tasks work on do not overlap.
unsafe impl<T: Send, const N: usize> Sync for Addresses<T, N> {}

impl<T, const N: usize> Addresses<T, N> {
    /// Moved to element `first`; null stays null.
    fn at(&self, first: usize) -> ([*mut T; N], *const T) {
        let moved = self.written.map(|p| if p.is_null() { p } else { p.wrapping_add(first) });
        (moved, self.grad.wrapping_add(first))
    }
}

/// One step of stochastic gradient descent for all `params`.
///
/// # Panics
/// When a parameter's slices differ in length, or there is momentum and no buffer for it.
pub fn sgd<T: Float>(settings: &Sgd, params: &mut [SgdParam<'_, T>]) {
    let lengths: Vec<usize> = params.iter().map(|p| p.param.len()).collect();
    let is_first: Vec<bool> = params.iter().map(|p| p.is_first).collect();
    let addresses: Vec<_> = params
        .iter_mut()
        .map(|p| {
            assert_eq!(p.grad.len(), p.param.len(), "sgd: one gradient per number");
            let buffer = match &mut p.momentum {
                _ if settings.momentum == 0.0 => std::ptr::null_mut(),
                Some(buffer) => {
                    assert_eq!(buffer.len(), p.param.len(), "sgd: one momentum per number");
                    buffer.as_mut_ptr()
                }
                None => panic!("sgd: momentum needs a buffer"),
            };
            Addresses { written: [p.param.as_mut_ptr(), buffer], grad: p.grad.as_ptr() }
        })
        .collect();
    for_each_piece(&lengths, |tensor, first, n| {
        let ([param, buffer], grad) = addresses[tensor].at(first);
        // SAFETY: n numbers from `first` on lie in each slice; pieces do not overlap.
        unsafe { sgd_run(*settings, n, param, grad, buffer, is_first[tensor]) };
    });
}

simd_fn! {
    /// # Safety
    /// All are valid for `n` numbers; `buffer` may be null.
    unsafe fn sgd_run<T: Float, V>(s: Sgd, n: usize, param: *mut T, grad: *const T, buffer: *mut T, is_first: bool) {
        let (decay, lr) = (V::from_f64(s.weight_decay), V::from_f64(-s.lr));
        let (momentum, fresh) = (V::from_f64(s.momentum), V::from_f64(1.0 - s.dampening));
        let sign = V::from_f64(if s.maximize { -1.0 } else { 1.0 });
        for_lanes!(V, n, |i, len| {
            // SAFETY: i + len <= n.
            unsafe {
                let p: V = load(param.add(i), len);
                let mut g = load::<V>(grad.add(i), len) * sign;
                if s.weight_decay != 0.0 {
                    g = p.mul_add(decay, g);
                }
                if !buffer.is_null() {
                    let m = if is_first { g } else { load::<V>(buffer.add(i), len).mul_add(momentum, g * fresh) };
                    store(m, buffer.add(i), len);
                    g = if s.nesterov { m.mul_add(momentum, g) } else { m };
                }
                store(g.mul_add(lr, p), param.add(i), len);
            }
        });
    }
}

/// One step of Adam (or AdamW, or AMSGrad) for all `params`.
///
/// # Panics
/// When a parameter's slices differ in length, or a step is 0.
pub fn adam<T: Float>(settings: &Adam, params: &mut [AdamParam<'_, T>]) {
    let lengths: Vec<usize> = params.iter().map(|p| p.param.len()).collect();
    let steps: Vec<u64> = params.iter().map(|p| p.step).collect();
    let addresses: Vec<_> = params
        .iter_mut()
        .map(|p| {
            let n = p.param.len();
            assert!(p.step > 0, "adam: steps are counted from 1");
            assert!(
                p.grad.len() == n && p.exp_avg.len() == n && p.exp_avg_sq.len() == n,
                "adam: slices must be of one length"
            );
            let greatest = p.max_exp_avg_sq.as_mut().map_or(std::ptr::null_mut(), |greatest| {
                assert_eq!(greatest.len(), n, "adam: slices must be of one length");
                greatest.as_mut_ptr()
            });
            let written = [p.param.as_mut_ptr(), p.exp_avg.as_mut_ptr(), p.exp_avg_sq.as_mut_ptr(), greatest];
            Addresses { written, grad: p.grad.as_ptr() }
        })
        .collect();
    for_each_piece(&lengths, |tensor, first, n| {
        let (written, grad) = addresses[tensor].at(first);
        // SAFETY: n numbers from `first` on lie in each slice; pieces do not overlap.
        unsafe { adam_run(*settings, n, written, grad, steps[tensor]) };
    });
}

simd_fn! {
    /// # Safety
    /// All of `written` (parameter, average, squares, greatest squares) and `grad` are valid for `n` numbers; the last
    /// of `written` may be null.
    unsafe fn adam_run<T: Float, V>(s: Adam, n: usize, written: [*mut T; 4], grad: *const T, step: u64) {
        let [param, average, squares, greatest] = written;
        // Bias corrections in f64, as torch computes them: 1 - 0.999 in f32 is off by 5e-5.
        let correction1 = 1.0 - s.beta1.powf(step as f64);
        let correction2 = 1.0 - s.beta2.powf(step as f64);
        let step_size = V::from_f64(-s.lr / correction1);
        let root2 = V::from_f64(1.0 / correction2.sqrt());
        let (fresh1, fresh2) = (V::from_f64(1.0 - s.beta1), V::from_f64(1.0 - s.beta2));
        let (beta2, eps) = (V::from_f64(s.beta2), V::from_f64(s.eps));
        let (decay, shrink) = (V::from_f64(s.weight_decay), V::from_f64(1.0 - s.lr * s.weight_decay));
        let sign = V::from_f64(if s.maximize { -1.0 } else { 1.0 });
        for_lanes!(V, n, |i, len| {
            // SAFETY: i + len <= n.
            unsafe {
                let mut p: V = load(param.add(i), len);
                let mut g = load::<V>(grad.add(i), len) * sign;
                if s.weight_decay != 0.0 {
                    if s.decoupled {
                        p = p * shrink;
                    } else {
                        g = p.mul_add(decay, g);
                    }
                }
                let m: V = load(average.add(i), len);
                let m = (g - m).mul_add(fresh1, m);
                let v = load::<V>(squares.add(i), len).mul_add(beta2, g * g * fresh2);
                store(m, average.add(i), len);
                store(v, squares.add(i), len);
                let mut root = v;
                if !greatest.is_null() {
                    root = v.maximum(load(greatest.add(i), len));
                    store(root, greatest.add(i), len);
                }
                let denominator = root.sqrt().mul_add(root2, eps);
                store((m / denominator).mul_add(step_size, p), param.add(i), len);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::test_override::for_each_isa;

    fn noise<T: Float>(n: usize, seed: usize) -> Vec<T> {
        (0..n).map(|i| T::of_f64(((i + seed * 7919) as f64 * 0.618_033_988_749).fract() - 0.5)).collect()
    }

    /// Lengths around lanes and pieces, with empty tensors between.
    const LENGTHS: [usize; 14] = [0, 1, 7, 8, 9, 0, 15, 16, 17, 33, 40_000, 0, 100, 16_385];

    fn close<T: Float>(name: &str, got: &[T], want: &[f64]) {
        let tolerance = if T::IS_F64 { 1e-14 } else { 2e-6 };
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let error = (got.to_f64() - want).abs();
            assert!(error <= tolerance * (1.0 + want.abs()), "{name} {i}: {got}, not {want}");
        }
    }

    fn check_sgd<T: Float>(settings: Sgd) {
        let mut params: Vec<Vec<T>> = LENGTHS.iter().map(|&n| noise(n, 1)).collect();
        let mut buffers: Vec<Vec<T>> = LENGTHS.iter().map(|&n| vec![T::NAN; n]).collect();
        let mut want: Vec<Vec<f64>> = params.iter().map(|p| p.iter().map(|x| x.to_f64()).collect()).collect();
        let mut want_buffers: Vec<Vec<f64>> = LENGTHS.iter().map(|&n| vec![0.0; n]).collect();
        for step in 0..3 {
            let grads: Vec<Vec<T>> = LENGTHS.iter().map(|&n| noise(n, 10 + step)).collect();
            let mut list: Vec<_> = params
                .iter_mut()
                .zip(&grads)
                .zip(&mut buffers)
                .map(|((param, grad), buffer)| SgdParam { param, grad, momentum: Some(buffer), is_first: step == 0 })
                .collect();
            sgd(&settings, &mut list);
            for (k, grad) in grads.iter().enumerate() {
                for (i, g) in grad.iter().enumerate() {
                    let p = &mut want[k][i];
                    let mut g = g.to_f64() * if settings.maximize { -1.0 } else { 1.0 } + settings.weight_decay * *p;
                    if settings.momentum != 0.0 {
                        let m = &mut want_buffers[k][i];
                        *m = if step == 0 { g } else { settings.momentum * *m + (1.0 - settings.dampening) * g };
                        g = if settings.nesterov { g + settings.momentum * *m } else { *m };
                    }
                    *p -= settings.lr * g;
                }
            }
        }
        for k in 0..LENGTHS.len() {
            close("param", &params[k], &want[k]);
            if settings.momentum != 0.0 {
                close("momentum", &buffers[k], &want_buffers[k]);
            }
        }
    }

    #[test]
    fn sgd_agrees_with_the_formula() {
        let plain = Sgd { lr: 0.1, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false, maximize: false };
        for_each_isa(|_| {
            for settings in [
                plain,
                Sgd { weight_decay: 0.3, maximize: true, ..plain },
                Sgd { momentum: 0.9, dampening: 0.2, weight_decay: 0.1, ..plain },
                Sgd { momentum: 0.8, nesterov: true, ..plain },
            ] {
                check_sgd::<f32>(settings);
                check_sgd::<f64>(settings);
            }
        });
    }

    fn check_adam<T: Float>(s: Adam, amsgrad: bool) {
        /// A parameter and its state.
        struct Held<T> {
            param: Vec<T>,
            average: Vec<T>,
            square: Vec<T>,
            greatest: Vec<T>,
        }
        let zeros = |n| vec![T::of_f64(0.0); n];
        let mut held: Vec<Held<T>> = LENGTHS
            .iter()
            .map(|&n| Held { param: noise(n, 1), average: zeros(n), square: zeros(n), greatest: zeros(n) })
            .collect();
        let mut want: Vec<Vec<f64>> = held.iter().map(|h| h.param.iter().map(|x| x.to_f64()).collect()).collect();
        let mut state: Vec<Vec<[f64; 3]>> = LENGTHS.iter().map(|&n| vec![[0.0; 3]; n]).collect();
        for step in 1..=3 {
            // Gradients that shrink, so that AMSGrad differs.
            let grads: Vec<Vec<T>> = LENGTHS
                .iter()
                .map(|&n| noise::<T>(n, 10 + step).iter().map(|&g| g / T::of_f64((step * step) as f64)).collect())
                .collect();
            let mut list: Vec<_> = held
                .iter_mut()
                .zip(&grads)
                .map(|(h, grad)| AdamParam {
                    param: &mut h.param,
                    grad,
                    exp_avg: &mut h.average,
                    exp_avg_sq: &mut h.square,
                    max_exp_avg_sq: amsgrad.then_some(&mut h.greatest[..]),
                    step: step as u64,
                })
                .collect();
            adam(&s, &mut list);
            for (k, grad) in grads.iter().enumerate() {
                for (i, g) in grad.iter().enumerate() {
                    let (p, [m, v, max]) = (&mut want[k][i], &mut state[k][i]);
                    let mut g = g.to_f64() * if s.maximize { -1.0 } else { 1.0 };
                    if s.decoupled {
                        *p *= 1.0 - s.lr * s.weight_decay;
                    } else {
                        g += s.weight_decay * *p;
                    }
                    *m += (g - *m) * (1.0 - s.beta1);
                    *v = *v * s.beta2 + (1.0 - s.beta2) * g * g;
                    *max = max.max(*v);
                    let root = if amsgrad { *max } else { *v };
                    let (c1, c2) = (1.0 - s.beta1.powi(step as i32), 1.0 - s.beta2.powi(step as i32));
                    *p -= s.lr / c1 * *m / (root.sqrt() / c2.sqrt() + s.eps);
                }
            }
        }
        for k in 0..LENGTHS.len() {
            close("param", &held[k].param, &want[k]);
            close("exp_avg", &held[k].average, &state[k].iter().map(|s| s[0]).collect::<Vec<_>>());
            close("exp_avg_sq", &held[k].square, &state[k].iter().map(|s| s[1]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn adam_agrees_with_the_formula() {
        let plain =
            Adam { lr: 1e-2, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, decoupled: false, maximize: false };
        for_each_isa(|_| {
            for settings in [
                plain,
                Adam { weight_decay: 0.1, maximize: true, ..plain },
                Adam { weight_decay: 0.1, decoupled: true, ..plain },
            ] {
                for amsgrad in [false, true] {
                    check_adam::<f32>(settings, amsgrad);
                    check_adam::<f64>(settings, amsgrad);
                }
            }
        });
    }

    #[test]
    fn no_parameters_are_no_work() {
        let s = Sgd { lr: 0.1, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false, maximize: false };
        sgd::<f32>(&s, &mut []);
        let (mut none, grad) = ([], []);
        sgd::<f32>(&s, &mut [SgdParam { param: &mut none, grad: &grad, momentum: None, is_first: true }]);
    }
}
