//! AVX-512: 16 lanes of `f32`, 8 of `f64`, masks in mask registers.

use super::{Mask, Vector};
use std::arch::x86_64::*;
use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Sub};

/// Names the register of a number type.
pub trait Registers {
    /// The register.
    type Register: Vector<Elem = Self>;
}
impl Registers for f32 {
    type Register = F32x16;
}
impl Registers for f64 {
    type Register = F64x8;
}

/// 16 lanes of `f32`.
#[derive(Clone, Copy, Debug)]
pub struct F32x16(__m512);
/// 8 lanes of `f64`.
#[derive(Clone, Copy, Debug)]
pub struct F64x8(__m512d);
/// 16 truth values.
#[derive(Clone, Copy, Debug)]
pub struct Mask16(__mmask16);
/// 8 truth values.
#[derive(Clone, Copy, Debug)]
pub struct Mask8(__mmask8);

/// Calls an intrinsic.
macro_rules! cpu {
    ($call:expr) => {
        // SAFETY: these types are made and used only inside the `simd_fn!` trampolines, after the CPU has been asked;
        // pointers are as the caller of the enclosing unsafe fn promises.
        unsafe { $call }
    };
}

macro_rules! mask {
    ($mask:ident, $bits:ident, $lanes:literal) => {
        impl BitAnd for $mask {
            type Output = Self;
            #[inline(always)]
            fn bitand(self, other: Self) -> Self {
                $mask(self.0 & other.0)
            }
        }
        impl BitOr for $mask {
            type Output = Self;
            #[inline(always)]
            fn bitor(self, other: Self) -> Self {
                $mask(self.0 | other.0)
            }
        }
        impl BitXor for $mask {
            type Output = Self;
            #[inline(always)]
            fn bitxor(self, other: Self) -> Self {
                $mask(self.0 ^ other.0)
            }
        }
        impl Not for $mask {
            type Output = Self;
            #[inline(always)]
            fn not(self) -> Self {
                $mask(!self.0)
            }
        }
        impl Mask for $mask {
            #[inline(always)]
            fn splat(value: bool) -> Self {
                $mask(if value { $bits::MAX } else { 0 })
            }
            #[inline(always)]
            fn any(self) -> bool {
                self.0 != 0
            }
            #[inline(always)]
            fn all(self) -> bool {
                self.0 == $bits::MAX
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut bool) {
                cpu!(self.store_partial(p, $lanes))
            }
            #[inline(always)]
            unsafe fn store_partial(self, p: *mut bool, n: usize) {
                let keep = ((1u32 << n) - 1) as __mmask16;
                cpu!(_mm_mask_storeu_epi8(p.cast(), keep, _mm_maskz_set1_epi8(self.0.into(), 1)))
            }
        }
    };
}
mask!(Mask16, u16, 16);
mask!(Mask8, u8, 8);

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
operator!(F32x16, Add, add, _mm512_add_ps);
operator!(F32x16, Sub, sub, _mm512_sub_ps);
operator!(F32x16, Mul, mul, _mm512_mul_ps);
operator!(F32x16, Div, div, _mm512_div_ps);
operator!(F64x8, Add, add, _mm512_add_pd);
operator!(F64x8, Sub, sub, _mm512_sub_pd);
operator!(F64x8, Mul, mul, _mm512_mul_pd);
operator!(F64x8, Div, div, _mm512_div_pd);

/// Rounding modes of `vrndscale`, without raising the inexact flag.
const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
const DOWN: i32 = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
const UP: i32 = _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC;
const TO_ZERO: i32 = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;

macro_rules! vector {
    (
        $vector:ident, $elem:ident, $lanes:literal, $mask:ident, $bits:ident,
        $set1:ident, $loadu:ident, $storeu:ident, $maskz_loadu:ident, $mask_storeu:ident, $fmadd:ident, $abs:ident,
        $xor:ident, $and:ident, $andnot:ident, $or:ident, $sqrt:ident, $roundscale:ident, $min:ident, $max:ident,
        $cmp:ident, $blend:ident, $scalef:ident, $getexp:ident, $getmant:ident, $first:ident
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
            type Double = F64x8;
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
                $vector(cpu!($maskz_loadu(((1u32 << n) - 1) as $bits, p)))
            }
            #[inline(always)]
            unsafe fn store_partial(self, p: *mut $elem, n: usize) {
                cpu!($mask_storeu(p, ((1u32 << n) - 1) as $bits, self.0))
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                $vector(cpu!($fmadd(self.0, b.0, c.0)))
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $vector(cpu!($abs(self.0)))
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
                $vector(cpu!($roundscale::<DOWN>(self.0)))
            }
            #[inline(always)]
            fn ceil(self) -> Self {
                $vector(cpu!($roundscale::<UP>(self.0)))
            }
            #[inline(always)]
            fn round(self) -> Self {
                $vector(cpu!($roundscale::<NEAREST>(self.0)))
            }
            #[inline(always)]
            fn trunc(self) -> Self {
                $vector(cpu!($roundscale::<TO_ZERO>(self.0)))
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
                $vector(cpu!($blend(mask.0, b.0, a.0)))
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
            fn to_double(self) -> [F64x8; 2] {
                self.widen()
            }
            #[inline(always)]
            fn of_double(halves: [F64x8; 2]) -> Self {
                Self::narrow(halves)
            }
            #[inline(always)]
            fn pow2(self) -> Self {
                $vector(cpu!($scalef($set1(1.0), self.0)))
            }
            #[inline(always)]
            fn scale2(self, n: Self) -> Self {
                $vector(cpu!($scalef(self.0, n.0)))
            }
            #[inline(always)]
            fn frexp(self) -> (Self, Self) {
                let m = cpu!($getmant::<_MM_MANT_NORM_P75_1P5, _MM_MANT_SIGN_SRC>(self.0));
                // `getexp` counts from [1, 2): the exponent of m itself says whether m was moved one binade down.
                let e = $vector(cpu!($getexp(self.0))) - $vector(cpu!($getexp(m)));
                ($vector(m), e)
            }
        }
    };
}

