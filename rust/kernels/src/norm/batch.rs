//! Batch normalisation of contiguous `[batch, channels, length]` tensors.

use crate::elementwise::FloatElement;
use crate::pool;
use crate::reduce::{Reduction, Sum, SumSquares, fold_into};
use crate::rows::{GRAIN, Shared, for_lanes, load, store, sum_lanes};
use crate::simd::{Float, simd_fn};

/// The mean and the variance (without correction) of each channel.
///
/// # Panics
/// When a slice does not fit.
pub fn batch_moments<T: Float + FloatElement<Compute = T>>(
    x: &[T],
    [batch, channels, length]: [usize; 3],
    mean: &mut [T],
    var: &mut [T],
) {
    assert_eq!(x.len(), batch * channels * length, "batch_norm: the input must have the given shape");
    assert!(mean.len() == channels && var.len() == channels, "batch_norm: one result per channel");
    let strides = [(channels * length) as isize, length as isize, 1];
    let layout = Reduction::new(&[batch, channels, length], &strides, &[true, false, true]);
    let count = T::of_f64((batch * length) as f64);
    // SAFETY: the input has the layout's shape, and there is one place per channel.
    unsafe {
        fold_into(Sum, &layout, None, x.as_ptr(), mean.as_mut_ptr(), |total, _| total / count);
        fold_into(SumSquares, &layout, Some(mean), x.as_ptr(), var.as_mut_ptr(), |total, _| total / count);
    }
}

/// What normalises: one number per channel each.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a, T> {
    /// Batch, channels, length.
    pub shape: [usize; 3],
    /// Of the batch in training, running otherwise.
    pub mean: &'a [T],
    /// `1 / sqrt(var + eps)`.
    pub rstd: &'a [T],
    /// Factor after normalisation.
    pub weight: Option<&'a [T]>,
}

