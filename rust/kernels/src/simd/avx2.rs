//! AVX2 with FMA: 8 lanes of `f32`, 4 of `f64`, masks as full registers.

use super::{Mask, Select, Vector};
use std::arch::x86_64::*;
use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Sub};

/// Names the register of a number type.
pub trait Registers {
    /// The register.
    type Register: Vector<Elem = Self>;
}
impl Registers for f32 {
    type Register = F32x8;
}
impl Registers for f64 {
    type Register = F64x4;
}

/// 8 lanes of `f32`.
#[derive(Clone, Copy, Debug)]
pub struct F32x8(__m256);
/// 4 lanes of `f64`.
#[derive(Clone, Copy, Debug)]
pub struct F64x4(__m256d);
/// 8 truth values: all bits of a lane set, or none.
#[derive(Clone, Copy, Debug)]
pub struct Mask8(__m256);
/// 4 truth values: all bits of a lane set, or none.
#[derive(Clone, Copy, Debug)]
pub struct Mask4(__m256d);

/// Calls an intrinsic.
macro_rules! cpu {
    ($call:expr) => {
        // SAFETY: these types are made and used only inside the `simd_fn!` trampolines, after the CPU has been asked;
        // pointers are as the caller of the enclosing unsafe fn promises.
        unsafe { $call }
    };
}

macro_rules! operator {
    ($vector:ident, $trait:ident, $method:ident, $intrinsic:ident) => {
        impl $trait for $vector {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                $vector(cpu!($intrinsic(self.0, other.0)))
            }
        }
    };
}
operator!(F32x8, Add, add, _mm256_add_ps);
operator!(F32x8, Sub, sub, _mm256_sub_ps);
operator!(F32x8, Mul, mul, _mm256_mul_ps);
operator!(F32x8, Div, div, _mm256_div_ps);
operator!(F64x4, Add, add, _mm256_add_pd);
operator!(F64x4, Sub, sub, _mm256_sub_pd);
operator!(F64x4, Mul, mul, _mm256_mul_pd);
operator!(F64x4, Div, div, _mm256_div_pd);
operator!(Mask8, BitAnd, bitand, _mm256_and_ps);
operator!(Mask8, BitOr, bitor, _mm256_or_ps);
operator!(Mask8, BitXor, bitxor, _mm256_xor_ps);
operator!(Mask4, BitAnd, bitand, _mm256_and_pd);
operator!(Mask4, BitOr, bitor, _mm256_or_pd);
operator!(Mask4, BitXor, bitxor, _mm256_xor_pd);

impl Not for Mask8 {
    type Output = Self;
    #[inline(always)]
    fn not(self) -> Self {
        self ^ Mask8::splat(true)
    }
}
impl Not for Mask4 {
    type Output = Self;
    #[inline(always)]
    fn not(self) -> Self {
        self ^ Mask4::splat(true)
    }
}