vector!(
    F32x16,
    f32,
    16,
    Mask16,
    u16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_maskz_loadu_ps,
    _mm512_mask_storeu_ps,
    _mm512_fmadd_ps,
    _mm512_abs_ps,
    _mm512_xor_ps,
    _mm512_and_ps,
    _mm512_andnot_ps,
    _mm512_or_ps,
    _mm512_sqrt_ps,
    _mm512_roundscale_ps,
    _mm512_min_ps,
    _mm512_max_ps,
    _mm512_cmp_ps_mask,
    _mm512_mask_blend_ps,
    _mm512_scalef_ps,
    _mm512_getexp_ps,
    _mm512_getmant_ps,
    _mm512_cvtss_f32
);
vector!(
    F64x8,
    f64,
    8,
    Mask8,
    u8,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_maskz_loadu_pd,
    _mm512_mask_storeu_pd,
    _mm512_fmadd_pd,
    _mm512_abs_pd,
    _mm512_xor_pd,
    _mm512_and_pd,
    _mm512_andnot_pd,
    _mm512_or_pd,
    _mm512_sqrt_pd,
    _mm512_roundscale_pd,
    _mm512_min_pd,
    _mm512_max_pd,
    _mm512_cmp_pd_mask,
    _mm512_mask_blend_pd,
    _mm512_scalef_pd,
    _mm512_getexp_pd,
    _mm512_getmant_pd,
    _mm512_cvtsd_f64
);

impl F32x16 {
    /// Folds the register onto itself: every lane ends as the whole.
    #[inline(always)]
    fn fold_halves(self, f: impl Fn(Self, Self) -> Self) -> Self {
        let x = f(self, F32x16(cpu!(_mm512_shuffle_f32x4::<0b01_00_11_10>(self.0, self.0))));
        let x = f(x, F32x16(cpu!(_mm512_shuffle_f32x4::<0b10_11_00_01>(x.0, x.0))));
        let x = f(x, F32x16(cpu!(_mm512_permute_ps::<0b01_00_11_10>(x.0))));
        f(x, F32x16(cpu!(_mm512_permute_ps::<0b10_11_00_01>(x.0))))
    }
    #[inline(always)]
    fn widen(self) -> [F64x8; 2] {
        let low = cpu!(_mm512_cvtps_pd(_mm512_castps512_ps256(self.0)));
        let high = cpu!(_mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(self.0)));
        [F64x8(low), F64x8(high)]
    }
    #[inline(always)]
    fn narrow([low, high]: [F64x8; 2]) -> Self {
        let low = cpu!(_mm512_castps256_ps512(_mm512_cvtpd_ps(low.0)));
        F32x16(cpu!(_mm512_insertf32x8::<1>(low, _mm512_cvtpd_ps(high.0))))
    }
}

impl F64x8 {
    /// Folds the register onto itself: every lane ends as the whole.
    #[inline(always)]
    fn fold_halves(self, f: impl Fn(Self, Self) -> Self) -> Self {
        let x = f(self, F64x8(cpu!(_mm512_shuffle_f64x2::<0b01_00_11_10>(self.0, self.0))));
        let x = f(x, F64x8(cpu!(_mm512_shuffle_f64x2::<0b10_11_00_01>(x.0, x.0))));
        f(x, F64x8(cpu!(_mm512_permute_pd::<0b0101_0101>(x.0))))
    }
    #[inline(always)]
    fn widen(self) -> [F64x8; 2] {
        [self; 2]
    }
    #[inline(always)]
    fn narrow([x, _]: [F64x8; 2]) -> Self {
        x
    }
}
