//! Element types and torch's promotion rules.

use crate::tensor::Tensor;
use half::{bf16, f16};
use pyneuro_kernels::array::Element;
use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are their own documentation")]
pub enum DType {
    Bool,
    U8,
    I8,
    I16,
    I32,
    I64,
    F16,
    BF16,
    F32,
    F64,
}

/// The families that promotion looks at first: a float wins over any integer, an integer over any bool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the variants are their own documentation")]
pub enum Category {
    Bool,
    Int,
    Float,
}

impl DType {
    /// All of them, in promotion order within each category.
    pub const ALL: [Self; 10] =
        [Self::Bool, Self::U8, Self::I8, Self::I16, Self::I32, Self::I64, Self::F16, Self::BF16, Self::F32, Self::F64];

    /// Bytes of one element.
    #[inline]
    pub const fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }

    /// Its name, as torch and NumPy spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }

    /// The dtype of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }

    /// Its family.
    #[inline]
    pub const fn category(self) -> Category {
        match self {
            Self::Bool => Category::Bool,
            Self::U8 | Self::I8 | Self::I16 | Self::I32 | Self::I64 => Category::Int,
            _ => Category::Float,
        }
    }

    /// Whether it is float16, bfloat16, float32 or float64: what gradients may flow through.
    #[inline]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }

    /// Itself if it is a float, else the default float: the result of `exp`, `mean`, `/` and the like.
    #[inline]
    pub const fn to_float(self) -> Self {
        if self.is_float() { self } else { Self::F32 }
    }

    /// The smallest dtype that holds both, by torch's table (uint8 with a signed type gives the next wider signed one).
    pub fn promote(self, other: Self) -> Self {
        use DType::{BF16, F16, F32, I16, U8};
        if self == other {
            return self;
        }
        let (a, b) = (self.category(), other.category());
        if a != b {
            return if a > b { self } else { other };
        }
        match (self, other) {
            (F16, BF16) | (BF16, F16) => F32,
            (U8, Self::I8) | (Self::I8, U8) => I16,
            _ => {
                if (self as u8) > (other as u8) {
                    self
                } else {
                    other
                }
            }
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The common dtype of operands: tensors with dimensions decide; 0-d tensors and, after them, Python scalars count
/// only when they are of a higher category.
pub fn result_type(operands: &[&Tensor]) -> DType {
    if let [a, b] = operands
        && a.dtype() == b.dtype()
        && !a.is_scalar()
        && !b.is_scalar()
    {
        return a.dtype();
    }
    let mut levels: [Option<DType>; 3] = [None; 3];
    for t in operands {
        let level = if t.is_scalar() {
            2
        } else if t.ndim() == 0 {
            1
        } else {
            0
        };
        levels[level] = Some(levels[level].map_or(t.dtype(), |d| d.promote(t.dtype())));
    }
    let [dims, zero, scalar] = levels;
    // A Python float beside integers means the default float, a Python int the default int: never their own width.
    let scalar = scalar.map(|d| match d.category() {
        Category::Float => DType::F32,
        Category::Int => DType::I64,
        Category::Bool => DType::Bool,
    });
    let pick = |high: Option<DType>, low: Option<DType>| match (high, low) {
        (Some(h), Some(l)) => Some(if l.category() > h.category() { l } else { h }),
        (h, l) => h.or(l),
    };
    pick(pick(dims, zero), scalar).expect("promotion of at least one operand")
}

/// A Rust type that is the element type of a [`DType`].
pub trait Typed: Element + Default + fmt::Debug {
    /// The matching dtype.
    const DTYPE: DType;
    /// From a double, rounding to nearest or towards zero; saturating.
    fn from_f64(x: f64) -> Self;
    /// To a double, exactly unless it is a large int64.
    fn to_f64(self) -> f64;
    /// From an integer, wrapping.
    fn from_i64(x: i64) -> Self;
    /// To an integer, truncating.
    fn to_i64(self) -> i64;
}

macro_rules! typed_int { ($($t:ty => $d:ident),*) => { $(
    impl Typed for $t {
        const DTYPE: DType = DType::$d;
        #[inline] fn from_f64(x: f64) -> Self { x as i64 as Self }
        #[inline] fn to_f64(self) -> f64 { self as f64 }
        #[inline] fn from_i64(x: i64) -> Self { x as Self }
        #[inline] fn to_i64(self) -> i64 { self as i64 }
    }
)* } }
typed_int!(u8 => U8, i8 => I8, i16 => I16, i32 => I32, i64 => I64);

macro_rules! typed_float { ($($t:ty => $d:ident, $from:expr, $to:expr);*) => { $(
    impl Typed for $t {
        const DTYPE: DType = DType::$d;
        #[inline] fn from_f64(x: f64) -> Self { $from(x) }
        #[inline] fn to_f64(self) -> f64 { $to(self) }
        #[inline] fn from_i64(x: i64) -> Self { $from(x as f64) }
        #[inline] fn to_i64(self) -> i64 { $to(self) as i64 }
    }
)* } }
typed_float!(f32 => F32, |x: f64| x as f32, f64::from; f64 => F64, |x: f64| x, |x: f64| x;
             f16 => F16, f16::from_f64, f16::to_f64; bf16 => BF16, bf16::from_f64, bf16::to_f64);

impl Typed for bool {
    const DTYPE: DType = DType::Bool;
    #[inline]
    fn from_f64(x: f64) -> Self {
        x != 0.0
    }
    #[inline]
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self))
    }
    #[inline]
    fn from_i64(x: i64) -> Self {
        x != 0
    }
    #[inline]
    fn to_i64(self) -> i64 {
        i64::from(self)
    }
}