impl Mask for Mask8 {
    #[inline(always)]
    fn splat(value: bool) -> Self {
        Mask8(cpu!(_mm256_castsi256_ps(_mm256_set1_epi32(-i32::from(value)))))
    }
    #[inline(always)]
    fn any(self) -> bool {
        cpu!(_mm256_movemask_ps(self.0)) != 0
    }
    #[inline(always)]
    fn all(self) -> bool {
        cpu!(_mm256_movemask_ps(self.0)) == 0xff
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut bool) {
        let lanes = cpu!(_mm256_castps_si256(self.0));
        let halves = cpu!(_mm_packs_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes)));
        let bytes = cpu!(_mm_and_si128(_mm_packs_epi16(halves, halves), _mm_set1_epi8(1)));
        cpu!(_mm_storel_epi64(p.cast(), bytes))
    }
    #[inline(always)]
    unsafe fn store_partial(self, p: *mut bool, n: usize) {
        let mut bytes = [false; 8];
        cpu!(self.store(bytes.as_mut_ptr()));
        cpu!(std::ptr::copy_nonoverlapping(bytes.as_ptr(), p, n))
    }
}
impl Mask for Mask4 {
    #[inline(always)]
    fn splat(value: bool) -> Self {
        Mask4(cpu!(_mm256_castsi256_pd(_mm256_set1_epi64x(-i64::from(value)))))
    }
    #[inline(always)]
    fn any(self) -> bool {
        cpu!(_mm256_movemask_pd(self.0)) != 0
    }
    #[inline(always)]
    fn all(self) -> bool {
        cpu!(_mm256_movemask_pd(self.0)) == 0xf
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut bool) {
        let bits = cpu!(_mm256_movemask_pd(self.0)).cast_unsigned();
        // Four copies of the bits, 7 apart: bit i of the mask then lies in bit 0 of byte i.
        let bytes = bits.wrapping_mul(0x0020_4081) & 0x0101_0101;
        cpu!(p.cast::<u32>().write_unaligned(bytes))
    }
    #[inline(always)]
    unsafe fn store_partial(self, p: *mut bool, n: usize) {
        let mut bytes = [false; 4];
        cpu!(self.store(bytes.as_mut_ptr()));
        cpu!(std::ptr::copy_nonoverlapping(bytes.as_ptr(), p, n))
    }
}

/// Masks for the first `n` of 8 lanes of 32 bits: the 8 words from `8 - n` on.
static FIRST_32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
/// Masks for the first `n` of 4 lanes of 64 bits: the 4 words from `4 - n` on.
static FIRST_64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

/// The `maskload` mask of the first `n <= 8` lanes of 32 bits.
#[inline(always)]
fn first_32(n: usize) -> __m256i {
    debug_assert!(n <= 8);
    cpu!(_mm256_loadu_si256(FIRST_32.as_ptr().add(8 - n).cast()))
}
/// The `maskload` mask of the first `n <= 4` lanes of 64 bits.
#[inline(always)]
fn first_64(n: usize) -> __m256i {
    debug_assert!(n <= 4);
    cpu!(_mm256_loadu_si256(FIRST_64.as_ptr().add(4 - n).cast()))
}

