//! Integer arithmetic as torch does it: wrapping, with division rounded towards minus infinity.

use crate::dtype::Typed;

/// What integer rows are written with.
pub trait Int: Typed + Ord {
    /// The nearest value of the type.
    fn saturate(x: f64) -> Self;
    /// `self + y`, wrapping.
    fn add(self, y: Self) -> Self;
    /// `self - y`, wrapping.
    fn sub(self, y: Self) -> Self;
    /// `self * y`, wrapping.
    fn mul(self, y: Self) -> Self;
    /// `-self`, wrapping.
    fn neg(self) -> Self;
    /// Quotient rounded down; the divisor is not zero.
    fn floor_div(self, y: Self) -> Self;
    /// Remainder with the divisor's sign; the divisor is not zero.
    fn modulo(self, y: Self) -> Self;
    /// Remainder with the dividend's sign; the divisor is not zero.
    fn rem(self, y: Self) -> Self;
    /// `|self|`, wrapping.
    fn abs(self) -> Self;
    /// -1, 0 or 1.
    fn sign(self) -> Self;
    /// `self` to the power `y`, wrapping; a negative power gives 0 unless the base is 1 or -1.
    fn pow(self, y: Self) -> Self;
    /// Bitwise and.
    fn and(self, y: Self) -> Self;
    /// Bitwise or.
    fn or(self, y: Self) -> Self;
    /// Bitwise exclusive or.
    fn xor(self, y: Self) -> Self;
    /// Bitwise complement.
    fn not(self) -> Self;
    /// Shift towards the high bits; all bits go if `y` is not in range.
    fn shl(self, y: Self) -> Self;
    /// Arithmetic shift towards the low bits.
    fn shr(self, y: Self) -> Self;
}

macro_rules! int { ($($t:ty, $signed:literal);*) => { $(
    impl Int for $t {
        #[inline(always)] fn saturate(x: f64) -> Self { x as Self }
        #[inline(always)] fn add(self, y: Self) -> Self { self.wrapping_add(y) }
        #[inline(always)] fn sub(self, y: Self) -> Self { self.wrapping_sub(y) }
        #[inline(always)] fn mul(self, y: Self) -> Self { self.wrapping_mul(y) }
        #[inline(always)] fn neg(self) -> Self { self.wrapping_neg() }
        #[inline(always)] fn floor_div(self, y: Self) -> Self {
            let (q, r) = (self.wrapping_div(y), self.wrapping_rem(y));
            #[allow(unused_comparisons, reason = "one body for signed and unsigned")]
            if r != 0 && ((r < 0) != (y < 0)) { q.wrapping_sub(1) } else { q }
        }
        #[inline(always)] fn modulo(self, y: Self) -> Self {
            let r = self.wrapping_rem(y);
            #[allow(unused_comparisons, reason = "one body for signed and unsigned")]
            if r != 0 && ((r < 0) != (y < 0)) { r.wrapping_add(y) } else { r }
        }
        #[inline(always)] fn rem(self, y: Self) -> Self { self.wrapping_rem(y) }
        #[inline(always)] fn abs(self) -> Self {
            #[allow(unused_comparisons, reason = "one body for signed and unsigned")]
            if self < 0 { self.wrapping_neg() } else { self }
        }
        #[inline(always)] fn sign(self) -> Self {
            #[allow(unused_comparisons, reason = "one body for signed and unsigned")]
            if self < 0 { (0 as Self).wrapping_sub(1) } else { Self::from(self > 0) }
        }
        #[inline] fn pow(self, y: Self) -> Self {
            #[allow(unused_comparisons, reason = "one body for signed and unsigned")]
            if y < 0 {
                return if self == 1 { 1 } else if $signed && self == (0 as Self).wrapping_sub(1) {
                    if y % 2 == 0 { 1 } else { self }
                } else { 0 };
            }
            let (mut base, mut e, mut out) = (self, y as u64, 1 as Self);
            while e > 0 {
                if e & 1 == 1 { out = out.wrapping_mul(base); }
                base = base.wrapping_mul(base);
                e >>= 1;
            }
            out
        }
        #[inline(always)] fn and(self, y: Self) -> Self { self & y }
        #[inline(always)] fn or(self, y: Self) -> Self { self | y }
        #[inline(always)] fn xor(self, y: Self) -> Self { self ^ y }
        #[inline(always)] fn not(self) -> Self { !self }
        #[inline(always)] fn shl(self, y: Self) -> Self {
            if (0..i64::from(<$t>::BITS)).contains(&(y as i64)) { self << (y as u32) } else { 0 }
        }
        #[inline(always)] fn shr(self, y: Self) -> Self {
            let most = <$t>::BITS - 1;
            self >> (if (0..i64::from(most)).contains(&(y as i64)) { y as u32 } else { most })
        }
    }
)* } }
int!(u8, false; i8, true; i16, true; i32, true; i64, true);
