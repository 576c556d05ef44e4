//! Elementwise ops of two operands, with broadcasting.

use super::int::Int;
use super::rows::{self, grad, operand};
use super::unary;
use crate::dtype::{DType, Typed};
use crate::error::Result;
use crate::op::{Cpu, Gpu, Meta, OpDef, Vjp};
use crate::tensor::Tensor;
use crate::{bail, dispatch, ensure};
use pyneuro_kernels::elementwise::{BinaryFn, CompareFn, checked};
use pyneuro_kernels::math;
use pyneuro_kernels::simd::{Float, Select, Vector};
use smallvec::smallvec;

/// What a row does with two bool tensors.
type BoolFn = fn(bool, bool) -> bool;

/// Rows over numbers: floats, integers, and bools where a rule is given.
macro_rules! arithmetic { ($list:ident: $(
    $(#[$doc:meta])* $NAME:ident $name:literal |$x:ident, $y:ident| $body:expr, int |$i:ident, $j:ident| $int:expr,
        bool $bool:expr, check $check:expr, wgsl $wgsl:literal $wgsl_int:literal, grad($($grad:tt)*);
)*) => {
    $($(#[$doc])* pub static $NAME: OpDef = {
        #[derive(Clone, Copy)]
        struct Kernel;
        impl BinaryFn for Kernel {
            #[inline(always)]
            fn apply<V: Vector>(self, $x: V, $y: V) -> V {
                $body
            }
        }
        const BOOL: Option<BoolFn> = $bool;
        OpDef {
            name: $name,
            infer: |_, x| {
                let meta = rows::common($name, x)?;
                ensure!(meta.dtype != DType::Bool || BOOL.is_some(), Type, "{}: not defined for two bool tensors", $name);
                Ok(smallvec![meta])
            },
            vjp: grad!([] $($grad)*),
            cpu: Cpu::Kernel(|_, x, out| {
                let out = &out[0];
                if out.dtype().is_float() {
                    return rows::run_binary(Kernel, x, out);
                }
                let a = operand(x[0], out.dtype(), out.shape())?;
                let b = operand(x[1], out.dtype(), out.shape())?;
                const CHECK: Option<fn(&str, &Tensor) -> Result<()>> = $check;
                if let Some(check) = CHECK {
                    check($name, x[1])?;
                }
                dispatch!(out.dtype(), T in int => {
                    checked::map2(|$i: T, $j: T| $int, a.view::<T>(), b.view::<T>(), out.view_mut::<T>());
                }, _ => {
                    let f = BOOL.expect("infer refused bool where there is no rule");
                    checked::map2(f, a.view::<bool>(), b.view::<bool>(), out.view_mut::<bool>());
                });
                Ok(())
            }),
            gpu: Gpu::Elementwise { float: $wgsl, int: $wgsl_int },
            reference: None,
            elementwise: true,
        }
    };)*
    const $list: &[(&OpDef, &[&str])] = &[$((&$NAME, &[])),*];
} }

/// Rows whose result is a float even for integers.
macro_rules! float_binary { ($list:ident: $(
    $(#[$doc:meta])* $NAME:ident $name:literal |$x:ident, $y:ident| $body:expr, wgsl $wgsl:literal, grad($($grad:tt)*);
)*) => {
    $($(#[$doc])* pub static $NAME: OpDef = {
        #[derive(Clone, Copy)]
        struct Kernel;
        impl BinaryFn for Kernel {
            #[inline(always)]
            fn apply<V: Vector>(self, $x: V, $y: V) -> V {
                $body
            }
        }
        OpDef {
            name: $name,
            infer: |_, x| {
                let meta = rows::common($name, x)?;
                let dtype = meta.dtype.to_float();
                Ok(smallvec![Meta { dtype, ..meta }])
            },
            vjp: grad!([] $($grad)*),
            cpu: Cpu::Kernel(|_, x, out| rows::run_binary(Kernel, x, &out[0])),
            gpu: Gpu::Elementwise { float: $wgsl, int: "" },
            reference: None,
            elementwise: true,
        }
    };)*
    const $list: &[(&OpDef, &[&str])] = &[$((&$NAME, &[])),*];
} }

/// Rows that compare; the result is bool.
macro_rules! comparison { ($list:ident: $(
    $(#[$doc:meta])* $NAME:ident $name:literal |$x:ident, $y:ident| $body:expr, int |$i:ident, $j:ident| $int:expr, wgsl $wgsl:literal;
)*) => {
    $($(#[$doc])* pub static $NAME: OpDef = {
        #[derive(Clone, Copy)]
        struct Kernel;
        impl CompareFn for Kernel {
            #[inline(always)]
            fn apply<V: Vector>(self, $x: V, $y: V) -> V::Mask {
                $body
            }
        }
        OpDef {
            name: $name,
            infer: |_, x| {
                let meta = rows::common($name, x)?;
                Ok(smallvec![Meta { dtype: DType::Bool, ..meta }])
            },
            vjp: Vjp::None { why: "its result is bool" },
            cpu: Cpu::Kernel(|_, x, out| rows::run_compare(Kernel, |$i: i64, $j: i64| $int, x, &out[0])),
            gpu: Gpu::Elementwise { float: $wgsl, int: $wgsl },
            reference: None,
            elementwise: true,
        }
    };)*
    const $list: &[(&OpDef, &[&str])] = &[$((&$NAME, &[])),*];
} }

/// Rows over truth values: anything non-zero is true.
macro_rules! logical { ($list:ident: $(
    $(#[$doc:meta])* $NAME:ident $name:literal |$i:ident, $j:ident| $body:expr, wgsl $wgsl:literal;
)*) => {
    $($(#[$doc])* pub static $NAME: OpDef = OpDef {
        name: $name,
        infer: |_, x| {
            let meta = rows::common($name, x)?;
            Ok(smallvec![Meta { dtype: DType::Bool, ..meta }])
        },
        vjp: Vjp::None { why: "its result is bool" },
        cpu: Cpu::Kernel(|_, x, out| {
            let a = operand(x[0], DType::Bool, out[0].shape())?;
            let b = operand(x[1], DType::Bool, out[0].shape())?;
            checked::map2(|$i: bool, $j: bool| $body, a.view(), b.view(), out[0].view_mut());
            Ok(())
        }),
        gpu: Gpu::Elementwise { float: $wgsl, int: $wgsl },
        reference: None,
        elementwise: true,
    };)*
    const $list: &[(&OpDef, &[&str])] = &[$((&$NAME, &[])),*];
} }

/// Rows over the bits of integers (and bools).
macro_rules! bitwise { ($list:ident: $(
    $(#[$doc:meta])* $NAME:ident $name:literal |$i:ident, $j:ident| $int:expr, bool $bool:expr, wgsl $wgsl:literal;
)*) => {
    $($(#[$doc])* pub static $NAME: OpDef = {
        const BOOL: Option<BoolFn> = $bool;
        OpDef {
            name: $name,
            infer: |_, x| {
                let meta = rows::common($name, x)?;
                let ok = !meta.dtype.is_float() && (meta.dtype != DType::Bool || BOOL.is_some());
                ensure!(ok, Type, "{}: integer tensors are required, got {} and {}", $name, x[0].dtype(), x[1].dtype());
                Ok(smallvec![meta])
            },
            vjp: Vjp::None { why: "its result is an integer" },
            cpu: Cpu::Kernel(|_, x, out| {
                let out = &out[0];
                let a = operand(x[0], out.dtype(), out.shape())?;
                let b = operand(x[1], out.dtype(), out.shape())?;
                dispatch!(out.dtype(), T in int => {
                    checked::map2(|$i: T, $j: T| $int, a.view::<T>(), b.view::<T>(), out.view_mut::<T>());
                }, _ => {
                    let f = BOOL.expect("infer refused bool where there is no rule");
                    checked::map2(f, a.view::<bool>(), b.view::<bool>(), out.view_mut::<bool>());
                });
                Ok(())
            }),
            gpu: Gpu::Elementwise { float: "", int: $wgsl },
            reference: None,
            elementwise: true,
        }
    };)*
    const $list: &[(&OpDef, &[&str])] = &[$((&$NAME, &[])),*];
} }

/// Every row of this file.
pub(super) const ROWS: &[&[(&OpDef, &[&str])]] = &[ARITHMETIC, FLOAT, COMPARISONS, LOGICAL, BITWISE];

arithmetic! { ARITHMETIC:
    /// x + y.
    ADD "add" |x, y| x + y, int |i, j| Int::add(i, j), bool Some(|a, b| a | b), check None, wgsl "(x + y)" "(x + y)",
        grad(- |g| g.same(), g.same());
    /// x - y.
    SUB "sub" |x, y| x - y, int |i, j| Int::sub(i, j), bool None, check None, wgsl "(x - y)" "(x - y)",
        grad(- |g| g.same(), -g);
    /// x y.
    MUL "mul" |x, y| x * y, int |i, j| Int::mul(i, j), bool Some(|a, b| a & b), check None, wgsl "(x * y)" "(x * y)",
        grad(cross |g, x, y| g * y, g * x);
    /// The greater one; NaN wins. Where both are equal each gets half of the gradient.
    MAXIMUM "maximum" |x, y| x.maximum(y), int |i, j| Ord::max(i, j), bool Some(|a, b| a | b), check None,
        wgsl "maximum_(x, y)" "max(x, y)",
        grad(in |g, x, y| share(g, x, y, &GT), share(g, y, x, &GT));
    /// The smaller one; NaN wins. Where both are equal each gets half of the gradient.
    MINIMUM "minimum" |x, y| x.minimum(y), int |i, j| Ord::min(i, j), bool Some(|a, b| a & b), check None,
        wgsl "minimum_(x, y)" "min(x, y)",
        grad(in |g, x, y| share(g, x, y, &LT), share(g, y, x, &LT));
    /// x to the power y.
    POW "pow" |x, y| math::pow(x, y), int |i, j| Int::pow(i, j), bool None, check Some(no_negative),
        wgsl "pow_(x, y)" "pow_int(x, y)",
        grad(all |g, x, y, out|
            (g * (y * x.op2(&POW, &(y - 1.0)))).masked(&y.compare(&NE, 0.0)),
            (g * (out * x.op(&unary::LOG))).masked(&out.compare(&NE, 0.0)));
    /// x / y rounded down.
    FLOOR_DIVIDE "floor_divide" |x, y| floor_divide(x, y), int |i, j| i.floor_div(j), bool None, check Some(no_zero),
        wgsl "floor_divide_(x, y)" "floor_div_int(x, y)", grad(zero);
    /// What is left of x after whole multiples of y; has the sign of y.
    REMAINDER "remainder" |x, y| remainder(x, y), int |i, j| i.modulo(j), bool None, check Some(no_zero),
        wgsl "remainder_(x, y)" "modulo_int(x, y)",
        grad(in |g, x, y| g.same(), -(g * x.op2(&FLOOR_DIVIDE, y)));
    /// What is left of x after whole multiples of y; has the sign of x.
    FMOD "fmod" |x, y| fmod(x, y), int |i, j| i.rem(j), bool None, check Some(no_zero), wgsl "fmod_(x, y)" "rem_int(x, y)",
        grad(in |g, x, y| g.same(), -(g * (x / y).op(&unary::TRUNC)));
}

float_binary! { FLOAT:
    /// x / y.
    DIV "div" |x, y| x / y, wgsl "(x / y)", grad(second |g, y, out| g / y, -(g * out / y));
    /// The angle of the point (y, x): the first operand is the ordinate.
    ATAN2 "atan2" |x, y| math::atan2(x, y), wgsl "atan2_(x, y)",
        grad(in |g, x, y| g * y / (x * x + y * y), -(g * x / (x * x + y * y)));
    /// The magnitude of x with the sign of y.
    COPYSIGN "copysign" |x, y| x.copysign(y), wgsl "bitcast<f32>((bitcast<u32>(x) & 0x7fffffffu) | (bitcast<u32>(y) & 0x80000000u))",
        grad(in |g, x, y| g * (x.op(&unary::SIGN) * y.op2(&COPYSIGN, y).op(&unary::SIGN)), (g * y).masked(&y.op(&unary::ISNAN)));
    /// x log(y), zero where x is zero.
    XLOGY "xlogy" |x, y| x.eq(V::zero()).select(y.is_nan().select(y, V::zero()), x * math::log(y)),
        wgsl "select(x * log_(y), select(0.0, y, isnan_(y)), x == 0.0)",
        grad(in |g, x, y| g * y.op(&unary::LOG), g * x / y);
    /// log(exp(x) + exp(y)) without overflow.
    LOGADDEXP "logaddexp" |x, y| {
            let (low, high) = (x.minimum(y), x.maximum(y));
            // Two equal infinities would give NaN.
            low.eq(high).select(high + V::from_f64(std::f64::consts::LN_2), high + math::log1p(math::exp(low - high)))
        },
        wgsl "logaddexp_(x, y)",
        grad(in |g, x, y| g * (x - y).op(&unary::SIGMOID), g * (y - x).op(&unary::SIGMOID));
}

comparison! { COMPARISONS:
    /// x == y.
    EQ "eq" |x, y| x.eq(y), int |i, j| i == j, wgsl "(x == y)";
    /// x != y.
    NE "ne" |x, y| x.ne(y), int |i, j| i != j, wgsl "!(x == y)";
    /// x < y.
    LT "lt" |x, y| x.lt(y), int |i, j| i < j, wgsl "(x < y)";
    /// x <= y.
    LE "le" |x, y| x.le(y), int |i, j| i <= j, wgsl "(x <= y)";
    /// x > y.
    GT "gt" |x, y| x.gt(y), int |i, j| i > j, wgsl "(x > y)";
    /// x >= y.
    GE "ge" |x, y| x.ge(y), int |i, j| i >= j, wgsl "(x >= y)";
}

logical! { LOGICAL:
    /// Both are non-zero.
    LOGICAL_AND "logical_and" |i, j| i & j, wgsl "((x != 0) && (y != 0))";
    /// One is non-zero.
    LOGICAL_OR "logical_or" |i, j| i | j, wgsl "((x != 0) || (y != 0))";
    /// Exactly one is non-zero.
    LOGICAL_XOR "logical_xor" |i, j| i ^ j, wgsl "((x != 0) != (y != 0))";
}

bitwise! { BITWISE:
    /// Bits set in both.
    BITWISE_AND "bitwise_and" |i, j| i.and(j), bool Some(|a, b| a & b), wgsl "(x & y)";
    /// Bits set in one.
    BITWISE_OR "bitwise_or" |i, j| i.or(j), bool Some(|a, b| a | b), wgsl "(x | y)";
    /// Bits set in exactly one.
    BITWISE_XOR "bitwise_xor" |i, j| i.xor(j), bool Some(|a, b| a ^ b), wgsl "(x ^ y)";
    /// x moved y bits up.
    LEFT_SHIFT "bitwise_left_shift" |i, j| i.shl(j), bool None, wgsl "shl_int(x, y)";
    /// x moved y bits down, keeping the sign.
    RIGHT_SHIFT "bitwise_right_shift" |i, j| i.shr(j), bool None, wgsl "shr_int(x, y)";
}

/// The gradient of maximum or minimum for the operand `a`: all where it wins, half where both are equal.
fn share(
    g: &crate::ops::expr::Expr,
    a: &crate::ops::expr::Expr,
    b: &crate::ops::expr::Expr,
    wins: &'static OpDef,
) -> crate::ops::expr::Expr {
    let half = (g * 0.5).masked(&a.op2(&EQ, b));
    g.or(&a.op2(wins, b), &half)
}

#[inline(always)]
fn fmod<V: Vector>(x: V, y: V) -> V {
    // Exact in double for f32 too: the remainder of two floats is a float.
    x.zip_lanes(y, |a, b| V::Elem::of_f64(a.to_f64() % b.to_f64()))
}

#[inline(always)]
fn remainder<V: Vector>(x: V, y: V) -> V {
    let r = fmod(x, y);
    let other_sign = r.lt(V::zero()) ^ y.lt(V::zero());
    (r.ne(V::zero()) & other_sign).select(r + y, r)
}

/// As NumPy's: from the exact remainder, so that it agrees with `remainder`.
#[inline(always)]
fn floor_divide<V: Vector>(x: V, y: V) -> V {
    let r = fmod(x, y);
    let q = (x - r) / y;
    let other_sign = r.lt(V::zero()) ^ y.lt(V::zero());
    let q = (r.ne(V::zero()) & other_sign).select(q - V::from_f64(1.0), q);
    let down = q.floor();
    let nearest = (q - down).gt(V::from_f64(0.5)).select(down + V::from_f64(1.0), down);
    let zero = V::zero().copysign(x / y);
    y.eq(V::zero()).select(x / y, q.eq(V::zero()).select(zero, nearest))
}

/// An integer to a negative power is a fraction.
fn no_negative(name: &str, exponent: &Tensor) -> Result<()> {
    let flat = crate::autograd::no_grad(|| crate::ops::contiguous(exponent))?;
    let found = dispatch!(flat.dtype(), T in int_bool => flat.slice::<T>().iter().any(|e| e.to_i64() < 0), _ => false);
    ensure!(!found, Value, "{name}: integers cannot be raised to negative integer powers; convert to a float first");
    Ok(())
}

/// Integer division needs a divisor without zeros; looked at before anything is written.
fn no_zero(name: &str, divisor: &Tensor) -> Result<()> {
    let flat = crate::autograd::no_grad(|| crate::ops::contiguous(divisor))?;
    let found = dispatch!(flat.dtype(), T in int_bool =>
        flat.view::<T>().as_slice().is_some_and(|s| s.contains(&T::default())), _ => false);
    if found {
        bail!(ZeroDivision, "{name}: integer division by zero");
    }
    Ok(())
}