macro_rules! vector {
    (
        $vector:ident, $elem:ident, $lanes:literal, $mask:ident, $prefix:ident,
        $set1:ident, $loadu:ident, $storeu:ident, $maskload:ident, $maskstore:ident, $fmadd:ident,
        $xor:ident, $and:ident, $andnot:ident, $or:ident, $sqrt:ident, $round:ident, $min:ident, $max:ident,
        $cmp:ident, $blendv:ident, $first:ident
    ) => {
        impl Neg for $vector {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                $vector(cpu!($xor(self.0, $set1(-0.0))))
            }
        }
        impl Vector for $vector {
            type Elem = $elem;
            type Mask = $mask;
            type Double = F64x4;
            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(x: $elem) -> Self {
                $vector(cpu!($set1(x)))
            }
            #[inline(always)]
            unsafe fn load(p: *const $elem) -> Self {
                $vector(cpu!($loadu(p)))
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $elem) {
                cpu!($storeu(p, self.0))
            }
            #[inline(always)]
            unsafe fn load_partial(p: *const $elem, n: usize) -> Self {
                $vector(cpu!($maskload(p, $prefix(n))))
            }
            #[inline(always)]
            unsafe fn store_partial(self, p: *mut $elem, n: usize) {
                cpu!($maskstore(p, $prefix(n), self.0))
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                $vector(cpu!($fmadd(self.0, b.0, c.0)))
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $vector(cpu!($andnot($set1(-0.0), self.0)))
            }
            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                let bit = cpu!($set1(-0.0));
                $vector(cpu!($or($and(bit, sign.0), $andnot(bit, self.0))))
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $vector(cpu!($sqrt(self.0)))
            }
            #[inline(always)]
            fn floor(self) -> Self {
                $vector(cpu!($round::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(self.0)))
            }
            #[inline(always)]
            fn ceil(self) -> Self {
                $vector(cpu!($round::<{ _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC }>(self.0)))
            }
            #[inline(always)]
            fn round(self) -> Self {
                $vector(cpu!($round::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)))
            }
            #[inline(always)]
            fn trunc(self) -> Self {
                $vector(cpu!($round::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(self.0)))
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                $vector(cpu!($min(self.0, other.0)))
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                $vector(cpu!($max(self.0, other.0)))
            }
            #[inline(always)]
            fn eq(self, other: Self) -> $mask {
                $mask(cpu!($cmp::<_CMP_EQ_OQ>(self.0, other.0)))
            }
            #[inline(always)]
            fn ne(self, other: Self) -> $mask {
                $mask(cpu!($cmp::<_CMP_NEQ_UQ>(self.0, other.0)))
            }
            #[inline(always)]
            fn lt(self, other: Self) -> $mask {
                $mask(cpu!($cmp::<_CMP_LT_OQ>(self.0, other.0)))
            }
            #[inline(always)]
            fn le(self, other: Self) -> $mask {
                $mask(cpu!($cmp::<_CMP_LE_OQ>(self.0, other.0)))
            }
            #[inline(always)]
            fn blend(mask: $mask, a: Self, b: Self) -> Self {
                $vector(cpu!($blendv(b.0, a.0, mask.0)))
            }
            #[inline(always)]
            fn fold(self, f: impl Fn(Self, Self) -> Self) -> $elem {
                self.fold_halves(f).first()
            }
            #[inline(always)]
            fn first(self) -> $elem {
                cpu!($first(self.0))
            }
            #[inline(always)]
            fn to_double(self) -> [F64x4; 2] {
                self.widen()
            }
            #[inline(always)]
            fn of_double(halves: [F64x4; 2]) -> Self {
                Self::narrow(halves)
            }
            #[inline(always)]
            fn pow2(self) -> Self {
                self.pow2_bits()
            }
            #[inline(always)]
            fn frexp(self) -> (Self, Self) {
                let is_denormal = self.lt(Self::splat($elem::MIN_POSITIVE));
                let scale_bits = ($elem::MANTISSA_DIGITS - 1) as $elem;
                let (m, e) = is_denormal.select(self * Self::splat(scale_bits.exp2()), self).split_bits();
                (m, is_denormal.select(e - Self::splat(scale_bits), e))
            }
        }
    };
}

vector!(
    F32x8,
    f32,
    8,
    Mask8,
    first_32,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_maskload_ps,
    _mm256_maskstore_ps,
    _mm256_fmadd_ps,
    _mm256_xor_ps,
    _mm256_and_ps,
    _mm256_andnot_ps,
    _mm256_or_ps,
    _mm256_sqrt_ps,
    _mm256_round_ps,
    _mm256_min_ps,
    _mm256_max_ps,
    _mm256_cmp_ps,
    _mm256_blendv_ps,
    _mm256_cvtss_f32
);
vector!(
    F64x4,
    f64,
    4,
    Mask4,
    first_64,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_maskload_pd,
    _mm256_maskstore_pd,
    _mm256_fmadd_pd,
    _mm256_xor_pd,
    _mm256_and_pd,
    _mm256_andnot_pd,
    _mm256_or_pd,
    _mm256_sqrt_pd,
    _mm256_round_pd,
    _mm256_min_pd,
    _mm256_max_pd,
    _mm256_cmp_pd,
    _mm256_blendv_pd,
    _mm256_cvtsd_f64
);

