//! Packing a matrix whose depth is contiguous: a transposition, the one kind of packing that needs more than copies.

use crate::simd::Float;

/// Writes `out[d * step + l] = row(l)[d]` for `l < width`, zero for the lanes from `lanes` on.
///
/// # Safety
/// `row(l)` is readable for `depths` numbers for all `l < lanes`, `out` writable for `width` numbers at each of
/// `depths` steps; `lanes <= width`.
pub(crate) unsafe fn transpose<T: Float>(
    row: impl Fn(usize) -> *const T,
    lanes: usize,
    depths: usize,
    width: usize,
    step: usize,
    out: *mut T,
) {
    #[cfg(target_arch = "x86_64")]
    {
        use crate::isa::{Isa, isa};
        // SAFETY: `T` is the type the branch says; `isa` names only what this CPU can run; the rest is passed on.
        unsafe {
            match (isa(), T::IS_F64) {
                (Isa::Avx512, false) => {
                    return x86::avx512_f32(|l| row(l).cast(), lanes, depths, width, step, out.cast());
                }
                (Isa::Avx512, true) => {
                    return x86::avx512_f64(|l| row(l).cast(), lanes, depths, width, step, out.cast());
                }
                (Isa::Avx2, false) => return x86::avx2_f32(|l| row(l).cast(), lanes, depths, width, step, out.cast()),
                (Isa::Avx2, true) => return x86::avx2_f64(|l| row(l).cast(), lanes, depths, width, step, out.cast()),
                _ => {}
            }
        }
    }
    for l in 0..width {
        for d in 0..depths {
            // SAFETY: inside row `l` and the panel.
            unsafe { *out.add(d * step + l) = if l < lanes { *row(l).add(d) } else { T::default() } };
        }
    }
}

