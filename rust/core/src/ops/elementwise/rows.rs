//! The machinery behind the rows: dtype rules, CPU kernels, gradients.

use crate::dtype::{Category, DType, result_type};
use crate::error::Result;
use crate::layout::broadcast;
use crate::op::{Attrs, Meta, Metas};
use crate::tensor::Tensor;
use crate::{dispatch, ensure};
use pyneuro_kernels::elementwise::{BinaryFn, CompareFn, PredicateFn, TernaryFn, UnaryFn, checked};
use smallvec::smallvec;
use std::borrow::Cow;

/// The numbers of an op that has them.
#[inline]
pub fn scalars(attrs: &Attrs) -> [f64; 2] {
    match attrs {
        Attrs::Scalars(s) => *s,
        _ => [0.0; 2],
    }
}

// -------------------------------------------------------------------------------------------------------- dtype rules

/// The input's shape; a float (integers become the default float).
#[inline]
pub fn float_unary(x: &[&Tensor]) -> Result<Metas> {
    Ok(smallvec![Meta::new(x[0].shape_vec(), x[0].dtype().to_float())])
}

/// The input's shape and dtype; not for bool.
#[inline]
pub fn number_unary(name: &str, x: &[&Tensor]) -> Result<Metas> {
    ensure!(x[0].dtype() != DType::Bool, Type, "{name}: a numeric tensor is required, got bool");
    Ok(smallvec![Meta::of(x[0])])
}

/// The input's shape, bool.
#[inline]
pub fn predicate(x: &[&Tensor]) -> Result<Metas> {
    Ok(smallvec![Meta::new(x[0].shape_vec(), DType::Bool)])
}

/// The common shape and dtype of two operands.
#[inline]
pub fn common(name: &str, x: &[&Tensor]) -> Result<Meta> {
    let (a, b) = (x[0], x[1]);
    if a.shape() == b.shape() && a.dtype() == b.dtype() {
        return Ok(Meta::of(a));
    }
    Ok(Meta::new(broadcast(name, a.shape(), b.shape())?, result_type(x)))
}

// -------------------------------------------------------------------------------------------------------- CPU kernels

/// The operand as the kernel wants it: of the computing dtype, with the result's shape.
#[inline]
pub fn operand<'a>(t: &'a Tensor, dtype: DType, shape: &[usize]) -> Result<Cow<'a, Tensor>> {
    if t.dtype() == dtype && t.shape() == shape {
        return Ok(Cow::Borrowed(t));
    }
    let t = if t.dtype() == dtype { t.clone() } else { super::cast::converted(t, dtype)? };
    if t.shape() == shape {
        return Ok(Cow::Owned(t));
    }
    Ok(Cow::Owned(Tensor::from_parts(t.storage().clone(), t.layout().broadcast_to(shape), dtype)))
}