impl F32x8 {
    /// Folds the register onto itself: every lane ends as the whole.
    #[inline(always)]
    fn fold_halves(self, f: impl Fn(Self, Self) -> Self) -> Self {
        let x = f(self, F32x8(cpu!(_mm256_permute2f128_ps::<1>(self.0, self.0))));
        let x = f(x, F32x8(cpu!(_mm256_permute_ps::<0b01_00_11_10>(x.0))));
        f(x, F32x8(cpu!(_mm256_permute_ps::<0b10_11_00_01>(x.0))))
    }
    #[inline(always)]
    fn widen(self) -> [F64x4; 2] {
        let low = cpu!(_mm256_cvtps_pd(_mm256_castps256_ps128(self.0)));
        let high = cpu!(_mm256_cvtps_pd(_mm256_extractf128_ps::<1>(self.0)));
        [F64x4(low), F64x4(high)]
    }
    #[inline(always)]
    fn narrow([low, high]: [F64x4; 2]) -> Self {
        F32x8(cpu!(_mm256_set_m128(_mm256_cvtpd_ps(high.0), _mm256_cvtpd_ps(low.0))))
    }
    #[inline(always)]
    fn pow2_bits(self) -> Self {
        let biased = cpu!(_mm256_add_epi32(_mm256_cvtps_epi32(self.0), _mm256_set1_epi32(127)));
        F32x8(cpu!(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))))
    }
    /// `frexp` of a normal number. Subtracting the bits of 0.75 moves the binade edge there.
    #[inline(always)]
    fn split_bits(self) -> (Self, Self) {
        let low = cpu!(_mm256_set1_epi32(0.75f32.to_bits().cast_signed()));
        let bits = cpu!(_mm256_sub_epi32(_mm256_castps_si256(self.0), low));
        let e = cpu!(_mm256_cvtepi32_ps(_mm256_srai_epi32::<23>(bits)));
        let fraction = cpu!(_mm256_and_si256(bits, _mm256_set1_epi32(0x007f_ffff)));
        (F32x8(cpu!(_mm256_castsi256_ps(_mm256_add_epi32(fraction, low)))), F32x8(e))
    }
}

impl F64x4 {
    /// Folds the register onto itself: every lane ends as the whole.
    #[inline(always)]
    fn fold_halves(self, f: impl Fn(Self, Self) -> Self) -> Self {
        let x = f(self, F64x4(cpu!(_mm256_permute2f128_pd::<1>(self.0, self.0))));
        f(x, F64x4(cpu!(_mm256_permute_pd::<0b0101>(x.0))))
    }
    #[inline(always)]
    fn widen(self) -> [F64x4; 2] {
        [self; 2]
    }
    #[inline(always)]
    fn narrow([x, _]: [F64x4; 2]) -> Self {
        x
    }
    #[inline(always)]
    fn pow2_bits(self) -> Self {
        // Adding 1.5 * 2^52 leaves the integer in the low bits: AVX2 has no conversion of f64 to i64.
        let biased = cpu!(_mm256_add_pd(self.0, _mm256_set1_pd(6_755_399_441_055_744.0 + 1023.0)));
        F64x4(cpu!(_mm256_castsi256_pd(_mm256_slli_epi64::<52>(_mm256_castpd_si256(biased)))))
    }
    /// `frexp` of a normal number. Subtracting the bits of 0.75 moves the binade edge there.
    #[inline(always)]
    fn split_bits(self) -> (Self, Self) {
        let low = cpu!(_mm256_set1_epi64x(0.75f64.to_bits().cast_signed()));
        let bits = cpu!(_mm256_sub_epi64(_mm256_castpd_si256(self.0), low));
        // No arithmetic shift and no conversion of i64 in AVX2: the exponent, biased by 2048 to be positive, becomes
        // the low bits of 2^52.
        let biased = cpu!(_mm256_srli_epi64::<52>(_mm256_xor_si256(bits, _mm256_set1_epi64x(i64::MIN))));
        let two52 = 4_503_599_627_370_496.0;
        let e = cpu!(_mm256_castsi256_pd(_mm256_or_si256(biased, _mm256_castpd_si256(_mm256_set1_pd(two52)))));
        let fraction = cpu!(_mm256_and_si256(bits, _mm256_set1_epi64x((1 << 52) - 1)));
        let m = F64x4(cpu!(_mm256_castsi256_pd(_mm256_add_epi64(fraction, low))));
        (m, F64x4(e) - F64x4::splat(two52 + 2048.0))
    }
}
