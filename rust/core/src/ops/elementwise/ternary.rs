//! Elementwise ops of three operands.

use super::rows::{self, grad, operand, scalars};
use crate::dtype::{DType, result_type};
use crate::layout::broadcast;
use crate::op::{Cpu, Gpu, Meta, OpDef, Saves, Vjp};
use crate::ops::expr::Expr;
use crate::ops::{g, sum_to};
use crate::{dispatch, ensure};
use pyneuro_kernels::elementwise::{TernaryFn, checked};
use pyneuro_kernels::simd::Vector;
use smallvec::smallvec;

/// Rows over floats.
macro_rules! float_ternary { ($list:ident: $(
    $(#[$doc:meta])* $NAME:ident $name:literal [$($p:ident),*] |$x:ident, $y:ident, $z:ident| $body:expr, wgsl $wgsl:literal, grad($($grad:tt)*);
)*) => {
    $($(#[$doc])* pub static $NAME: OpDef = {
        #[derive(Clone, Copy)]
        struct Kernel([f64; 2]);
        impl TernaryFn for Kernel {
            #[inline(always)]
            fn apply<V: Vector>(self, $x: V, $y: V, $z: V) -> V {
                let [$($p,)* ..] = self.0.map(V::from_f64);
                $body
            }
        }
        OpDef {
            name: $name,
            infer: |_, x| {
                let shape = broadcast($name, &broadcast($name, x[0].shape(), x[1].shape())?, x[2].shape())?;
                let dtype = result_type(x);
                ensure!(dtype.is_float(), Type, "{}: floating-point tensors are required, got {dtype}", $name);
                Ok(smallvec![Meta::new(shape, dtype)])
            },
            vjp: grad!([$($p),*] $($grad)*),
            cpu: Cpu::Kernel(|attrs, x, out| rows::run_ternary(Kernel(scalars(attrs)), x, &out[0])),
            gpu: Gpu::Elementwise { float: $wgsl, int: "" },
            reference: None,
            elementwise: true,
        }
    };)*
    const $list: &[(&OpDef, &[&str])] = &[$((&$NAME, &[$(stringify!($p)),*])),*];
} }

/// Every row of this file.
pub(super) const ROWS: &[&[(&OpDef, &[&str])]] = &[FLOAT, CHOICE];

float_ternary! { FLOAT:
    /// x + z (y - x): from x to y as z goes from 0 to 1.
    LERP "lerp" [] |x, y, z| (y - x).mul_add(z, x), wgsl "(x + z * (y - x))",
        grad(in |g, x, y, z| g * (1.0 - z), g * z, g * (y - x));
    /// x + value y z.
    ADDCMUL "addcmul" [value] |x, y, z| (y * z).mul_add(value, x), wgsl "(x + p0 * y * z)",
        grad(in |g, x, y, z| { let _ = x; g.same() }, g * z * value, g * y * value);
    /// x + value y / z.
    ADDCDIV "addcdiv" [value] |x, y, z| (y / z).mul_add(value, x), wgsl "(x + p0 * y / z)",
        grad(in |g, x, y, z| { let _ = x; g.same() }, g * value / z, -(g * value * y / (z * z)));
}

const CHOICE: &[(&OpDef, &[&str])] = &[(&WHERE, &[])];

/// y where x (bool) holds, else z.
pub static WHERE: OpDef = OpDef {
    name: "where",
    infer: |_, x| {
        ensure!(x[0].dtype() == DType::Bool, Type, "where: the condition must be bool, got {}", x[0].dtype());
        let shape = broadcast("where", &broadcast("where", x[0].shape(), x[1].shape())?, x[2].shape())?;
        Ok(smallvec![Meta::new(shape, result_type(&x[1..]))])
    },
    vjp: Vjp::Rule {
        saves: Saves::inputs(1),
        rule: |c, gs| {
            let (mask, g) = (Expr::from(c.input(0)), Expr::from(g(gs)));
            let yes = if c.needs[1] { Some(sum_to(&g.masked(&mask).0?, &c.in_metas[1].shape)?) } else { None };
            let no = if c.needs[2] {
                let other = mask.op(&super::unary::LOGICAL_NOT);
                Some(sum_to(&g.masked(&other).0?, &c.in_metas[2].shape)?)
            } else {
                None
            };
            Ok(smallvec![None, yes, no])
        },
    },
    cpu: Cpu::Kernel(|_, x, out| {
        let out = &out[0];
        let c = operand(x[0], DType::Bool, out.shape())?;
        let a = operand(x[1], out.dtype(), out.shape())?;
        let b = operand(x[2], out.dtype(), out.shape())?;
        dispatch!(out.dtype(), T in all =>
            checked::map3(|c: bool, a: T, b: T| if c { a } else { b }, c.view(), a.view::<T>(), b.view::<T>(), out.view_mut::<T>()));
        Ok(())
    }),
    gpu: Gpu::Elementwise { float: "select(z, y, x != 0)", int: "select(z, y, x != 0)" },
    reference: None,
    elementwise: true,
};
