//! One register of floating-point lanes, whatever the instruction set.
//!
//! Numeric code is written once, generic over [`Vector`], and compiled for every instruction set by the `simd_fn!`
//! trampolines. Plain `f32` and `f64` are vectors of one lane: the same source is then the scalar oracle, the fallback,
//! and the way to apply an elementwise function to one number.
//!
//! The register types are private to this module tree. Other crates meet them only as the type parameter of a functor
//! (`fn apply<V: Vector>(self, x: V) -> V`), which a trampoline calls after the CPU has been asked; that is why the
//! arithmetic below can be safe. Functor bodies must be `#[inline(always)]`, or the arithmetic becomes calls.

use std::fmt::{Debug, Display, LowerExp};
use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Sub};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

#[cfg(test)]
mod tests;

/// The most lanes any instruction set has; buffers of this length hold one register.
pub const MAX_LANES: usize = 16;

/// One truth value per lane.
pub trait Mask:
    Copy + Debug + BitAnd<Output = Self> + BitOr<Output = Self> + BitXor<Output = Self> + Not<Output = Self>
{
    /// The same value in every lane.
    fn splat(value: bool) -> Self;
    /// Whether any lane is true.
    fn any(self) -> bool;
    /// Whether every lane is true.
    fn all(self) -> bool;
    /// Writes one `bool` byte per lane.
    ///
    /// # Safety
    /// `p` is valid for writing as many bytes as there are lanes.
    unsafe fn store(self, p: *mut bool);
    /// Writes the first `n` lanes.
    ///
    /// # Safety
    /// `p` is valid for writing `n` bytes, and `n` is at most the number of lanes.
    unsafe fn store_partial(self, p: *mut bool, n: usize);
}