impl<T: Float> BatchNorm<'_, T> {
    fn check(&self, lengths: &[usize]) {
        let [batch, channels, length] = self.shape;
        for &len in lengths {
            assert_eq!(len, batch * channels * length, "batch_norm: tensors must have the given shape");
        }
        let fits = self.mean.len() == channels && self.rstd.len() == channels;
        assert!(fits && self.weight.is_none_or(|w| w.len() == channels), "batch_norm: one number per channel");
    }

    fn weight_of(&self, channel: usize) -> T {
        self.weight.map_or(T::of_f64(1.0), |w| w[channel])
    }

    /// `y = (x - mean) * rstd * weight + bias`.
    ///
    /// # Panics
    /// When a slice does not fit.
    pub fn apply(&self, x: &[T], bias: Option<&[T]>, y: &mut [T]) {
        self.check(&[x.len(), y.len()]);
        let channels = self.shape[1];
        assert!(bias.is_none_or(|b| b.len() == channels), "batch_norm: one bias per channel");
        let scale: Vec<T> = (0..channels).map(|c| self.rstd[c] * self.weight_of(c)).collect();
        let zeros = vec![T::of_f64(0.0); if bias.is_none() { channels } else { 0 }];
        // y = 0 * x + scale * (x - mean) + bias
        let terms = Terms { shift: self.mean, scale: &scale, second: None, offset: bias.unwrap_or(&zeros) };
        terms.apply(self.shape, x, None, y);
    }

    /// The gradients: with respect to `x`, and to weight and bias. `is_training` says whether the mean and variance
    /// were those of `x` itself, and so depend on it.
    ///
    /// # Panics
    /// When a slice does not fit.
    pub fn backward(&self, dy: &[T], x: &[T], is_training: bool, dx: &mut [T], dweight: &mut [T], dbias: &mut [T]) {
        self.check(&[dy.len(), x.len(), dx.len()]);
        let [batch, channels, length] = self.shape;
        assert!(dweight.len() == channels && dbias.len() == channels, "batch_norm: one gradient per channel");
        self.sums(dy, x, dweight, dbias);
        let scale: Vec<T> = (0..channels).map(|c| self.rstd[c] * self.weight_of(c)).collect();
        // dx = scale * (dy - mean(dy) - normal * mean(dy * normal)), or scale * dy when the moments are constants.
        let share = T::of_f64(if is_training { 1.0 / (batch * length) as f64 } else { 0.0 });
        let along: Vec<T> = (0..channels).map(|c| -scale[c] * self.rstd[c] * dweight[c] * share).collect();
        let offset: Vec<T> = (0..channels).map(|c| -scale[c] * dbias[c] * share).collect();
        // As a function of x and dy: along * (x - mean) + scale * dy + offset.
        let terms = Terms { shift: self.mean, scale: &along, second: Some(&scale), offset: &offset };
        terms.apply(self.shape, x, Some(dy), dx);
    }

    /// `dweight = sum(dy * normal)` and `dbias = sum(dy)` of each channel, in parts that depend on the shape alone.
    fn sums(&self, dy: &[T], x: &[T], dweight: &mut [T], dbias: &mut [T]) {
        let [batch, channels, length] = self.shape;
        let per_task = (GRAIN / (channels * length).max(1)).max(batch.div_ceil(64)).max(1);
        let tasks = batch.div_ceil(per_task);
        let mut parts = vec![T::of_f64(0.0); tasks * 2 * channels];
        {
            let (dy, x) = (Shared::new_const(dy.as_ptr()), Shared::new_const(x.as_ptr()));
            let (mean, rstd) = (Shared::new_const(self.mean.as_ptr()), Shared::new_const(self.rstd.as_ptr()));
            let parts = Shared::new(&mut parts);
            let image = channels * length;
            // Tasks are (part of the batch, part of the channels), so that one large image is shared out too.
            let band = channels.min((GRAIN / (per_task * length).max(1)).max(16));
            let bands = channels.div_ceil(band.max(1));
            pool::parallel_for(tasks * bands, &|i| {
                let (task, first) = (i / bands, (i % bands) * band);
                let images = per_task.min(batch - task * per_task);
                let at = task * per_task * image + first * length;
                let shape = [images, band.min(channels - first), length];
                let (sums, moments) = (parts.at(task * 2 * channels + first), [mean.at(first), rstd.at(first)]);
                // SAFETY: the images and channels of this task, and its own part of the sums.
                unsafe {
                    channel_sums(dy.at(at), x.at(at), shape, image, moments.map(<*mut T>::cast_const), sums, channels)
                };
            });
        }
        for (k, total) in [dweight, dbias].into_iter().enumerate() {
            total.fill(T::of_f64(0.0));
            for part in parts.chunks_exact((2 * channels).max(1)) {
                for (total, &part) in total.iter_mut().zip(&part[k * channels..(k + 1) * channels]) {
                    *total = *total + part;
                }
            }
        }
    }
}

simd_fn! {
    /// Adds `sum(dy * normal)` to `sums` and `sum(dy)` to `sums + apart`, for every channel.
    ///
    /// # Safety
    /// `dy` and `x` are valid for images `image` numbers apart; `moments` (mean, rstd) and both sums for each channel.
    unsafe fn channel_sums<T: Float, V>(
        dy: *const T, x: *const T, shape: [usize; 3], image: usize, moments: [*const T; 2], sums: *mut T, apart: usize
    ) {
        let [images, channels, length] = shape;
        let [mean, rstd] = moments;
        // SAFETY: the caller's promise.
        unsafe {
            if length == 1 {
                // Channels lie side by side: one lane each.
                for_lanes!(V, channels, |c, len| {
                    let (center, rstd) = (load::<V>(mean.add(c), len), load::<V>(rstd.add(c), len));
                    let (mut with_x, mut total) = (V::zero(), V::zero());
                    for b in 0..images {
                        let g: V = load(dy.add(b * image + c), len);
                        with_x = g.mul_add(load::<V>(x.add(b * image + c), len) - center, with_x);
                        total = total + g;
                    }
                    store(with_x * rstd, sums.add(c), len);
                    store(total, sums.add(apart + c), len);
                });
                return;
            }
            for c in 0..channels {
                let center = V::splat(*mean.add(c));
                let (mut with_x, mut total) = (T::of_f64(0.0), T::of_f64(0.0));
                for b in 0..images {
                    let (dy, x) = (dy.add(b * image + c * length), x.add(b * image + c * length));
                    let mut part = V::zero();
                    total = total + sum_lanes!(V, length, |i, len| {
                        let g: V = load(dy.add(i), len);
                        // Lanes behind the end have g = 0, whatever their x.
                        part = g.mul_add(load::<V>(x.add(i), len) - center, part);
                        g
                    });
                    with_x = with_x + part.reduce_add();
                }
                *sums.add(c) = with_x * *rstd.add(c);
                *sums.add(apart + c) = total;
            }
        }
    }
}