/// Runs `$body` with `$T` bound to the element type of `$dtype`; the list names the groups it is compiled for.
///
/// `dispatch!(dtype, T in all => body)`; groups: `all`, `float` (f32 f64), `half` (f16 bf16), `int`, `int_bool`,
/// `number` (all but bool), `full_float`.  Others reach `_ =>`.
#[macro_export]
macro_rules! dispatch {
    (@arms $dtype:expr, $T:ident, $body:expr, $other:expr, [$($d:ident => $t:ty),*]) => {
        match $dtype { $($crate::dtype::DType::$d => { type $T = $t; $body })* #[allow(unreachable_patterns)] _ => $other }
    };
    ($dtype:expr, $T:ident in all => $body:expr) => {
        $crate::dispatch!(@arms $dtype, $T, $body, unreachable!(), [Bool => bool, U8 => u8, I8 => i8, I16 => i16, I32 => i32,
            I64 => i64, F16 => half::f16, BF16 => half::bf16, F32 => f32, F64 => f64])
    };
    ($dtype:expr, $T:ident in number => $body:expr, _ => $other:expr) => {
        $crate::dispatch!(@arms $dtype, $T, $body, $other, [U8 => u8, I8 => i8, I16 => i16, I32 => i32,
            I64 => i64, F16 => half::f16, BF16 => half::bf16, F32 => f32, F64 => f64])
    };
    ($dtype:expr, $T:ident in float => $body:expr, _ => $other:expr) => {
        $crate::dispatch!(@arms $dtype, $T, $body, $other, [F32 => f32, F64 => f64])
    };
    ($dtype:expr, $T:ident in full_float => $body:expr, _ => $other:expr) => {
        $crate::dispatch!(@arms $dtype, $T, $body, $other, [F16 => half::f16, BF16 => half::bf16, F32 => f32, F64 => f64])
    };
    ($dtype:expr, $T:ident in half => $body:expr, _ => $other:expr) => {
        $crate::dispatch!(@arms $dtype, $T, $body, $other, [F16 => half::f16, BF16 => half::bf16])
    };
    ($dtype:expr, $T:ident in int => $body:expr, _ => $other:expr) => {
        $crate::dispatch!(@arms $dtype, $T, $body, $other, [U8 => u8, I8 => i8, I16 => i16, I32 => i32, I64 => i64])
    };
    ($dtype:expr, $T:ident in int_bool => $body:expr, _ => $other:expr) => {
        $crate::dispatch!(@arms $dtype, $T, $body, $other, [Bool => bool, U8 => u8, I8 => i8, I16 => i16, I32 => i32, I64 => i64])
    };
}
