//! Both normalisations and their gradients against the definitions in f64, the gradients by differences.

use super::*;
use crate::elementwise::FloatElement;
use crate::isa::test_override::for_each_isa;
use crate::simd::Float;

fn noise(n: usize, seed: usize) -> Vec<f64> {
    (0..n).map(|i| (((i + seed * 7919) as f64 * 0.618_033_988_749).fract() - 0.5) * 4.0 + 0.3).collect()
}

fn convert<T: Float>(x: &[f64]) -> Vec<T> {
    x.iter().map(|&x| T::of_f64(x)).collect()
}

fn close<T: Float>(name: &str, got: &[T], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got.to_f64() - want).abs();
        assert!(error <= tolerance * (1.0 + want.abs()), "{name} {i}: {got}, not {want} (tolerance {tolerance})");
    }
}

/// Normalises each group of positions to mean 0 and variance 1.
fn normalize(x: &[f64], groups: &[Vec<usize>], eps: f64) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (mut y, mut means, mut rstds) = (vec![0.0; x.len()], Vec::new(), Vec::new());
    for group in groups {
        let n = group.len() as f64;
        let mean = group.iter().map(|&i| x[i]).sum::<f64>() / n;
        let var = group.iter().map(|&i| (x[i] - mean).powi(2)).sum::<f64>() / n;
        let rstd = 1.0 / (var + eps).sqrt();
        for &i in group {
            y[i] = (x[i] - mean) * rstd;
        }
        means.push(mean);
        rstds.push(rstd);
    }
    (y, means, rstds)
}

/// The gradient of `sum(dy * normal(x) * weight)` where `moved` positions are differentiated by central differences.
fn slopes(x: &[f64], dy: &[f64], weight: &[f64], groups: &[Vec<usize>], eps: f64) -> Vec<f64> {
    // The closed form, checked against differences at a few positions.
    let (y, _, rstds) = normalize(x, groups, eps);
    let mut dx = vec![0.0; x.len()];
    for (group, rstd) in groups.iter().zip(&rstds) {
        let n = group.len() as f64;
        let g = group.iter().map(|&i| dy[i] * weight[i]).sum::<f64>() / n;
        let gx = group.iter().map(|&i| dy[i] * weight[i] * y[i]).sum::<f64>() / n;
        for &i in group {
            dx[i] = rstd * (dy[i] * weight[i] - g - y[i] * gx);
        }
    }
    let value = |x: &[f64]| -> f64 {
        normalize(x, groups, eps).0.iter().zip(dy).zip(weight).map(|((y, g), w)| y * g * w).sum()
    };
    for i in [0, x.len() / 2, x.len() - 1] {
        let step = 1e-5;
        let mut moved = x.to_vec();
        moved[i] += step;
        let up = value(&moved);
        moved[i] -= 2.0 * step;
        let slope = (up - value(&moved)) / (2.0 * step);
        assert!((slope - dx[i]).abs() < 1e-4 * (1.0 + dx[i].abs()), "the oracle itself: {slope}, not {}", dx[i]);
    }
    dx
}

fn check_layer<T: Float>(rows: usize, n: usize, has_affine: bool, tolerance: f64) {
    let eps = 1e-3;
    let (x, dy, w, b) = (noise(rows * n, 1), noise(rows * n, 2), noise(n, 3), noise(n, 4));
    let (w, b) = if has_affine { (w, b) } else { (vec![1.0; n], vec![0.0; n]) };
    let groups: Vec<Vec<usize>> = (0..rows).map(|r| (r * n..(r + 1) * n).collect()).collect();
    let (normal, means, rstds) = normalize(&x, &groups, eps);
    let spread: Vec<f64> = (0..rows * n).map(|i| w[i % n]).collect();
    let want_y: Vec<f64> = (0..rows * n).map(|i| normal[i] * w[i % n] + b[i % n]).collect();
    let want_dx = slopes(&x, &dy, &spread, &groups, eps);
    let column =
        |f: &dyn Fn(usize) -> f64| -> Vec<f64> { (0..n).map(|c| (0..rows).map(|r| f(r * n + c)).sum()).collect() };

    let (x, dy, w, b) = (convert::<T>(&x), convert::<T>(&dy), convert::<T>(&w), convert::<T>(&b));
    let (weight, bias) = (has_affine.then_some(&w[..]), has_affine.then_some(&b[..]));
    let (mut y, mut mean, mut rstd) = (vec![T::NAN; rows * n], vec![T::NAN; rows], vec![T::NAN; rows]);
    layer_norm(&x, n, weight, bias, eps, &mut y, &mut mean, &mut rstd);
    close("y", &y, &want_y, tolerance);
    close("mean", &mean, &means, tolerance);
    close("rstd", &rstd, &rstds, tolerance * 10.0);
    let (mut dx, mut dw, mut db) = (vec![T::NAN; rows * n], vec![T::NAN; n], vec![T::NAN; n]);
    layer_norm_backward(&dy, &x, n, weight, &mean, &rstd, &mut dx, Some(&mut dw), Some(&mut db));
    // A gradient is divided by the spread of its row, which may be small.
    close("dx", &dx, &want_dx, tolerance * 100.0);
    let many = rows as f64;
    close("dweight", &dw, &column(&|i| dy[i].to_f64() * normal[i]), tolerance * many);
    close("dbias", &db, &column(&|i| dy[i].to_f64()), tolerance * many);
    let mut again = vec![T::NAN; rows * n];
    layer_norm_backward(&dy, &x, n, weight, &mean, &rstd, &mut again, None, None);
    assert!(again == dx, "dx must not depend on which gradients are wanted");
}