/// `out = scale * (x - shift) + second * z + offset`, with one number of each per channel.
struct Terms<'a, T> {
    shift: &'a [T],
    scale: &'a [T],
    second: Option<&'a [T]>,
    offset: &'a [T],
}

impl<T: Float> Terms<'_, T> {
    fn apply(&self, [batch, channels, length]: [usize; 3], x: &[T], z: Option<&[T]>, out: &mut [T]) {
        let optional = |slice: Option<&[T]>| slice.map_or(std::ptr::null(), <[T]>::as_ptr);
        let (x, z) = (Shared::new_const(x.as_ptr()), Shared::new_const(optional(z)));
        let out = Shared::new(out);
        let terms = [self.shift.as_ptr(), self.scale.as_ptr(), optional(self.second), self.offset.as_ptr()]
            .map(Shared::new_const);
        // Runs of one channel, or whole images where a channel is one number.
        let (runs, run) = if length == 1 { (batch, channels) } else { (batch * channels, length) };
        if run == 0 {
            return;
        }
        pool::chunked(runs, (GRAIN / run).max(1), |range| {
            for r in range {
                // SAFETY: run r, which is this task's own, and the numbers of its channel (or channels).
                unsafe {
                    let z = if z.at(0).is_null() { z.at(0) } else { z.at(r * run) };
                    let arrays = [x.at(r * run), z].map(<*mut T>::cast_const);
                    let channel = if length == 1 { 0 } else { r % channels };
                    let terms = terms.map(|t| if t.at(0).is_null() { t.at(0) } else { t.at(channel) }.cast_const());
                    terms_run(arrays, run, terms, length != 1, out.at(r * run));
                }
            }
        });
    }
}

simd_fn! {
    /// # Safety
    /// `arrays` (x, and z or null) and `out` are valid for `n` numbers; `terms` (shift, scale, second or null, offset)
    /// for one number each if `is_one_channel`, otherwise for `n`.
    unsafe fn terms_run<T: Float, V>(
        arrays: [*const T; 2], n: usize, terms: [*const T; 4], is_one_channel: bool, out: *mut T
    ) {
        let [x, z] = arrays;
        let [shift, scale, second, offset] = terms;
        // SAFETY: all accesses are below n, or at the one number of the channel.
        unsafe {
            if is_one_channel {
                let (shift, scale, offset) = (V::splat(*shift), V::splat(*scale), V::splat(*offset));
                if z.is_null() {
                    for_lanes!(V, n, |i, len| {
                        store((load::<V>(x.add(i), len) - shift).mul_add(scale, offset), out.add(i), len);
                    });
                } else {
                    let second = V::splat(*second);
                    for_lanes!(V, n, |i, len| {
                        let rest = load::<V>(z.add(i), len).mul_add(second, offset);
                        store((load::<V>(x.add(i), len) - shift).mul_add(scale, rest), out.add(i), len);
                    });
                }
            } else {
                for_lanes!(V, n, |i, len| {
                    let mut rest: V = load(offset.add(i), len);
                    if !z.is_null() {
                        rest = load::<V>(z.add(i), len).mul_add(load(second.add(i), len), rest);
                    }
                    let centered = load::<V>(x.add(i), len) - load(shift.add(i), len);
                    store(centered.mul_add(load(scale.add(i), len), rest), out.add(i), len);
                });
            }
        }
    }
}