/// One register of `LANES` numbers of type `Elem`.
///
/// Arithmetic is IEEE 754, rounded to nearest, denormals kept. `a + b`, `a - b`, `a * b`, `a / b` and `-a` are the
/// lanewise operators.
pub trait Vector:
    Copy
    + Debug
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// The number in a lane: `f32` or `f64`.
    type Elem: Float;
    /// The result of a comparison.
    type Mask: Mask;
    /// The `f64` register of the same instruction set.
    type Double: Vector<Elem = f64, Double = Self::Double>;
    /// How many numbers the register holds.
    const LANES: usize;

    /// The same number in every lane.
    fn splat(x: Self::Elem) -> Self;
    /// A constant, rounded to the lane type: the way to write literals that serve both `f32` and `f64`.
    #[inline(always)]
    fn from_f64(c: f64) -> Self {
        Self::splat(Self::Elem::of_f64(c))
    }
    /// Zero in every lane.
    #[inline(always)]
    fn zero() -> Self {
        Self::from_f64(0.0)
    }

    /// Reads `LANES` numbers; no alignment is needed.
    ///
    /// # Safety
    /// `p` is valid for reading `LANES` numbers.
    unsafe fn load(p: *const Self::Elem) -> Self;
    /// Writes `LANES` numbers; no alignment is needed.
    ///
    /// # Safety
    /// `p` is valid for writing `LANES` numbers.
    unsafe fn store(self, p: *mut Self::Elem);
    /// Reads `n` numbers into the first lanes; the others are zero. Memory behind them is not touched.
    ///
    /// # Safety
    /// `p` is valid for reading `n` numbers, `n <= LANES`.
    unsafe fn load_partial(p: *const Self::Elem, n: usize) -> Self;
    /// Writes the first `n` lanes. Memory behind them is not touched.
    ///
    /// # Safety
    /// `p` is valid for writing `n` numbers, `n <= LANES`.
    unsafe fn store_partial(self, p: *mut Self::Elem, n: usize);

    /// `self * b + c`, rounded once.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// The absolute value.
    fn abs(self) -> Self;
    /// The magnitude of `self` with the sign of `sign`.
    fn copysign(self, sign: Self) -> Self;
    /// The square root, correctly rounded.
    fn sqrt(self) -> Self;
    /// Rounds towards minus infinity.
    fn floor(self) -> Self;
    /// Rounds towards plus infinity.
    fn ceil(self) -> Self;
    /// Rounds to the nearest integer, halves to even.
    fn round(self) -> Self;
    /// Rounds towards zero.
    fn trunc(self) -> Self;
    /// `if self < other { self } else { other }`: gives `other` when either is NaN.
    fn min(self, other: Self) -> Self;
    /// `if self > other { self } else { other }`: gives `other` when either is NaN.
    fn max(self, other: Self) -> Self;
    /// The smaller one, NaN when either is NaN.
    #[inline(always)]
    fn minimum(self, other: Self) -> Self {
        self.is_nan().select(self, self.min(other))
    }
    /// The greater one, NaN when either is NaN.
    #[inline(always)]
    fn maximum(self, other: Self) -> Self {
        self.is_nan().select(self, self.max(other))
    }

    /// `self == other`; false where either is NaN.
    fn eq(self, other: Self) -> Self::Mask;
    /// `self != other`; true where either is NaN.
    fn ne(self, other: Self) -> Self::Mask;
    /// `self < other`; false where either is NaN.
    fn lt(self, other: Self) -> Self::Mask;
    /// `self <= other`; false where either is NaN.
    fn le(self, other: Self) -> Self::Mask;
    /// `self > other`; false where either is NaN.
    #[inline(always)]
    fn gt(self, other: Self) -> Self::Mask {
        other.lt(self)
    }
    /// `self >= other`; false where either is NaN.
    #[inline(always)]
    fn ge(self, other: Self) -> Self::Mask {
        other.le(self)
    }
    /// Where the lane is NaN.
    #[inline(always)]
    fn is_nan(self) -> Self::Mask {
        self.ne(self)
    }
    /// Where the sign bit is set: negative numbers, -0 and NaNs that carry it.
    #[inline(always)]
    fn is_sign_negative(self) -> Self::Mask {
        Self::from_f64(1.0).copysign(self).lt(Self::zero())
    }
    /// Lanes of `a` where `mask` is true, of `b` elsewhere. [`Select::select`] reads better.
    fn blend(mask: Self::Mask, a: Self, b: Self) -> Self;

    /// True in the first `n` lanes.
    #[inline(always)]
    fn first_lanes(n: usize) -> Self::Mask {
        let mut index = [Self::Elem::of_f64(0.0); MAX_LANES];
        for (i, slot) in index.iter_mut().enumerate() {
            *slot = Self::Elem::of_f64(i as f64);
        }
        // SAFETY: the array holds MAX_LANES >= LANES numbers.
        unsafe { Self::load(index.as_ptr()) }.lt(Self::from_f64(n as f64))
    }

    /// Folds the lanes with a commutative `f`, in a fixed tree: lane `i` with lane `i + LANES/2`, and so on.
    fn fold(self, f: impl Fn(Self, Self) -> Self) -> Self::Elem;
    /// The sum of all lanes, added in a fixed tree.
    #[inline(always)]
    fn reduce_add(self) -> Self::Elem {
        self.fold(|a, b| a + b)
    }
    /// The product of all lanes, multiplied in a fixed tree.
    #[inline(always)]
    fn reduce_mul(self) -> Self::Elem {
        self.fold(|a, b| a * b)
    }
    /// The greatest lane, NaN if any is NaN.
    #[inline(always)]
    fn reduce_maximum(self) -> Self::Elem {
        self.fold(|a, b| a.maximum(b))
    }
    /// The smallest lane, NaN if any is NaN.
    #[inline(always)]
    fn reduce_minimum(self) -> Self::Elem {
        self.fold(|a, b| a.minimum(b))
    }
    /// The first lane.
    fn first(self) -> Self::Elem;

    /// The lanes in `f64`, in two halves (twice the same for `f64` itself): for functions that need the precision.
    fn to_double(self) -> [Self::Double; 2];
    /// The lanes of two halves, rounded.
    fn of_double(halves: [Self::Double; 2]) -> Self;
    /// The lanes as an array; entries behind `LANES` are zero.
    #[inline(always)]
    fn to_lanes(self) -> [Self::Elem; MAX_LANES] {
        let mut lanes = [Self::Elem::of_f64(0.0); MAX_LANES];
        // SAFETY: the array holds MAX_LANES >= LANES numbers.
        unsafe { self.store(lanes.as_mut_ptr()) };
        lanes
    }
    /// Applies a scalar function to every lane: the slow way, for rare ranges and rare functions.
    #[inline(always)]
    fn map_lanes(self, f: impl Fn(Self::Elem) -> Self::Elem) -> Self {
        let mut lanes = self.to_lanes();
        for lane in &mut lanes[..Self::LANES] {
            *lane = f(*lane);
        }
        // SAFETY: the array holds MAX_LANES >= LANES numbers.
        unsafe { Self::load(lanes.as_ptr()) }
    }
    /// Applies a scalar function of two arguments to every lane.
    #[inline(always)]
    fn zip_lanes(self, other: Self, f: impl Fn(Self::Elem, Self::Elem) -> Self::Elem) -> Self {
        let (mut lanes, others) = (self.to_lanes(), other.to_lanes());
        for (lane, &other) in lanes[..Self::LANES].iter_mut().zip(&others) {
            *lane = f(*lane, other);
        }
        // SAFETY: the array holds MAX_LANES >= LANES numbers.
        unsafe { Self::load(lanes.as_ptr()) }
    }

    /// `2^self` for integral `self` in the exponent range of normal numbers.
    fn pow2(self) -> Self;
    /// `self * 2^n` for integral `n` of any size, rounded once, denormals and overflow included, provided that
    /// `self` is NaN or of magnitude near 1.
    #[inline(always)]
    fn scale2(self, n: Self) -> Self {
        // Two normal powers, because one alone reaches neither the denormals nor the last binade.
        let limit = Self::from_f64(if Self::Elem::IS_F64 { 2044.0 } else { 252.0 });
        let n = n.max(-limit).min(limit);
        let half = (n * Self::from_f64(0.5)).floor();
        self * half.pow2() * (n - half).pow2()
    }
    /// `(m, e)` with `self = m * 2^e`, `m` in `[0.75, 1.5)` and `e` integral, for positive finite `self`
    /// (denormals included). Other inputs give something without meaning.
    fn frexp(self) -> (Self, Self);
}

