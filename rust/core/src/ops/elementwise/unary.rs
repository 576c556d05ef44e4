//! Elementwise ops of one operand.

use super::binary::GT;
use super::int::Int;
use super::rows::{self, grad, scalars};
use crate::dispatch;
use crate::dtype::{Category, Typed};
use crate::op::{Cpu, Gpu, OpDef};
use pyneuro_kernels::elementwise::{PredicateFn, UnaryFn, checked};
use pyneuro_kernels::math;
use pyneuro_kernels::simd::{Select, Vector};

/// Rows whose result is a float; integers become the default float first.
macro_rules! float_unary { ($list:ident: $(
    $(#[$doc:meta])* $NAME:ident $name:literal [$($p:ident),*] |$x:ident| $body:expr, wgsl $wgsl:literal, grad($($grad:tt)*);
)*) => {
    $($(#[$doc])* pub static $NAME: OpDef = {
        #[derive(Clone, Copy)]
        struct Kernel([f64; 2]);
        impl UnaryFn for Kernel {
            const COST: usize = 8;
            #[inline(always)]
            fn apply<V: Vector>(self, $x: V) -> V {
                let [$($p,)* ..] = self.0.map(V::from_f64);
                $body
            }
        }
        OpDef {
            name: $name,
            infer: |_, x| rows::float_unary(x),
            vjp: grad!([$($p),*] $($grad)*),
            cpu: Cpu::Kernel(|attrs, x, out| rows::run_unary(Kernel(scalars(attrs)), x, &out[0])),
            gpu: Gpu::Elementwise { float: $wgsl, int: "" },
            reference: None,
            elementwise: true,
        }
    };)*
    const $list: &[(&OpDef, &[&str])] = &[$((&$NAME, &[$(stringify!($p)),*])),*];
} }

/// Rows that keep the dtype.
macro_rules! number_unary { ($list:ident: $(
    $(#[$doc:meta])* $NAME:ident $name:literal [$($p:ident),*] |$x:ident| $body:expr, int |$i:ident| $int:expr,
        wgsl $wgsl:literal $wgsl_int:literal, grad($($grad:tt)*);
)*) => {
    $($(#[$doc])* pub static $NAME: OpDef = {
        #[derive(Clone, Copy)]
        struct Kernel([f64; 2]);
        impl UnaryFn for Kernel {
            #[inline(always)]
            fn apply<V: Vector>(self, $x: V) -> V {
                let [$($p,)* ..] = self.0.map(V::from_f64);
                $body
            }
        }
        fn integers<T: Int>(p: [f64; 2]) -> impl Fn(T) -> T + Copy + Send + Sync {
            let [$($p,)* ..] = p.map(T::saturate);
            move |$i: T| $int
        }
        OpDef {
            name: $name,
            infer: |_, x| rows::number_unary($name, x),
            vjp: grad!([$($p),*] $($grad)*),
            cpu: Cpu::Kernel(|attrs, x, out| {
                let p = scalars(attrs);
                dispatch!(out[0].dtype(), T in int => {
                    checked::map1(integers::<T>(p), x[0].view::<T>(), out[0].view_mut::<T>());
                    Ok(())
                }, _ => rows::run_unary(Kernel(p), x, &out[0]))
            }),
            gpu: Gpu::Elementwise { float: $wgsl, int: $wgsl_int },
            reference: None,
            elementwise: true,
        }
    };)*
    const $list: &[(&OpDef, &[&str])] = &[$((&$NAME, &[$(stringify!($p)),*])),*];
} }

/// Rows that answer a question.
macro_rules! predicate { ($list:ident: $(
    $(#[$doc:meta])* $NAME:ident $name:literal |$x:ident| $body:expr, int |$i:ident| $int:expr, wgsl $wgsl:literal $wgsl_int:literal;
)*) => {
    $($(#[$doc])* pub static $NAME: OpDef = {
        #[derive(Clone, Copy)]
        struct Kernel;
        impl PredicateFn for Kernel {
            #[inline(always)]
            fn apply<V: Vector>(self, $x: V) -> V::Mask {
                $body
            }
        }
        OpDef {
            name: $name,
            infer: |_, x| rows::predicate(x),
            vjp: crate::op::Vjp::None { why: "its result is bool" },
            cpu: Cpu::Kernel(|_, x, out| {
                if x[0].dtype().category() == Category::Float {
                    return rows::run_predicate(Kernel, x, &out[0]);
                }
                dispatch!(x[0].dtype(), T in int_bool => {
                    checked::map1(|$i: T| $int, x[0].view::<T>(), out[0].view_mut::<bool>());
                    Ok(())
                }, _ => unreachable!())
            }),
            gpu: Gpu::Elementwise { float: $wgsl, int: $wgsl_int },
            reference: None,
            elementwise: true,
        }
    };)*
    const $list: &[(&OpDef, &[&str])] = &[$((&$NAME, &[])),*];
} }

/// Every row of this file.
pub(super) const ROWS: &[&[(&OpDef, &[&str])]] = &[FLOAT, ACTIVATIONS, NUMBER, PREDICATES, BITS];

const BITS: &[(&OpDef, &[&str])] = &[(&BITWISE_NOT, &[])];

float_unary! { FLOAT:
    /// e to the power x.
    EXP "exp" [] |x| math::exp(x), wgsl "exp_(x)", grad(y |g, y| g * y);
    /// 2 to the power x.
    EXP2 "exp2" [] |x| math::exp2(x), wgsl "exp2_(x)", grad(y |g, y| g * y * std::f64::consts::LN_2);
    /// exp(x) - 1, exact for small x.
    EXPM1 "expm1" [] |x| math::expm1(x), wgsl "expm1_(x)", grad(y |g, y| g * (y + 1.0));
    /// Natural logarithm.
    LOG "log" [] |x| math::log(x), wgsl "log_(x)", grad(x |g, x| g / x);
    /// Logarithm to base 2.
    LOG2 "log2" [] |x| math::log2(x), wgsl "log2_(x)", grad(x |g, x| g / (x * std::f64::consts::LN_2));
    /// Logarithm to base 10.
    LOG10 "log10" [] |x| math::log10(x), wgsl "log10_(x)",
        grad(x |g, x| g / (x * std::f64::consts::LN_10));
    /// log(1 + x), exact for small x.
    LOG1P "log1p" [] |x| math::log1p(x), wgsl "log1p_(x)", grad(x |g, x| g / (x + 1.0));
    /// Square root.
    SQRT "sqrt" [] |x| x.sqrt(), wgsl "sqrt_(x)", grad(y |g, y| g / (y * 2.0));
    /// One over the square root.
    RSQRT "rsqrt" [] |x| V::from_f64(1.0) / x.sqrt(), wgsl "(1.0 / sqrt_(x))", grad(y |g, y| g * (y * y * y) * -0.5);
    /// One over x.
    RECIPROCAL "reciprocal" [] |x| V::from_f64(1.0) / x, wgsl "(1.0 / x)", grad(y |g, y| -(g * (y * y)));
    /// Sine.
    SIN "sin" [] |x| math::sin(x), wgsl "sin_(x)", grad(x |g, x| g * x.op(&COS));
    /// Cosine.
    COS "cos" [] |x| math::cos(x), wgsl "cos_(x)", grad(x |g, x| -(g * x.op(&SIN)));
    /// Tangent.
    TAN "tan" [] |x| math::tan(x), wgsl "tan_(x)", grad(y |g, y| g * (y * y + 1.0));
    /// Inverse sine.
    ASIN "asin" [] |x| math::asin(x), wgsl "asin_(x)", grad(x |g, x| g * (1.0 - x * x).op(&RSQRT));
    /// Inverse cosine.
    ACOS "acos" [] |x| math::acos(x), wgsl "acos_(x)", grad(x |g, x| -(g * (1.0 - x * x).op(&RSQRT)));
    /// Inverse tangent.
    ATAN "atan" [] |x| math::atan(x), wgsl "atan_(x)", grad(x |g, x| g / (x * x + 1.0));
    /// Hyperbolic sine.
    SINH "sinh" [] |x| math::sinh(x), wgsl "sinh_(x)", grad(x |g, x| g * x.op(&COSH));
    /// Hyperbolic cosine.
    COSH "cosh" [] |x| math::cosh(x), wgsl "cosh_(x)", grad(x |g, x| g * x.op(&SINH));
    /// Hyperbolic tangent.
    TANH "tanh" [] |x| math::tanh(x), wgsl "tanh_(x)", grad(y |g, y| g * (1.0 - y * y));
    /// Inverse hyperbolic sine.
    ASINH "asinh" [] |x| math::asinh(x), wgsl "asinh_(x)", grad(x |g, x| g * (x * x + 1.0).op(&RSQRT));
    /// Inverse hyperbolic cosine.
    ACOSH "acosh" [] |x| math::acosh(x), wgsl "acosh_(x)", grad(x |g, x| g * (x * x - 1.0).op(&RSQRT));
    /// Inverse hyperbolic tangent.
    ATANH "atanh" [] |x| math::atanh(x), wgsl "atanh_(x)", grad(x |g, x| g / (1.0 - x * x));
    /// Error function.
    ERF "erf" [] |x| math::erf(x), wgsl "erf_(x)",
        grad(x |g, x| g * (-(x * x)).op(&EXP) * std::f64::consts::FRAC_2_SQRT_PI);
    /// One minus the error function, exact for large x.
    ERFC "erfc" [] |x| math::erfc(x), wgsl "erfc_(x)",
        grad(x |g, x| g * (-(x * x)).op(&EXP) * -std::f64::consts::FRAC_2_SQRT_PI);
    /// x without its integer part; has the sign of x.
    FRAC "frac" [] |x| x - x.trunc(), wgsl "(x - trunc(x))", grad(- |g| g.same());
}

float_unary! { ACTIVATIONS:
    /// 1 / (1 + exp(-x)).
    SIGMOID "sigmoid" [] |x| math::sigmoid(x), wgsl "sigmoid_(x)", grad(y |g, y| g * (y * (1.0 - y)));
    /// log(sigmoid(x)), exact where sigmoid(x) is near 0 or 1.
    LOGSIGMOID "logsigmoid" [] |x| math::log_sigmoid(x), wgsl "(-softplus_(-x))",
        grad(x |g, x| g * (-x).op(&SIGMOID));
    /// log(1 + exp(beta x)) / beta; x itself where beta x exceeds the threshold.
    SOFTPLUS "softplus" [beta, threshold] |x| (x * beta).gt(threshold).select(x, math::softplus(x * beta) / beta),
        wgsl "select(softplus_(x * p0) / p0, x, x * p0 > p1)",
        grad(x |g, x| g.or(&(x * beta).compare(&GT, threshold), &(g * (x * beta).op(&SIGMOID))));
    /// x times the standard normal distribution function (Hendrycks & Gimpel 2016, arXiv 1606.08415).
    GELU "gelu" [] |x| {
            let half = x * V::from_f64(0.5);
            half.mul_add(math::erf(x * V::from_f64(std::f64::consts::FRAC_1_SQRT_2)), half)
        },
        wgsl "(0.5 * x * (1.0 + erf_(x * 0.70710678118654752)))",
        grad(x |g, x| {
            let cdf = ((x * std::f64::consts::FRAC_1_SQRT_2).op(&ERF) + 1.0) * 0.5;
            let pdf = (x * x * -0.5).op(&EXP) * (std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2 * 0.5);
            g * (cdf + x * pdf)
        });
    /// GELU with its tanh approximation.
    GELU_TANH "gelu_tanh" [] |x| {
            let u = (x * x).mul_add(V::from_f64(0.044_715), V::from_f64(1.0)) * x * V::from_f64(0.797_884_560_802_865_4);
            let half = x * V::from_f64(0.5);
            half.mul_add(math::tanh(u), half)
        },
        wgsl "(0.5 * x * (1.0 + tanh_(0.79788456080286536 * x * (1.0 + 0.044715 * x * x))))",
        grad(x |g, x| {
            let x2 = &(x * x);
            let t = &((x2 * 0.044_715 + 1.0) * x * 0.797_884_560_802_865_4).op(&TANH);
            let du = (x2 * (3.0 * 0.044_715) + 1.0) * 0.797_884_560_802_865_4;
            g * ((t + 1.0) * 0.5 + x * 0.5 * (1.0 - t * t) * du)
        });
    /// x sigmoid(x), also called swish.
    SILU "silu" [] |x| x * math::sigmoid(x), wgsl "(x * sigmoid_(x))",
        grad(x |g, x| {
            let s = &x.op(&SIGMOID);
            g * (s * (x * (1.0 - s) + 1.0))
        });
    /// x tanh(softplus(x)) (Misra 2019, arXiv 1908.08681).
    MISH "mish" [] |x| x * math::tanh(math::softplus(x)), wgsl "(x * tanh_(softplus_(x)))",
        grad(x |g, x| {
            let t = &(-(-x).op(&LOGSIGMOID)).op(&TANH); // softplus(x) = -logsigmoid(-x)
            g * (t + x * x.op(&SIGMOID) * (1.0 - t * t))
        });
    /// x where it is positive, slope x elsewhere.
    LEAKY_RELU "leaky_relu" [slope] |x| x.gt(V::zero()).select(x, x * slope), wgsl "select(x * p0, x, x > 0.0)",
        grad(x |g, x| g.or(&x.compare(&GT, 0.0), &(g * slope)));
    /// x where it is positive, alpha (exp(x) - 1) elsewhere.
    ELU "elu" [alpha] |x| x.gt(V::zero()).select(x, math::expm1(x) * alpha), wgsl "select(expm1_(x) * p0, x, x > 0.0)",
        grad(x |g, x| g.or(&x.compare(&GT, 0.0), &(g * x.op(&EXP) * alpha)));
    /// alpha (exp(x / alpha) - 1) where x is negative, x elsewhere.
    CELU "celu" [alpha] |x| x.gt(V::zero()).select(x, math::expm1(x / alpha) * alpha),
        wgsl "select(expm1_(x / p0) * p0, x, x > 0.0)",
        grad(x |g, x| g.or(&x.compare(&GT, 0.0), &(g * (x * (1.0 / alpha)).op(&EXP))));
    /// ELU with the constants that keep mean 0 and variance 1 (Klambauer et al. 2017, arXiv 1706.02515).
    SELU "selu" [] |x| {
            let positive = x * V::from_f64(SELU_SCALE);
            x.gt(V::zero()).select(positive, math::expm1(x) * V::from_f64(SELU_SCALE * SELU_ALPHA))
        },
        wgsl "select(expm1_(x) * 1.7580993408473766, x * 1.0507009873554805, x > 0.0)",
        grad(x |g, x| (g * SELU_SCALE).or(&x.compare(&GT, 0.0), &(g * x.op(&EXP) * (SELU_SCALE * SELU_ALPHA))));
    /// (x + 3) / 6, kept within 0 and 1.
    HARDSIGMOID "hardsigmoid" [] |x| {
            let y = (x + V::from_f64(3.0)) * V::from_f64(1.0 / 6.0);
            y.maximum(V::zero()).minimum(V::from_f64(1.0))
        },
        wgsl "clamp_((x + 3.0) / 6.0, 0.0, 1.0)",
        grad(x |g, x| (g * (1.0 / 6.0)).masked(&(x * x).compare(&super::binary::LT, 9.0)));
    /// x hardsigmoid(x).
    HARDSWISH "hardswish" [] |x| {
            let y = (x + V::from_f64(3.0)) * V::from_f64(1.0 / 6.0);
            x * y.maximum(V::zero()).minimum(V::from_f64(1.0))
        },
        wgsl "(x * clamp_((x + 3.0) / 6.0, 0.0, 1.0))",
        grad(x |g, x| {
            let inside = &(g * (x * (1.0 / 3.0) + 0.5));
            let above = g.masked(&x.compare(&GT, 3.0));
            inside.or(&(x * x).compare(&super::binary::LT, 9.0), &above)
        });
    /// Zero where |x| is at most lambda, x elsewhere.
    HARDSHRINK "hardshrink" [lambda] |x| x.abs().gt(lambda).select(x, x.is_nan().select(x, V::zero())),
        wgsl "select(0.0, x, abs(x) > p0 || isnan_(x))",
        grad(x |g, x| g.masked(&x.op(&ABS).compare(&GT, lambda)));
    /// x moved towards zero by lambda, not past it.
    SOFTSHRINK "softshrink" [lambda] |x| {
            let shrunk = x - lambda.copysign(x);
            x.abs().gt(lambda).select(shrunk, x.is_nan().select(x, V::zero()))
        },
        wgsl "select(select(0.0, x, isnan_(x)), x - sign(x) * p0, abs(x) > p0)",
        grad(x |g, x| g.masked(&x.op(&ABS).compare(&GT, lambda)));
    /// x where it exceeds the threshold, value elsewhere.
    THRESHOLD "threshold" [threshold, value] |x| x.le(threshold).select(value, x), wgsl "select(x, p1, x <= p0)",
        grad(x |g, x| {
            let _ = value;
            g.masked(&x.compare(&GT, threshold))
        });
}

const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_3;

number_unary! { NUMBER:
    /// Minus x.
    NEG "neg" [] |x| -x, int |i| i.neg(), wgsl "(-x)" "(-x)", grad(- |g| -g);
    /// The magnitude.
    ABS "abs" [] |x| x.abs(), int |i| Int::abs(i), wgsl "abs(x)" "abs(x)", grad(x |g, x| g * x.op(&SIGN));
    /// -1, 0 or 1; NaN stays.
    SIGN "sign" [] |x| {
            let one = V::from_f64(1.0).copysign(x);
            x.eq(V::zero()).select(V::zero(), x.is_nan().select(x, one))
        },
        int |i| i.sign(), wgsl "sign_(x)" "sign(x)", grad(zero);
    /// x times x.
    SQUARE "square" [] |x| x * x, int |i| Int::mul(i, i), wgsl "(x * x)" "(x * x)", grad(x |g, x| g * (x * 2.0));
    /// x where it is positive, else 0; the gradient at 0 is 0.
    RELU "relu" [] |x| x.maximum(V::zero()), int |i| Ord::max(i, T::saturate(0.0)), wgsl "relu_(x)" "max(x, 0)",
        grad(y |g, y| g.masked(&y.compare(&GT, 0.0)));
    /// x kept within min and max.
    CLAMP "clamp" [min, max] |x| x.maximum(min).minimum(max), int |i| Ord::min(Ord::max(i, min), max),
        wgsl "clamp_(x, p0, p1)" "clamp_int(x, p0, p1)",
        grad(x |g, x| {
            let inside = x.compare(&super::binary::GE, min).op2(&super::binary::LOGICAL_AND, &x.compare(&super::binary::LE, max));
            g.masked(&inside)
        });
    /// The largest integer not above x.
    FLOOR "floor" [] |x| x.floor(), int |i| i, wgsl "floor(x)" "x", grad(zero);
    /// The smallest integer not below x.
    CEIL "ceil" [] |x| x.ceil(), int |i| i, wgsl "ceil(x)" "x", grad(zero);
    /// The nearest integer, halves to even.
    ROUND "round" [] |x| x.round(), int |i| i, wgsl "round(x)" "x", grad(zero);
    /// The integer part.
    TRUNC "trunc" [] |x| x.trunc(), int |i| i, wgsl "trunc(x)" "x", grad(zero);
}

predicate! { PREDICATES:
    /// Whether x is not a number.
    ISNAN "isnan" |x| x.is_nan(), int |i| { let _ = i; false }, wgsl "isnan_(x)" "false";
    /// Whether x is infinite.
    ISINF "isinf" |x| x.abs().eq(V::from_f64(f64::INFINITY)), int |i| { let _ = i; false }, wgsl "isinf_(x)" "false";
    /// Whether x is neither infinite nor NaN.
    ISFINITE "isfinite" |x| x.abs().lt(V::from_f64(f64::INFINITY)), int |i| { let _ = i; true },
        wgsl "(!isnan_(x) && !isinf_(x))" "true";
    /// Whether the sign bit is set.
    SIGNBIT "signbit" |x| x.is_sign_negative(), int |i| i.to_f64() < 0.0, wgsl "((bitcast<u32>(x) >> 31u) == 1u)" "(x < 0)";
    /// Whether x is zero.
    LOGICAL_NOT "logical_not" |x| x.eq(V::zero()), int |i| i == T::default(), wgsl "(x == 0.0)" "(x == 0)";
}

/// The complement of every bit; of a bool, its opposite.
pub static BITWISE_NOT: OpDef = OpDef {
    name: "bitwise_not",
    infer: |_, x| {
        let ok = !x[0].dtype().is_float();
        crate::ensure!(ok, Type, "bitwise_not: an integer or bool tensor is required, got {}", x[0].dtype());
        Ok(smallvec::smallvec![crate::op::Meta::of(x[0])])
    },
    vjp: crate::op::Vjp::None { why: "its result is an integer" },
    cpu: Cpu::Kernel(|_, x, out| {
        dispatch!(x[0].dtype(), T in int => checked::map1(|i: T| i.not(), x[0].view::<T>(), out[0].view_mut::<T>()),
            _ => checked::map1(|b: bool| !b, x[0].view::<bool>(), out[0].view_mut::<bool>()));
        Ok(())
    }),
    gpu: Gpu::Elementwise { float: "", int: "(~x)" },
    reference: None,
    elementwise: true,
};
