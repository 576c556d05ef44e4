//! `f32` and `f64` as vectors of one lane.

use super::{Float, Mask, Vector};

impl Mask for bool {
    #[inline(always)]
    fn splat(value: bool) -> Self {
        value
    }
    #[inline(always)]
    fn any(self) -> bool {
        self
    }
    #[inline(always)]
    fn all(self) -> bool {
        self
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut bool) {
        // SAFETY: the caller promises one writable byte.
        unsafe { *p = self }
    }
    #[inline(always)]
    unsafe fn store_partial(self, p: *mut bool, n: usize) {
        if n > 0 {
            // SAFETY: the caller promises n writable bytes.
            unsafe { *p = self }
        }
    }
}

macro_rules! scalar_vector {
    ($f:ident, $bits:ident, $mantissa_bits:literal, $bias:literal, $mul_add:expr) => {
        impl Vector for $f {
            type Elem = $f;
            type Mask = bool;
            type Double = f64;
            const LANES: usize = 1;

            #[inline(always)]
            fn splat(x: $f) -> Self {
                x
            }
            #[inline(always)]
            unsafe fn load(p: *const $f) -> Self {
                // SAFETY: the caller promises one readable number.
                unsafe { *p }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $f) {
                // SAFETY: the caller promises one writable number.
                unsafe { *p = self }
            }
            #[inline(always)]
            unsafe fn load_partial(p: *const $f, n: usize) -> Self {
                // SAFETY: the caller promises n readable numbers.
                if n > 0 { unsafe { *p } } else { 0.0 }
            }
            #[inline(always)]
            unsafe fn store_partial(self, p: *mut $f, n: usize) {
                if n > 0 {
                    // SAFETY: the caller promises n writable numbers.
                    unsafe { *p = self }
                }
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                let f: fn($f, $f, $f) -> $f = $mul_add;
                f(self, b, c)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $f::abs(self)
            }
            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                $f::copysign(self, sign)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $f::sqrt(self)
            }
            #[inline(always)]
            fn floor(self) -> Self {
                $f::floor(self)
            }
            #[inline(always)]
            fn ceil(self) -> Self {
                $f::ceil(self)
            }
            #[inline(always)]
            fn round(self) -> Self {
                $f::round_ties_even(self)
            }
            #[inline(always)]
            fn trunc(self) -> Self {
                $f::trunc(self)
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                if self < other { self } else { other }
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                if self > other { self } else { other }
            }
            #[inline(always)]
            fn eq(self, other: Self) -> bool {
                self == other
            }
            #[inline(always)]
            fn ne(self, other: Self) -> bool {
                self != other
            }
            #[inline(always)]
            fn lt(self, other: Self) -> bool {
                self < other
            }
            #[inline(always)]
            fn le(self, other: Self) -> bool {
                self <= other
            }
            #[inline(always)]
            fn blend(mask: bool, a: Self, b: Self) -> Self {
                if mask { a } else { b }
            }
            #[inline(always)]
            fn fold(self, _: impl Fn(Self, Self) -> Self) -> $f {
                self
            }
            #[inline(always)]
            fn first(self) -> $f {
                self
            }
            #[inline(always)]
            fn to_double(self) -> [f64; 2] {
                [self.into(); 2]
            }
            #[inline(always)]
            fn of_double([x, _]: [f64; 2]) -> Self {
                x as $f
            }
            #[inline(always)]
            fn pow2(self) -> Self {
                $f::from_bits(((self as i64 + $bias) as $bits) << $mantissa_bits)
            }
            #[inline(always)]
            fn frexp(self) -> (Self, Self) {
                let is_denormal = self < $f::MIN_POSITIVE;
                let scale = (1u64 << $mantissa_bits) as $f;
                let x = if is_denormal { self * scale } else { self };
                let low = (0.75 as $f).to_bits();
                let bits = x.to_bits().wrapping_sub(low);
                let fraction = bits & ((1 << $mantissa_bits) - 1);
                // The shift must be arithmetic: exponents below that of 0.75 are negative here.
                let e = (bits.cast_signed() >> $mantissa_bits) as $f;
                let e = if is_denormal { e - $mantissa_bits as $f } else { e };
                ($f::from_bits(fraction + low), e)
            }
        }

        impl Float for $f {
            const IS_F64: bool = size_of::<$f>() == 8;
            const EPSILON: Self = $f::EPSILON;
            const INFINITY: Self = $f::INFINITY;
            const NEG_INFINITY: Self = $f::NEG_INFINITY;
            const NAN: Self = $f::NAN;
            const MAX: Self = $f::MAX;
            const MIN_POSITIVE: Self = $f::MIN_POSITIVE;

            #[cfg(target_arch = "x86_64")]
            type Avx2 = <$f as super::avx2::Registers>::Register;
            #[cfg(target_arch = "x86_64")]
            type Avx512 = <$f as super::avx512::Registers>::Register;
            #[cfg(target_arch = "aarch64")]
            type Neon = <$f as super::neon::Registers>::Register;

            #[inline(always)]
            fn of_f64(x: f64) -> Self {
                x as $f
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
        }
    };
}

// The product of two f32 is exact in f64, so the f32 form is a fused multiply-add but for a rare double rounding. A
// call of libm's fmaf, which std makes where the target has no FMA instruction, would cost ten times as much.
scalar_vector!(f32, u32, 23, 127, |a, b, c| (f64::from(a) * f64::from(b) + f64::from(c)) as f32);
scalar_vector!(f64, u64, 52, 1023, f64::mul_add);