/// Choice by mask, written from the mask's side: `x.lt(y).select(a, b)`.
pub trait Select<V> {
    /// Lanes of `a` where the mask is true, of `b` elsewhere.
    fn select(self, a: V, b: V) -> V;
}

impl<V: Vector> Select<V> for V::Mask {
    #[inline(always)]
    fn select(self, a: V, b: V) -> V {
        V::blend(self, a, b)
    }
}

/// `f32` or `f64`: the number types that have vectors; each is its own vector of one lane.
pub trait Float: Vector<Elem = Self, Mask = bool> + PartialOrd + PartialEq + Default + Display + LowerExp {
    /// Whether this is `f64`: lets generic code choose polynomials.
    const IS_F64: bool;
    /// The distance from 1 to the next number.
    const EPSILON: Self;
    /// Plus infinity.
    const INFINITY: Self;
    /// Minus infinity.
    const NEG_INFINITY: Self;
    /// A quiet NaN.
    const NAN: Self;
    /// The greatest finite number.
    const MAX: Self;
    /// The smallest positive normal number.
    const MIN_POSITIVE: Self;

    /// The register of this type under AVX2.
    #[cfg(target_arch = "x86_64")]
    type Avx2: Vector<Elem = Self>;
    /// The register of this type under AVX-512.
    #[cfg(target_arch = "x86_64")]
    type Avx512: Vector<Elem = Self>;
    /// The register of this type under NEON.
    #[cfg(target_arch = "aarch64")]
    type Neon: Vector<Elem = Self>;

