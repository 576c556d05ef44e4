//! NEON: 4 lanes of `f32`, 2 of `f64`, masks as full registers.

use super::{Mask, Select, Vector};
use std::arch::aarch64::*;
use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Sub};

/// Names the register of a number type.
pub trait Registers {
    /// The register.
    type Register: Vector<Elem = Self>;
}
impl Registers for f32 {
    type Register = F32x4;
}
impl Registers for f64 {
    type Register = F64x2;
}

/// 4 lanes of `f32`.
#[derive(Clone, Copy, Debug)]
pub struct F32x4(float32x4_t);
/// 2 lanes of `f64`.
#[derive(Clone, Copy, Debug)]
pub struct F64x2(float64x2_t);
/// 4 truth values: all bits of a lane set, or none.
#[derive(Clone, Copy, Debug)]
pub struct Mask4(uint32x4_t);
/// 2 truth values: all bits of a lane set, or none.
#[derive(Clone, Copy, Debug)]
pub struct Mask2(uint64x2_t);

/// Calls an intrinsic.
macro_rules! cpu {
    ($call:expr) => {{
        // SAFETY: NEON is part of the base architecture; pointers are as the caller of the enclosing unsafe fn promises.
        #[allow(unused_unsafe)] // most of these intrinsics are safe on this target
        unsafe {
            $call
        }
    }};
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
operator!(F32x4, Add, add, vaddq_f32);
operator!(F32x4, Sub, sub, vsubq_f32);
operator!(F32x4, Mul, mul, vmulq_f32);
operator!(F32x4, Div, div, vdivq_f32);
operator!(F64x2, Add, add, vaddq_f64);
operator!(F64x2, Sub, sub, vsubq_f64);
operator!(F64x2, Mul, mul, vmulq_f64);
operator!(F64x2, Div, div, vdivq_f64);
operator!(Mask4, BitAnd, bitand, vandq_u32);
operator!(Mask4, BitOr, bitor, vorrq_u32);
operator!(Mask4, BitXor, bitxor, veorq_u32);
operator!(Mask2, BitAnd, bitand, vandq_u64);
operator!(Mask2, BitOr, bitor, vorrq_u64);
operator!(Mask2, BitXor, bitxor, veorq_u64);

macro_rules! mask {
    ($mask:ident, $bits:ident, $lanes:literal, $dup:ident, $store:ident) => {
        impl Not for $mask {
            type Output = Self;
            #[inline(always)]
            fn not(self) -> Self {
                self ^ $mask::splat(true)
            }
        }
        impl $mask {
            #[inline(always)]
            fn words(self) -> [$bits; $lanes] {
                let mut words = [0; $lanes];
                cpu!($store(words.as_mut_ptr(), self.0));
                words
            }
        }
        impl Mask for $mask {
            #[inline(always)]
            fn splat(value: bool) -> Self {
                $mask(cpu!($dup(if value { $bits::MAX } else { 0 })))
            }
            #[inline(always)]
            fn any(self) -> bool {
                self.words().iter().any(|&w| w != 0)
            }
            #[inline(always)]
            fn all(self) -> bool {
                self.words().iter().all(|&w| w != 0)
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut bool) {
                cpu!(self.store_partial(p, $lanes))
            }
            #[inline(always)]
            unsafe fn store_partial(self, p: *mut bool, n: usize) {
                for (i, word) in self.words().into_iter().enumerate().take(n) {
                    cpu!(*p.add(i) = word != 0);
                }
            }
        }
    };
}
mask!(Mask4, u32, 4, vdupq_n_u32, vst1q_u32);
mask!(Mask2, u64, 2, vdupq_n_u64, vst1q_u64);

macro_rules! vector {
    (
        $vector:ident, $elem:ident, $lanes:literal, $mask:ident, $bits:ident,
        $dup:ident, $load:ident, $store:ident, $fma:ident, $abs:ident, $neg:ident, $bsl:ident, $dup_bits:ident,
        $sqrt:ident, $floor:ident, $ceil:ident, $round:ident, $trunc:ident, $ceq:ident, $clt:ident, $cle:ident, $first:ident
    ) => {
        impl Neg for $vector {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                $vector(cpu!($neg(self.0)))
            }
        }
        impl Vector for $vector {
            type Elem = $elem;
            type Mask = $mask;
            type Double = F64x2;
            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(x: $elem) -> Self {
                $vector(cpu!($dup(x)))
            }
            #[inline(always)]
            unsafe fn load(p: *const $elem) -> Self {
                $vector(cpu!($load(p)))
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $elem) {
                cpu!($store(p, self.0))
            }
            #[inline(always)]
            unsafe fn load_partial(p: *const $elem, n: usize) -> Self {
                let mut lanes = [0.0; $lanes];
                cpu!(std::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n));
                cpu!(Self::load(lanes.as_ptr()))
            }
            #[inline(always)]
            unsafe fn store_partial(self, p: *mut $elem, n: usize) {
                let mut lanes = [0.0; $lanes];
                cpu!(self.store(lanes.as_mut_ptr()));
                cpu!(std::ptr::copy_nonoverlapping(lanes.as_ptr(), p, n))
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                $vector(cpu!($fma(c.0, self.0, b.0)))
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $vector(cpu!($abs(self.0)))
            }
            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                $vector(cpu!($bsl($dup_bits(1 << ($bits::BITS - 1)), sign.0, self.0)))
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $vector(cpu!($sqrt(self.0)))
            }
            #[inline(always)]
            fn floor(self) -> Self {
                $vector(cpu!($floor(self.0)))
            }
            #[inline(always)]
            fn ceil(self) -> Self {
                $vector(cpu!($ceil(self.0)))
            }
            #[inline(always)]
            fn round(self) -> Self {
                $vector(cpu!($round(self.0)))
            }
            #[inline(always)]
            fn trunc(self) -> Self {
                $vector(cpu!($trunc(self.0)))
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                self.lt(other).select(self, other)
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                other.lt(self).select(self, other)
            }
            #[inline(always)]
            fn eq(self, other: Self) -> $mask {
                $mask(cpu!($ceq(self.0, other.0)))
            }
            #[inline(always)]
            fn ne(self, other: Self) -> $mask {
                !self.eq(other)
            }
            #[inline(always)]
            fn lt(self, other: Self) -> $mask {
                $mask(cpu!($clt(self.0, other.0)))
            }
            #[inline(always)]
            fn le(self, other: Self) -> $mask {
                $mask(cpu!($cle(self.0, other.0)))
            }
            #[inline(always)]
            fn blend(mask: $mask, a: Self, b: Self) -> Self {
                $vector(cpu!($bsl(mask.0, a.0, b.0)))
            }
            #[inline(always)]
            fn fold(self, f: impl Fn(Self, Self) -> Self) -> $elem {
                self.fold_halves(f).first()
            }
            #[inline(always)]
            fn first(self) -> $elem {
                cpu!($first::<0>(self.0))
            }
            #[inline(always)]
            fn to_double(self) -> [F64x2; 2] {
                self.widen()
            }
            #[inline(always)]
            fn of_double(halves: [F64x2; 2]) -> Self {
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
    F32x4,
    f32,
    4,
    Mask4,
    u32,
    vdupq_n_f32,
    vld1q_f32,
    vst1q_f32,
    vfmaq_f32,
    vabsq_f32,
    vnegq_f32,
    vbslq_f32,
    vdupq_n_u32,
    vsqrtq_f32,
    vrndmq_f32,
    vrndpq_f32,
    vrndnq_f32,
    vrndq_f32,
    vceqq_f32,
    vcltq_f32,
    vcleq_f32,
    vgetq_lane_f32
);
vector!(
    F64x2,
    f64,
    2,
    Mask2,
    u64,
    vdupq_n_f64,
    vld1q_f64,
    vst1q_f64,
    vfmaq_f64,
    vabsq_f64,
    vnegq_f64,
    vbslq_f64,
    vdupq_n_u64,
    vsqrtq_f64,
    vrndmq_f64,
    vrndpq_f64,
    vrndnq_f64,
    vrndq_f64,
    vceqq_f64,
    vcltq_f64,
    vcleq_f64,
    vgetq_lane_f64
);

impl F32x4 {
    /// Folds the register onto itself: every lane ends as the whole.
    #[inline(always)]
    fn fold_halves(self, f: impl Fn(Self, Self) -> Self) -> Self {
        let x = f(self, F32x4(cpu!(vextq_f32::<2>(self.0, self.0))));
        f(x, F32x4(cpu!(vrev64q_f32(x.0))))
    }
    #[inline(always)]
    fn widen(self) -> [F64x2; 2] {
        let low = cpu!(vcvt_f64_f32(vget_low_f32(self.0)));
        let high = cpu!(vcvt_high_f64_f32(self.0));
        [F64x2(low), F64x2(high)]
    }
    #[inline(always)]
    fn narrow([low, high]: [F64x2; 2]) -> Self {
        F32x4(cpu!(vcvt_high_f32_f64(vcvt_f32_f64(low.0), high.0)))
    }
    #[inline(always)]
    fn pow2_bits(self) -> Self {
        let biased = cpu!(vaddq_s32(vcvtq_s32_f32(self.0), vdupq_n_s32(127)));
        F32x4(cpu!(vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))))
    }
    /// `frexp` of a normal number. Subtracting the bits of 0.75 moves the binade edge there.
    #[inline(always)]
    fn split_bits(self) -> (Self, Self) {
        let low = cpu!(vdupq_n_s32(0.75f32.to_bits().cast_signed()));
        let bits = cpu!(vsubq_s32(vreinterpretq_s32_f32(self.0), low));
        let e = cpu!(vcvtq_f32_s32(vshrq_n_s32::<23>(bits)));
        let fraction = cpu!(vandq_s32(bits, vdupq_n_s32(0x007f_ffff)));
        (F32x4(cpu!(vreinterpretq_f32_s32(vaddq_s32(fraction, low)))), F32x4(e))
    }
}