/// Square blocks transposed in registers: pairs of elements, then pairs of pairs within 128 bits, then 128-bit quarters.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// Walks the panel in square blocks; `$load` and `$store` access the first few elements of a row.
    macro_rules! packer {
        ($name:ident, $features:literal, $elem:ty, $register:ty, $n:literal, $zero:ident, $block:ident,
         $load:expr, $store:expr) => {
            /// # Safety
            /// The CPU has the features; otherwise as for [`super::transpose`].
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $name(
                row: impl Fn(usize) -> *const $elem,
                lanes: usize,
                depths: usize,
                width: usize,
                step: usize,
                out: *mut $elem,
            ) {
                for l in (0..width).step_by($n) {
                    for d in (0..depths).step_by($n) {
                        let some_lanes = lanes.saturating_sub(l).min($n);
                        let (all_lanes, some_depths) = ((width - l).min($n), (depths - d).min($n));
                        let mut rows: [$register; $n] = [$zero(); $n];
                        let target = out.wrapping_add(d * step + l);
                        // SAFETY: accesses are cut to the lanes and depths that exist.
                        unsafe {
                            if some_depths == $n {
                                for i in 0..some_lanes {
                                    rows[i] = $load(row(l + i).add(d), $n);
                                }
                            } else {
                                for i in 0..some_lanes {
                                    rows[i] = $load(row(l + i).add(d), some_depths);
                                }
                            }
                            let columns = $block(rows);
                            for (i, column) in columns.into_iter().take(some_depths).enumerate() {
                                $store(target.add(i * step), all_lanes, column);
                            }
                        }
                    }
                }
            }
        };
    }

    packer!(
        avx512_f32,
        "avx512f",
        f32,
        __m512,
        16,
        _mm512_setzero_ps,
        block_16,
        |p, n: usize| _mm512_maskz_loadu_ps((0xffff_u32 >> (16 - n)) as u16, p),
        |p, n: usize, v| _mm512_mask_storeu_ps(p, (0xffff_u32 >> (16 - n)) as u16, v)
    );
    packer!(
        avx512_f64,
        "avx512f",
        f64,
        __m512d,
        8,
        _mm512_setzero_pd,
        block_8_wide,
        |p, n: usize| _mm512_maskz_loadu_pd((0xff_u32 >> (8 - n)) as u8, p),
        |p, n: usize, v| _mm512_mask_storeu_pd(p, (0xff_u32 >> (8 - n)) as u8, v)
    );
    packer!(
        avx2_f32,
        "avx2",
        f32,
        __m256,
        8,
        _mm256_setzero_ps,
        block_8,
        |p, n: usize| if n == 8 { _mm256_loadu_ps(p) } else { _mm256_maskload_ps(p, first_32(n)) },
        |p, n: usize, v| if n == 8 { _mm256_storeu_ps(p, v) } else { _mm256_maskstore_ps(p, first_32(n), v) }
    );
    packer!(
        avx2_f64,
        "avx2",
        f64,
        __m256d,
        4,
        _mm256_setzero_pd,
        block_4,
        |p, n: usize| if n == 4 { _mm256_loadu_pd(p) } else { _mm256_maskload_pd(p, first_64(n)) },
        |p, n: usize, v| if n == 4 { _mm256_storeu_pd(p, v) } else { _mm256_maskstore_pd(p, first_64(n), v) }
    );

    /// The mask of the first `n` of 8 lanes.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn first_32(n: usize) -> __m256i {
        _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
    }
    /// The mask of the first `n` of 4 lanes.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn first_64(n: usize) -> __m256i {
        _mm256_cmpgt_epi64(_mm256_set1_epi64x(n as i64), _mm256_setr_epi64x(0, 1, 2, 3))
    }

    /// Transposes four registers as a matrix of 128-bit quarters.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn quarters(u: [__m512; 4]) -> [__m512; 4] {
        let even = (_mm512_shuffle_f32x4::<0x88>(u[0], u[1]), _mm512_shuffle_f32x4::<0x88>(u[2], u[3]));
        let odd = (_mm512_shuffle_f32x4::<0xdd>(u[0], u[1]), _mm512_shuffle_f32x4::<0xdd>(u[2], u[3]));
        [
            _mm512_shuffle_f32x4::<0x88>(even.0, even.1),
            _mm512_shuffle_f32x4::<0x88>(odd.0, odd.1),
            _mm512_shuffle_f32x4::<0xdd>(even.0, even.1),
            _mm512_shuffle_f32x4::<0xdd>(odd.0, odd.1),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn block_16(rows: [__m512; 16]) -> [__m512; 16] {
        let mut u = rows;
        for g in 0..4 {
            let r = &rows[4 * g..4 * g + 4];
            let (a, b) = (_mm512_unpacklo_ps(r[0], r[1]), _mm512_unpackhi_ps(r[0], r[1]));
            let (c, d) = (_mm512_unpacklo_ps(r[2], r[3]), _mm512_unpackhi_ps(r[2], r[3]));
            let low = |x, y| _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(x), _mm512_castps_pd(y)));
            let high = |x, y| _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(x), _mm512_castps_pd(y)));
            u[4 * g] = low(a, c);
            u[4 * g + 1] = high(a, c);
            u[4 * g + 2] = low(b, d);
            u[4 * g + 3] = high(b, d);
        }
        let mut columns = rows;
        for c in 0..4 {
            let quarter = quarters([u[c], u[4 + c], u[8 + c], u[12 + c]]);
            for q in 0..4 {
                columns[4 * q + c] = quarter[q];
            }
        }
        columns
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn block_8_wide(rows: [__m512d; 8]) -> [__m512d; 8] {
        let mut u = rows;
        for g in 0..4 {
            u[2 * g] = _mm512_unpacklo_pd(rows[2 * g], rows[2 * g + 1]);
            u[2 * g + 1] = _mm512_unpackhi_pd(rows[2 * g], rows[2 * g + 1]);
        }
        let mut columns = rows;
        for c in 0..2 {
            let quarter = quarters([u[c], u[2 + c], u[4 + c], u[6 + c]].map(|x| _mm512_castpd_ps(x)));
            for q in 0..4 {
                columns[2 * q + c] = _mm512_castps_pd(quarter[q]);
            }
        }
        columns
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn block_8(rows: [__m256; 8]) -> [__m256; 8] {
        let mut u = rows;
        for g in 0..2 {
            let r = &rows[4 * g..4 * g + 4];
            let (a, b) = (_mm256_unpacklo_ps(r[0], r[1]), _mm256_unpackhi_ps(r[0], r[1]));
            let (c, d) = (_mm256_unpacklo_ps(r[2], r[3]), _mm256_unpackhi_ps(r[2], r[3]));
            u[4 * g] = _mm256_shuffle_ps::<0x44>(a, c);
            u[4 * g + 1] = _mm256_shuffle_ps::<0xee>(a, c);
            u[4 * g + 2] = _mm256_shuffle_ps::<0x44>(b, d);
            u[4 * g + 3] = _mm256_shuffle_ps::<0xee>(b, d);
        }
        let mut columns = rows;
        for c in 0..4 {
            columns[c] = _mm256_permute2f128_ps::<0x20>(u[c], u[4 + c]);
            columns[4 + c] = _mm256_permute2f128_ps::<0x31>(u[c], u[4 + c]);
        }
        columns
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn block_4(rows: [__m256d; 4]) -> [__m256d; 4] {
        let (a, b) = (_mm256_unpacklo_pd(rows[0], rows[1]), _mm256_unpackhi_pd(rows[0], rows[1]));
        let (c, d) = (_mm256_unpacklo_pd(rows[2], rows[3]), _mm256_unpackhi_pd(rows[2], rows[3]));
        [
            _mm256_permute2f128_pd::<0x20>(a, c),
            _mm256_permute2f128_pd::<0x20>(b, d),
            _mm256_permute2f128_pd::<0x31>(a, c),
            _mm256_permute2f128_pd::<0x31>(b, d),
        ]
    }
}