    /// Rounds to this type.
    fn of_f64(x: f64) -> Self;
    /// Widens exactly.
    fn to_f64(self) -> f64;
}

/// Compiles one kernel body for every instruction set and calls the one that [`crate::isa::isa`] names.
///
/// `simd_fn! { unsafe fn name<T: Float, V, F: Functor>(args) -> R { body } }` declares `unsafe fn name<T: Float, F: Functor>(args)`.
/// Inside the body `V` is the register type of `T`. The body may call other `#[inline(always)]` functions generic over
/// `V`; anything that is not inlined loses the instruction set.
macro_rules! simd_fn {
    (
        $(#[$meta:meta])*
        $vis:vis unsafe fn $name:ident<$T:ident: Float, $V:ident $(, $G:ident: $B:path)* $(,)?>
        ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    ) => {
        $(#[$meta])*
        $vis unsafe fn $name<$T: $crate::simd::Float $(, $G: $B)*>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::extra_unused_type_parameters)] // not every body speaks of both T and V
            unsafe fn body<$T: $crate::simd::Float, $V: $crate::simd::Vector<Elem = $T> $(, $G: $B)*>(
                $($arg: $ty),*
            ) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi1,bmi2")]
            unsafe fn avx512<$T: $crate::simd::Float $(, $G: $B)*>($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: the caller's contract is passed on unchanged.
                unsafe { body::<$T, <$T as $crate::simd::Float>::Avx512 $(, $G)*>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2")]
            unsafe fn avx2<$T: $crate::simd::Float $(, $G: $B)*>($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: the caller's contract is passed on unchanged.
                unsafe { body::<$T, <$T as $crate::simd::Float>::Avx2 $(, $G)*>($($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            unsafe fn neon<$T: $crate::simd::Float $(, $G: $B)*>($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: the caller's contract is passed on unchanged.
                unsafe { body::<$T, <$T as $crate::simd::Float>::Neon $(, $G)*>($($arg),*) }
            }
            // SAFETY: `isa()` names only what this CPU can run; the caller's contract is passed on unchanged.
            unsafe {
                match $crate::isa::isa() {
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Avx512 => avx512::<$T $(, $G)*>($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Avx2 => avx2::<$T $(, $G)*>($($arg),*),
                    #[cfg(target_arch = "aarch64")]
                    $crate::isa::Isa::Neon => neon::<$T $(, $G)*>($($arg),*),
                    _ => body::<$T, $T $(, $G)*>($($arg),*),
                }
            }
        }
    };
}
pub(crate) use simd_fn;

/// Compiles one plain loop for every instruction set, for the compiler to vectorise: the counterpart of `simd_fn!` for
/// number types that have no [`Vector`].
macro_rules! vectorized_fn {
    (
        $(#[$meta:meta])*
        $vis:vis unsafe fn $name:ident<$($G:ident: $B:path),* $(,)?>
        ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    ) => {
        $(#[$meta])*
        $vis unsafe fn $name<$($G: $B),*>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            unsafe fn body<$($G: $B),*>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi1,bmi2")]
            unsafe fn avx512<$($G: $B),*>($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: the caller's contract is passed on unchanged.
                unsafe { body::<$($G),*>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2")]
            unsafe fn avx2<$($G: $B),*>($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: the caller's contract is passed on unchanged.
                unsafe { body::<$($G),*>($($arg),*) }
            }
            // SAFETY: `isa()` names only what this CPU can run; the caller's contract is passed on unchanged.
            unsafe {
                match $crate::isa::isa() {
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Avx512 => avx512::<$($G),*>($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Avx2 => avx2::<$($G),*>($($arg),*),
                    _ => body::<$($G),*>($($arg),*),
                }
            }
        }
    };
}
pub(crate) use vectorized_fn;