impl F64x2 {
    /// Folds the register onto itself: every lane ends as the whole.
    #[inline(always)]
    fn fold_halves(self, f: impl Fn(Self, Self) -> Self) -> Self {
        f(self, F64x2(cpu!(vextq_f64::<1>(self.0, self.0))))
    }
    #[inline(always)]
    fn widen(self) -> [F64x2; 2] {
        [self; 2]
    }
    #[inline(always)]
    fn narrow([x, _]: [F64x2; 2]) -> Self {
        x
    }
    #[inline(always)]
    fn pow2_bits(self) -> Self {
        let biased = cpu!(vaddq_s64(vcvtq_s64_f64(self.0), vdupq_n_s64(1023)));
        F64x2(cpu!(vreinterpretq_f64_s64(vshlq_n_s64::<52>(biased))))
    }
    /// `frexp` of a normal number. Subtracting the bits of 0.75 moves the binade edge there.
    #[inline(always)]
    fn split_bits(self) -> (Self, Self) {
        let low = cpu!(vdupq_n_s64(0.75f64.to_bits().cast_signed()));
        let bits = cpu!(vsubq_s64(vreinterpretq_s64_f64(self.0), low));
        let e = cpu!(vcvtq_f64_s64(vshrq_n_s64::<52>(bits)));
        let fraction = cpu!(vandq_s64(bits, vdupq_n_s64((1 << 52) - 1)));
        (F64x2(cpu!(vreinterpretq_f64_s64(vaddq_s64(fraction, low)))), F64x2(e))
    }
}
