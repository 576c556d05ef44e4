//! Random numbers that depend on (seed, offset, element index) and on nothing else.
//!
//! Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"): a block cipher on
//! counters.  Block `offset + i / 4` holds the four words of elements `4 (i / 4)..`; so neither the device, the number
//! of threads nor the vector width can change a stream.  `shaders/philox.wgsl` computes the same numbers: everything in
//! single precision here is written with plain products and sums, in the order in which the shader has them.

use crate::pool;

/// Blocks per task.
const GRAIN: usize = 2048;

/// The four words of one block.
#[inline]
pub fn block(seed: u64, counter: u64) -> [u32; 4] {
    const M: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const W: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    let mut x = [counter as u32, (counter >> 32) as u32, 0, 0];
    let mut key = [seed as u32, (seed >> 32) as u32];
    for _ in 0..10 {
        let p = [u64::from(M[0]) * u64::from(x[0]), u64::from(M[1]) * u64::from(x[2])];
        x = [(p[1] >> 32) as u32 ^ x[1] ^ key[0], p[1] as u32, (p[0] >> 32) as u32 ^ x[3] ^ key[1], p[0] as u32];
        key = [key[0].wrapping_add(W[0]), key[1].wrapping_add(W[1])];
    }
    x
}

/// A uniform number in [0, 1) with 24 random bits.
#[inline]
pub fn unit_f32(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// A uniform number in [0, 1) with 53 random bits.
#[inline]
pub fn unit_f64(high: u32, low: u32) -> f64 {
    ((u64::from(high) << 32 | u64::from(low)) >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// The natural logarithm of a number in (0, 1], to about 1e-7.
#[inline]
fn log_f32(u: f32) -> f32 {
    let bits = u.to_bits();
    let mut exponent = (bits >> 23) as i32 - 127;
    let mut m = f32::from_bits((bits & 0x007f_ffff) | 0x3f80_0000);
    if m > std::f32::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    // log(1 + f) = f - f^2/2 + f^3 P(f): a minimax polynomial for f in [sqrt(1/2) - 1, sqrt(2) - 1].
    let f = m - 1.0;
    let mut p = 7.037_683_6e-2f32;
    for c in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        p = p * f + c;
    }
    let square = f * f;
    let small = f * square * p - 0.5 * square;
    exponent as f32 * std::f32::consts::LN_2 + (f + small)
}

/// cos and sin of 2 pi u for u in [0, 1), to about 1e-7.
#[inline]
fn cos_sin_f32(u: f32) -> (f32, f32) {
    // The nearest quarter turn, exactly; what is left is within an eighth of a turn.
    let quarter = (u * 4.0 + 0.5).floor();
    let r = (u - quarter * 0.25) * 6.283_185_5;
    let z = r * r;
    let sin = ((-1.951_529_6e-4 * z + 8.332_161e-3) * z - 1.666_665_5e-1) * z * r + r;
    let cos = ((2.443_315_7e-5 * z - 1.388_731_6e-3) * z + 4.166_664_6e-2) * z * z - 0.5 * z + 1.0;
    match quarter as i32 & 3 {
        0 => (cos, sin),
        1 => (-sin, cos),
        2 => (-cos, -sin),
        _ => (sin, -cos),
    }
}

/// Two independent normal numbers from two words (Box and Muller 1958).
#[inline]
pub fn normal_f32(a: u32, b: u32) -> (f32, f32) {
    // In (0, 1], so that the logarithm is finite.
    let u = ((a >> 8) + 1) as f32 * (1.0 / 16_777_216.0);
    let radius = (-2.0 * log_f32(u)).sqrt();
    let (cos, sin) = cos_sin_f32(unit_f32(b));
    (radius * cos, radius * sin)
}

/// Two independent normal numbers from a block, in double precision.
#[inline]
pub fn normal_f64(words: [u32; 4]) -> (f64, f64) {
    let u = unit_f64(words[0], words[1]) + 1.0 / 9_007_199_254_740_992.0;
    let radius = (-2.0 * u.ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * unit_f64(words[2], words[3])).sin_cos();
    (radius * cos, radius * sin)
}

/// An integer in `0..range` (at most 2^32 values) from one word, by the high half of a product.
#[inline]
pub fn below_u32(word: u32, range: u64) -> u64 {
    (u64::from(word) * range) >> 32
}

/// An integer in `0..range` from two words.
#[inline]
pub fn below_u64(high: u32, low: u32, range: u64) -> u64 {
    let word = u64::from(high) << 32 | u64::from(low);
    ((u128::from(word) * u128::from(range)) >> 64) as u64
}

/// Fills `out` with `per` elements made from each block, starting at block `offset`.
pub fn fill<T: Copy + Send, const PER: usize>(
    out: &mut [T],
    seed: u64,
    offset: u64,
    make: impl Fn([u32; 4]) -> [T; PER] + Sync,
) {
    struct Shared<T>(*mut T);
    // SAFETY: tasks write disjoint ranges.
    unsafe impl<T: Send> Sync for Shared<T> {}
    impl<T> Shared<T> {
        fn get(&self) -> *mut T {
            self.0
        }
    }
    let len = out.len();
    let target = Shared(out.as_mut_ptr());
    pool::chunked(len.div_ceil(PER), GRAIN, |blocks| {
        for b in blocks {
            let values = make(block(seed, offset.wrapping_add(b as u64)));
            let n = PER.min(len - b * PER);
            // SAFETY: the elements of block `b` lie in `out` and belong to this task.
            unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), target.get().add(b * PER), n) }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cipher_is_philox4x32_10() {
        // Known answers of the reference implementation (Random123): all-zero counter and key.
        assert_eq!(block(0, 0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
    }

    #[test]
    fn the_logarithm_and_the_circle_are_right() {
        for i in 1..=4096u32 {
            let u = i as f32 / 4096.0;
            assert!(
                (f64::from(log_f32(u)) - f64::from(u).ln()).abs() < 4e-7 * (1.0 + f64::from(u).ln().abs()),
                "log {u}"
            );
            let v = (i - 1) as f32 / 4096.0;
            let (c, s) = cos_sin_f32(v);
            let (es, ec) = (std::f64::consts::TAU * f64::from(v)).sin_cos();
            assert!((f64::from(c) - ec).abs() < 3e-7 && (f64::from(s) - es).abs() < 3e-7, "circle {v}");
        }
    }

    #[test]
    fn normal_numbers_have_their_moments() {
        let mut x = vec![0f32; 1 << 16];
        fill(&mut x, 7, 0, |w| {
            let ((a, b), (c, d)) = (normal_f32(w[0], w[1]), normal_f32(w[2], w[3]));
            [a, b, c, d]
        });
        let n = x.len() as f64;
        let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let var = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        let kurtosis = x.iter().map(|&v| (f64::from(v) - mean).powi(4)).sum::<f64>() / n / var / var;
        assert!(
            mean.abs() < 0.02 && (var - 1.0).abs() < 0.02 && (kurtosis - 3.0).abs() < 0.1,
            "{mean} {var} {kurtosis}"
        );
    }

    #[test]
    fn a_stream_can_be_entered_anywhere() {
        let (mut whole, mut tail) = ([0f32; 37], [0f32; 9]);
        let make = |w: [u32; 4]| w.map(unit_f32);
        fill(&mut whole, 3, 0, make);
        fill(&mut tail, 3, 7, make);
        assert_eq!(whole[28..], tail);
    }

    #[test]
    fn integers_stay_in_range() {
        assert_eq!((below_u32(0, 6), below_u32(u32::MAX, 6)), (0, 5));
        assert_eq!((below_u64(0, 0, 6), below_u64(u32::MAX, u32::MAX, u64::MAX)), (0, u64::MAX - 1));
    }
}