#[test]
fn layer_norm_agrees_with_the_definition() {
    for_each_isa(|_| {
        for n in (2..36).chain([63, 64, 65, 384, 1023, 1025]) {
            for has_affine in [false, true] {
                check_layer::<f32>(5, n, has_affine, 3e-6);
                // The oracle rounds too, in the same type.
                check_layer::<f64>(5, n, has_affine, 5e-14);
            }
        }
    });
    check_layer::<f32>(3000, 20, true, 3e-6);
}

fn check_batch<T: Float + FloatElement<Compute = T>>(shape: [usize; 3], has_weight: bool, tolerance: f64) {
    let [batch, channels, length] = shape;
    let (len, eps) = (batch * channels * length, 1e-3);
    let channel_of = |i: usize| (i / length) % channels;
    let (x, dy, w, b) = (noise(len, 1), noise(len, 2), noise(channels, 3), noise(channels, 4));
    let w = if has_weight { w } else { vec![1.0; channels] };
    let groups: Vec<Vec<usize>> = (0..channels).map(|c| (0..len).filter(|&i| channel_of(i) == c).collect()).collect();
    let (normal, means, rstds) = normalize(&x, &groups, eps);
    let spread: Vec<f64> = (0..len).map(|i| w[channel_of(i)]).collect();
    let want_y: Vec<f64> = (0..len).map(|i| normal[i] * spread[i] + b[channel_of(i)]).collect();
    let want_dx = slopes(&x, &dy, &spread, &groups, eps);
    let want_eval: Vec<f64> = (0..len).map(|i| dy[i] * spread[i] * rstds[channel_of(i)]).collect();
    let sums =
        |f: &dyn Fn(usize) -> f64| -> Vec<f64> { groups.iter().map(|g| g.iter().map(|&i| f(i)).sum()).collect() };

    let (x, dy, w, b) = (convert::<T>(&x), convert::<T>(&dy), convert::<T>(&w), convert::<T>(&b));
    let (mut mean, mut var) = (vec![T::NAN; channels], vec![T::NAN; channels]);
    batch_moments(&x, shape, &mut mean, &mut var);
    close("mean", &mean, &means, tolerance);
    let rstd: Vec<T> = var.iter().map(|&v| T::of_f64(1.0 / (v.to_f64() + eps).sqrt())).collect();
    close("rstd", &rstd, &rstds, tolerance * 10.0);
    let norm = BatchNorm { shape, mean: &mean, rstd: &rstd, weight: has_weight.then_some(&w[..]) };
    let mut y = vec![T::NAN; len];
    norm.apply(&x, Some(&b), &mut y);
    close("y", &y, &want_y, tolerance);
    let (mut dx, mut dw, mut db) = (vec![T::NAN; len], vec![T::NAN; channels], vec![T::NAN; channels]);
    norm.backward(&dy, &x, true, &mut dx, &mut dw, &mut db);
    close("dx", &dx, &want_dx, tolerance * 100.0);
    let many = (batch * length) as f64;
    close("dweight", &dw, &sums(&|i| dy[i].to_f64() * normal[i]), tolerance * many);
    close("dbias", &db, &sums(&|i| dy[i].to_f64()), tolerance * many);
    norm.backward(&dy, &x, false, &mut dx, &mut dw, &mut db);
    close("dx of constants", &dx, &want_eval, tolerance * 10.0);
}

#[test]
fn batch_norm_agrees_with_the_definition() {
    for_each_isa(|_| {
        for length in [1, 2, 3, 7, 16, 17, 33, 100] {
            for (batch, channels) in [(2, 3), (5, 1), (4, 17), (3, 70)] {
                for has_weight in [false, true] {
                    check_batch::<f32>([batch, channels, length], has_weight, 4e-6);
                    check_batch::<f64>([batch, channels, length], has_weight, 2e-14);
                }
            }
        }
    });
    check_batch::<f32>([300, 5, 60], true, 4e-6);
    check_batch::<f32>([2, 300, 80], true, 4e-6);
    check_batch::<f32>([3000, 20, 1], true, 4e-6);
}

#[test]
fn moments_of_large_numbers_keep_their_digits() {
    // Squares of these leave nothing of the spread in f32.
    let x: Vec<f32> = (0..4096).map(|i| 10_000.0 + (i % 2) as f32).collect();
    let (mut mean, mut var) = ([0.0], [0.0]);
    batch_moments(&x, [4096, 1, 1], &mut mean, &mut var);
    assert_eq!((mean[0], var[0]), (10_000.5, 0.25));
    let (mut y, mut mean, mut rstd) = (vec![0f32; 4096], [0.0], [0.0]);
    layer_norm(&x, 4096, None, None, 0.0, &mut y, &mut mean, &mut rstd);
    assert_eq!(rstd[0], 2.0);
}