/// What a float kernel computes in: half precision is widened, so that it needs no code of its own.
#[inline]
fn compute_dtype(dtype: DType) -> DType {
    match dtype {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

/// Runs `kernel` into `out`, through a wider temporary if `out` is half precision.
#[inline]
fn into_float(out: &Tensor, kernel: impl FnOnce(&Tensor) -> Result<()>) -> Result<()> {
    let dtype = compute_dtype(out.dtype());
    if out.dtype() == dtype {
        return kernel(out);
    }
    let wide = Tensor::empty(out.shape(), dtype)?;
    kernel(&wide)?;
    super::cast::convert_into(&wide, out);
    Ok(())
}

/// A float op of one operand.
#[inline]
pub fn run_unary<F: UnaryFn>(f: F, x: &[&Tensor], out: &Tensor) -> Result<()> {
    into_float(out, |out| {
        let a = operand(x[0], out.dtype(), out.shape())?;
        dispatch!(out.dtype(), T in float => checked::unary::<T, F>(f, a.view(), out.view_mut()), _ => unreachable!());
        Ok(())
    })
}

/// A float op of two operands.
#[inline]
pub fn run_binary<F: BinaryFn>(f: F, x: &[&Tensor], out: &Tensor) -> Result<()> {
    into_float(out, |out| {
        let a = operand(x[0], out.dtype(), out.shape())?;
        let b = operand(x[1], out.dtype(), out.shape())?;
        dispatch!(out.dtype(), T in float => checked::binary::<T, F>(f, a.view(), b.view(), out.view_mut()),
            _ => unreachable!());
        Ok(())
    })
}

/// A float op of three operands.
#[inline]
pub fn run_ternary<F: TernaryFn>(f: F, x: &[&Tensor], out: &Tensor) -> Result<()> {
    into_float(out, |out| {
        let a = operand(x[0], out.dtype(), out.shape())?;
        let b = operand(x[1], out.dtype(), out.shape())?;
        let c = operand(x[2], out.dtype(), out.shape())?;
        dispatch!(out.dtype(), T in float => checked::ternary::<T, F>(f, a.view(), b.view(), c.view(), out.view_mut()),
            _ => unreachable!());
        Ok(())
    })
}

/// A question about one float.
pub fn run_predicate<F: PredicateFn>(f: F, x: &[&Tensor], out: &Tensor) -> Result<()> {
    let dtype = compute_dtype(x[0].dtype());
    let a = operand(x[0], dtype, out.shape())?;
    dispatch!(dtype, T in float => checked::predicate::<T, F>(f, a.view(), out.view_mut()), _ => unreachable!());
    Ok(())
}

/// A question about two numbers; integers are compared as integers.
pub fn run_compare<F: CompareFn>(f: F, int: fn(i64, i64) -> bool, x: &[&Tensor], out: &Tensor) -> Result<()> {
    let common = result_type(x);
    if common.category() != Category::Float {
        let a = operand(x[0], DType::I64, out.shape())?;
        let b = operand(x[1], DType::I64, out.shape())?;
        checked::map2(int, a.view::<i64>(), b.view::<i64>(), out.view_mut::<bool>());
        return Ok(());
    }
    let dtype = compute_dtype(common);
    let a = operand(x[0], dtype, out.shape())?;
    let b = operand(x[1], dtype, out.shape())?;
    dispatch!(dtype, T in float => checked::compare::<T, F>(f, a.view(), b.view(), out.view_mut()), _ => unreachable!());
    Ok(())
}

// ---------------------------------------------------------------------------------------------------------- gradients

/// `grad!([parameters] kind |names| formula)`: the gradient of a row.
///
/// Kinds for one operand: `none "reason"`, `zero`, `-` (nothing saved), `x` (the input), `y` (the output), `xy`.
/// For two or three, with one formula per operand: `none`, `-`, `in` (the inputs), `all` (and the output), `cross` (each
/// needs the other input), `second` (the second input and the output).
macro_rules! grad {
    ([$($p:ident),*] none $why:literal) => { $crate::op::Vjp::None { why: $why } };
    ([$($p:ident),*] zero) => {
        $crate::op::Vjp::Rule { saves: $crate::op::Saves::NOTHING, rule: |c, gs| {
            let mut out = $crate::op::Grads::new();
            for (m, needs) in c.in_metas.iter().zip(&c.needs) {
                out.push(if *needs {
                    Some($crate::ops::full(&m.shape, 0.0, m.dtype, $crate::ops::g(gs).device())?)
                } else {
                    None
                });
            }
            Ok(out)
        } }
    };
    ([$($p:ident),*] - |$g:ident| $body:expr) => {
        grad!(@one [$($p),*] NOTHING, c, |$g| {}, $body)
    };
    ([$($p:ident),*] x |$g:ident, $x:ident| $body:expr) => {
        grad!(@one [$($p),*] INPUTS, c, |$g| { let $x = &$crate::ops::expr::Expr::from(c.input(0)); }, $body)
    };
    ([$($p:ident),*] y |$g:ident, $y:ident| $body:expr) => {
        grad!(@one [$($p),*] OUTPUTS, c, |$g| { let $y = &$crate::ops::expr::Expr::from(c.output(0)); }, $body)
    };
    ([$($p:ident),*] xy |$g:ident, $x:ident, $y:ident| $body:expr) => {
        grad!(@one [$($p),*] ALL, c, |$g| {
            let $x = &$crate::ops::expr::Expr::from(c.input(0));
            let $y = &$crate::ops::expr::Expr::from(c.output(0));
        }, $body)
    };
    (@one [$($p:ident),*] $saves:ident, $c:ident, |$g:ident| { $($bind:stmt;)* }, $body:expr) => {
        $crate::op::Vjp::Rule { saves: $crate::op::Saves::$saves, rule: |$c, gs| {
            let [$($p,)* ..] = $crate::ops::elementwise::rows::scalars($c.attrs);
            let $g = &$crate::ops::expr::Expr::from($crate::ops::g(gs));
            $($bind)*
            $crate::ops::one(($body).0)
        } }
    };
    ([$($p:ident),*] - |$g:ident| $($body:expr),+) => {
        grad!(@many [$($p),*] NOTHING, c, |$g| {}, $($body),+)
    };
    ([$($p:ident),*] in |$g:ident, $x:ident, $y:ident| $($body:expr),+) => {
        grad!(@many [$($p),*] INPUTS, c, |$g| {
            let $x = &$crate::ops::expr::Expr::from(c.input(0));
            let $y = &$crate::ops::expr::Expr::from(c.input(1));
        }, $($body),+)
    };
    // Each operand's gradient needs the other operand only.
    ([$($p:ident),*] cross |$g:ident, $x:ident, $y:ident| $($body:expr),+) => {
        grad!(@many [$($p),*] CROSS, c, |$g| {
            let $x = &$crate::ops::expr::Expr::saved(&c.inputs, 0);
            let $y = &$crate::ops::expr::Expr::saved(&c.inputs, 1);
        }, $($body),+)
    };
    ([$($p:ident),*] second |$g:ident, $y:ident, $o:ident| $($body:expr),+) => {
        grad!(@many [$($p),*] SECOND, c, |$g| {
            let $y = &$crate::ops::expr::Expr::from(c.input(1));
            let $o = &$crate::ops::expr::Expr::from(c.output(0));
        }, $($body),+)
    };
    ([$($p:ident),*] all |$g:ident, $x:ident, $y:ident, $o:ident| $($body:expr),+) => {
        grad!(@many [$($p),*] ALL, c, |$g| {
            let $x = &$crate::ops::expr::Expr::from(c.input(0));
            let $y = &$crate::ops::expr::Expr::from(c.input(1));
            let $o = &$crate::ops::expr::Expr::from(c.output(0));
        }, $($body),+)
    };
    ([$($p:ident),*] in |$g:ident, $x:ident, $y:ident, $z:ident| $($body:expr),+) => {
        grad!(@many [$($p),*] INPUTS, c, |$g| {
            let $x = &$crate::ops::expr::Expr::from(c.input(0));
            let $y = &$crate::ops::expr::Expr::from(c.input(1));
            let $z = &$crate::ops::expr::Expr::from(c.input(2));
        }, $($body),+)
    };
    (@many [$($p:ident),*] $saves:ident, $c:ident, |$g:ident| { $($bind:stmt;)* }, $($body:expr),+) => {
        $crate::op::Vjp::Rule { saves: $crate::op::Saves::$saves, rule: |$c, gs| {
            let [$($p,)* ..] = $crate::ops::elementwise::rows::scalars($c.attrs);
            let $g = &$crate::ops::expr::Expr::from($crate::ops::g(gs));
            $($bind)*
            let mut out = $crate::op::Grads::new();
            $(
                let i = out.len();
                // A formula runs only for an operand that wants it; a broadcast operand sums over its copies.
                out.push(if $c.needs[i] { Some($crate::ops::sum_to(&($body).0?, &$c.in_metas[i].shape)?) } else { None });
            )+
            Ok(out)
        } }
    };
}
pub(super) use grad;
