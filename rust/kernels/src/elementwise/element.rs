//! The floating-point storage types, and the type each is computed in.

use crate::simd::Float;
use half::{bf16, f16};

/// A floating-point number as it lies in memory: `f32` and `f64` are computed as they are, `f16` and `bf16` in `f32`.
pub trait FloatElement: Copy + Send + Sync + 'static {
    /// The type of the arithmetic.
    type Compute: Float;
    /// Whether memory can be read as `Compute` directly.
    const IS_DIRECT: bool;
    /// The number, exactly.
    fn widen(self) -> Self::Compute;
    /// The nearest representable number, ties to even.
    fn narrow(x: Self::Compute) -> Self;
}

macro_rules! direct {
    ($f:ident) => {
        impl FloatElement for $f {
            type Compute = $f;
            const IS_DIRECT: bool = true;
            #[inline(always)]
            fn widen(self) -> $f {
                self
            }
            #[inline(always)]
            fn narrow(x: $f) -> $f {
                x
            }
        }
    };
}
direct!(f32);
direct!(f64);

// The conversions are branch-free integer arithmetic, because the compiler turns such a loop into vector code; the
// conversions of `half` branch per number.
impl FloatElement for f16 {
    type Compute = f32;
    const IS_DIRECT: bool = false;

    #[inline(always)]
    fn widen(self) -> f32 {
        let bits = u32::from(self.to_bits());
        let magnitude = bits & 0x7fff;
        // Reading the half's exponent as a float's is short by 2^112; the product also normalises denormals.
        let scaled = f32::from_bits(magnitude << 13) * f32::from_bits((127 + 112) << 23);
        let special = if magnitude >= 0x7c00 { 0x7f80_0000 } else { 0 };
        f32::from_bits(scaled.to_bits() | special | (bits & 0x8000) << 16)
    }

    #[inline(always)]
    fn narrow(x: f32) -> f16 {
        let bits = x.to_bits();
        let magnitude = bits & 0x7fff_ffff;
        // Normal range: add half of the last kept bit (less one when that bit is even), then drop 13 bits.
        let odd = (magnitude >> 13) & 1;
        let rounded = (magnitude.wrapping_add(0xfff + odd).wrapping_sub(112 << 23)) >> 13;
        // Denormal range: adding 0.5 lets the FPU round at the right bit, which then is the last of the mantissa.
        let denormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
        // From 65520 on, numbers round to infinity.
        let overflow = if magnitude > 0x7f80_0000 { 0x7e00 } else { 0x7c00 };
        let half = if magnitude < (113 << 23) { denormal } else { rounded };
        let half = if magnitude >= 65520.0f32.to_bits() { overflow } else { half };
        f16::from_bits((half | (bits >> 16) & 0x8000) as u16)
    }
}

impl FloatElement for bf16 {
    type Compute = f32;
    const IS_DIRECT: bool = false;

    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn narrow(x: f32) -> bf16 {
        let bits = x.to_bits();
        let odd = (bits >> 16) & 1;
        let rounded = bits.wrapping_add(0x7fff + odd) >> 16;
        // Rounding could carry a NaN's payload into infinity.
        let nan = (bits >> 16) | 0x40;
        bf16::from_bits(if bits & 0x7fff_ffff > 0x7f80_0000 { nan as u16 } else { rounded as u16 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widening_agrees_with_the_half_crate_on_every_number() {
        for bits in 0..=u16::MAX {
            let (h, b) = (f16::from_bits(bits), bf16::from_bits(bits));
            assert!(h.widen().to_bits() == h.to_f32().to_bits() || h.is_nan() && h.widen().is_nan(), "f16 {bits:#x}");
            assert!(b.widen().to_bits() == b.to_f32().to_bits() || b.is_nan() && b.widen().is_nan(), "bf16 {bits:#x}");
        }
    }

    #[test]
    fn narrowing_agrees_with_the_half_crate() {
        // All exponents and signs, with mantissas around every rounding edge of both types.
        for high in 0..=u16::MAX {
            for low in [0u32, 1, 0xfff, 0x1000, 0x1001, 0x2000, 0x3000, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let x = f32::from_bits(u32::from(high) << 16 | low);
                let (h, b) = (<f16 as FloatElement>::narrow(x), <bf16 as FloatElement>::narrow(x));
                if x.is_nan() {
                    assert!(h.is_nan() && b.is_nan(), "{x:?}");
                } else {
                    assert_eq!(h.to_bits(), f16::from_f32(x).to_bits(), "f16 of {x:e}");
                    assert_eq!(b.to_bits(), bf16::from_f32(x).to_bits(), "bf16 of {x:e}");
                }
            }
        }
    }
}
