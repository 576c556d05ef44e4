//! Reductions over some or all dimensions.

use super::attrs::{Dims, Reduce};
use super::elementwise::{EQ, NE};
use super::expr::Expr;
use super::{cast, g, movement, one};
use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::reduce as gpu;
use crate::layout::{Shape, normalize_dim};
use crate::op::{Attrs, Cpu, Gpu, Grads, Meta, Metas, OpDef, Saves, Tensors, Vjp, VjpCtx, call, call1};
use crate::tensor::Tensor;
use crate::{attrs, dispatch, ensure};
use pyneuro_kernels::reduce as kernels;
use smallvec::{SmallVec, smallvec};

/// Every op of this file.
pub const ALL: &[&OpDef] = &[&SUM, &MEAN, &PROD, &AMAX, &AMIN, &ANY, &ALL_TRUE, &ARGMAX, &ARGMIN, &MAX, &MIN, &VAR];

// ------------------------------------------------------------------------------------------------------------- shapes

/// Makes the dims of a reduction non-negative, unique and sorted, and gives the result's shape.
fn normalize(name: &str, r: &mut Reduce, shape: &[usize]) -> Result<Shape> {
    let mut dims: Dims = match &r.dims {
        None => (0..shape.len() as i64).collect(),
        Some(dims) => dims.iter().map(|&d| Ok(normalize_dim(name, d, shape.len())? as i64)).collect::<Result<_>>()?,
    };
    dims.sort_unstable();
    if let Some(w) = dims.windows(2).find(|w| w[0] == w[1]) {
        crate::bail!(Value, "{name}: dims must differ, got {} twice", w[0]);
    }
    let keep = |d: usize| !dims.contains(&(d as i64));
    let out = if r.keepdim {
        shape.iter().enumerate().map(|(d, &n)| if keep(d) { n } else { 1 }).collect()
    } else {
        shape.iter().enumerate().filter(|&(d, _)| keep(d)).map(|(_, &n)| n).collect()
    };
    r.dims = Some(dims);
    Ok(out)
}

/// A reduction of an empty set that has no identity is refused.
fn not_empty(name: &str, r: &Reduce, shape: &[usize]) -> Result<()> {
    let empty = r.dims.iter().flatten().any(|&d| shape.get(d as usize) == Some(&0));
    ensure!(!empty, Index, "{name}: the reduced dimensions must not be empty, got shape {shape:?}");
    Ok(())
}

/// The input's dims with the reduced ones of length 1: what a result must look like to broadcast against the input.
fn kept_shape(r: &Reduce, shape: &[usize]) -> Shape {
    let dims = r.dims.as_deref().unwrap_or(&[]);
    shape.iter().enumerate().map(|(d, &n)| if dims.contains(&(d as i64)) { 1 } else { n }).collect()
}

/// A reduction's result, or its gradient, seen with the reduced dimensions in place and expanded over the input.
fn spread(t: &Tensor, c: &VjpCtx) -> Result<Tensor> {
    let shape = &c.in_metas[0].shape;
    let kept = kept_shape(attrs!(c.attrs, Reduce), shape);
    movement::expand(&movement::reshape(t, &kept)?, shape)
}

fn count(r: &Reduce, shape: &[usize]) -> usize {
    r.dims.iter().flatten().map(|&d| shape.get(d as usize).copied().unwrap_or(1)).product()
}

// ------------------------------------------------------------------------------------------------------------ kernels

/// Which dimensions go, one flag each.
fn mask(attrs: &Attrs, x: &Tensor) -> SmallVec<[bool; 8]> {
    let dims = attrs!(attrs, Reduce).dims.as_deref().unwrap_or(&[]);
    (0..x.ndim() as i64).map(|d| dims.contains(&d)).collect()
}

/// The reduced dimensions, non-negative.
fn reduced(attrs: &Attrs) -> SmallVec<[usize; 4]> {
    attrs!(attrs, Reduce).dims.iter().flatten().map(|&d| d as usize).collect()
}

/// The GPU form of a reduction to values.
fn gpu_values(name: &'static str, kind: gpu::Kind, attrs: &Attrs, x: &[&Tensor], out: &[Tensor]) -> Result<()> {
    gpu::reduce(name, kind, x[0], &reduced(attrs), &out[0])
}

/// The GPU form of a search for the greatest or smallest element.
fn gpu_extreme(
    name: &'static str,
    greatest: bool,
    attrs: &Attrs,
    x: &[&Tensor],
    values: Option<&Tensor>,
    indices: Option<&Tensor>,
) -> Result<()> {
    gpu::arg_reduce(name, greatest, x[0], &reduced(attrs), values, indices)
}

/// A dtype that sums may be kept in: floats stay, integers and bools become int64.
fn sum_dtype(dtype: DType) -> DType {
    if dtype.is_float() { dtype } else { DType::I64 }
}

fn sum_kernel(attrs: &Attrs, x: &[&Tensor], out: &[Tensor]) -> Result<()> {
    let (x, out, mask) = (x[0], &out[0], mask(attrs, x[0]));
    dispatch!(x.dtype(), T in full_float => kernels::sum(x.view::<T>(), &mask, out.slice_mut::<T>()), _ => {
        dispatch!(x.dtype(), T in int_bool => kernels::sum_integer(x.view::<T>(), &mask, out.slice_mut::<i64>()), _ => unreachable!());
    });
    Ok(())
}

/// The sum of the elements.
pub static SUM: OpDef = OpDef {
    name: "sum",
    infer: |attrs, x| {
        let Attrs::Reduce(r) = attrs else { unreachable!("sum has reduce attributes") };
        Ok(smallvec![Meta::new(normalize("sum", r, x[0].shape())?, sum_dtype(x[0].dtype()))])
    },
    vjp: Vjp::Rule { saves: Saves::NOTHING, rule: |c, gs| one(spread(g(gs), c)) },
    cpu: Cpu::Kernel(sum_kernel),
    gpu: Gpu::Kernel(|attrs, x, out| gpu_values("sum", gpu::Kind::Sum, attrs, x, out)),
    reference: None,
    elementwise: false,
};

fn float_reduction(name: &str, attrs: &mut Attrs, x: &[&Tensor]) -> Result<Metas> {
    let Attrs::Reduce(r) = attrs else { unreachable!("{name} has reduce attributes") };
    ensure!(x[0].dtype().is_float(), Type, "{name}: a floating-point tensor is required, got {}", x[0].dtype());
    Ok(smallvec![Meta::new(normalize(name, r, x[0].shape())?, x[0].dtype())])
}

/// The mean of the elements.
pub static MEAN: OpDef = OpDef {
    name: "mean",
    infer: |attrs, x| float_reduction("mean", attrs, x),
    vjp: Vjp::Rule {
        saves: Saves::NOTHING,
        rule: |c, gs| {
            let n = count(attrs!(c.attrs, Reduce), &c.in_metas[0].shape);
            one(super::mul_scalar(&spread(g(gs), c)?, 1.0 / n as f64))
        },
    },
    cpu: Cpu::Kernel(|attrs, x, out| {
        let mask = mask(attrs, x[0]);
        dispatch!(x[0].dtype(), T in full_float => kernels::mean(x[0].view::<T>(), &mask, out[0].slice_mut::<T>()),
            _ => unreachable!());
        Ok(())
    }),
    gpu: Gpu::Kernel(|attrs, x, out| gpu_values("mean", gpu::Kind::Mean, attrs, x, out)),
    reference: None,
    elementwise: false,
};

/// The product of the elements.
pub static PROD: OpDef = OpDef {
    name: "prod",
    infer: |attrs, x| {
        let Attrs::Reduce(r) = attrs else { unreachable!("prod has reduce attributes") };
        Ok(smallvec![Meta::new(normalize("prod", r, x[0].shape())?, sum_dtype(x[0].dtype()))])
    },
    vjp: Vjp::Rule { saves: Saves::ALL, rule: prod_vjp },
    cpu: Cpu::Kernel(|attrs, x, out| {
        let (x, out, mask) = (x[0], &out[0], mask(attrs, x[0]));
        dispatch!(x.dtype(), T in full_float => kernels::prod(x.view::<T>(), &mask, out.slice_mut::<T>()), _ => {
            dispatch!(x.dtype(), T in int_bool => kernels::prod_integer(x.view::<T>(), &mask, out.slice_mut::<i64>()),
                _ => unreachable!());
        });
        Ok(())
    }),
    gpu: Gpu::Kernel(|attrs, x, out| gpu_values("prod", gpu::Kind::Prod, attrs, x, out)),
    reference: None,
    elementwise: false,
};

fn prod_vjp(c: &VjpCtx, gs: &[Option<Tensor>]) -> Result<Grads> {
    let x = c.input(0);
    let zero = super::scalar_like(0.0, x)?;
    let is_zero = call1(&EQ, Attrs::None, &[&x.detach(), &zero])?;
    if any(&is_zero, None, false)?.item_i64()? == 0 {
        let (g, out) = (Expr(spread(g(gs), c)), Expr(spread(c.output(0), c)));
        return one((g * out / Expr::from(x)).0);
    }
    // With a zero, dividing the product by the element tells nothing: multiply the other elements instead, as rows of
    // an n x n table with ones on its diagonal.
    let r = attrs!(c.attrs, Reduce);
    let dims = r.dims.clone().unwrap_or_default();
    let order: Dims = (0..x.ndim() as i64).filter(|d| !dims.contains(d)).chain(dims.iter().copied()).collect();
    let moved = if x.ndim() > 0 { movement::permute(x, &order)? } else { x.clone() };
    let n = count(r, x.shape());
    let outer = x.numel() / n;
    let table = movement::expand(&movement::reshape(&moved, &[outer, 1, n])?, &[outer, n, n])?;
    let index = super::arange(0.0, 1.0, n, DType::I64, x.device())?;
    let same = call1(&EQ, Attrs::None, &[&movement::unsqueeze(&index, 1)?, &index])?;
    let ones = super::scalar_like(1.0, x)?;
    let others = call1(&super::elementwise::WHERE, Attrs::None, &[&same, &ones, &table])?;
    let others = prod(&others, Some(smallvec![2]), false)?;
    let moved_shape: Shape = order.iter().map(|&d| x.shape()[d as usize]).collect();
    let mut inverse: Dims = smallvec![0; order.len()];
    for (i, &d) in order.iter().enumerate() {
        inverse[d as usize] = i as i64;
    }
    let mut others = movement::reshape(&others, &moved_shape)?;
    if x.ndim() > 0 {
        others = movement::permute(&others, &inverse)?;
    }
    one(super::mul(&spread(g(gs), c)?, &others))
}

/// The gradient of amax and amin: shared evenly among all elements that equal the extreme.
fn even_share(c: &VjpCtx, gs: &[Option<Tensor>]) -> Result<Grads> {
    let x = c.input(0);
    let hit = call1(&EQ, Attrs::None, &[&x.detach(), &spread(&c.output(0).detach(), c)?])?;
    let hit = cast(&hit, x.dtype())?;
    let r = attrs!(c.attrs, Reduce);
    let n = sum(&hit, r.dims.clone(), false)?;
    one((Expr(spread(g(gs), c)) * Expr::from(&hit) / Expr(spread(&n, c))).0)
}

macro_rules! extremes { ($($(#[$doc:meta])* $NAME:ident $name:literal $greatest:literal;)*) => { $(
    $(#[$doc])*
    pub static $NAME: OpDef = OpDef {
        name: $name,
        infer: |attrs, x| {
            let Attrs::Reduce(r) = attrs else { unreachable!("{} has reduce attributes", $name) };
            let shape = normalize($name, r, x[0].shape())?;
            not_empty($name, r, x[0].shape())?;
            Ok(smallvec![Meta::new(shape, x[0].dtype())])
        },
        vjp: Vjp::Rule { saves: Saves::ALL, rule: even_share },
        cpu: Cpu::Kernel(|attrs, x, out| {
            let (x, out, mask) = (x[0], &out[0], mask(attrs, x[0]));
            dispatch!(x.dtype(), T in full_float => {
                let f = if $greatest { kernels::max::<T> } else { kernels::min::<T> };
                f(x.view::<T>(), &mask, out.slice_mut::<T>());
            }, _ => dispatch!(x.dtype(), T in int_bool => {
                let f = if $greatest { kernels::max_ordered::<T> } else { kernels::min_ordered::<T> };
                f(x.view::<T>(), &mask, out.slice_mut::<T>());
            }, _ => unreachable!()));
            Ok(())
        }),
        gpu: Gpu::Kernel(|attrs, x, out| {
            gpu_values($name, if $greatest { gpu::Kind::Max } else { gpu::Kind::Min }, attrs, x, out)
        }),
        reference: None,
        elementwise: false,
    };
)* } }
extremes! {
    /// The greatest element; equal ones share the gradient.
    AMAX "amax" true;
    /// The smallest element; equal ones share the gradient.
    AMIN "amin" false;
}

macro_rules! positions { ($($(#[$doc:meta])* $NAME:ident $name:literal $greatest:literal;)*) => { $(
    $(#[$doc])*
    pub static $NAME: OpDef = OpDef {
        name: $name,
        infer: |attrs, x| {
            let Attrs::Reduce(r) = attrs else { unreachable!("{} has reduce attributes", $name) };
            let shape = normalize($name, r, x[0].shape())?;
            not_empty($name, r, x[0].shape())?;
            Ok(smallvec![Meta::new(shape, DType::I64)])
        },
        vjp: Vjp::None { why: "its result is an index" },
        cpu: Cpu::Kernel(|attrs, x, out| {
            let mask = mask(attrs, x[0]);
            dispatch!(x[0].dtype(), T in all => {
                let f = if $greatest { kernels::argmax::<T> } else { kernels::argmin::<T> };
                f(x[0].view::<T>(), &mask, None, out[0].slice_mut::<i64>());
            });
            Ok(())
        }),
        gpu: Gpu::Kernel(|attrs, x, out| gpu_extreme($name, $greatest, attrs, x, None, Some(&out[0]))),
        reference: None,
        elementwise: false,
    };
)* } }
positions! {
    /// The index of the greatest element, the first of equals.
    ARGMAX "argmax" true;
    /// The index of the smallest element, the first of equals.
    ARGMIN "argmin" false;
}

macro_rules! values_and_indices { ($($(#[$doc:meta])* $NAME:ident $name:literal $greatest:literal;)*) => { $(
    $(#[$doc])*
    pub static $NAME: OpDef = OpDef {
        name: $name,
        infer: |attrs, x| {
            let Attrs::Reduce(r) = attrs else { unreachable!("{} has reduce attributes", $name) };
            let shape = normalize($name, r, x[0].shape())?;
            not_empty($name, r, x[0].shape())?;
            Ok(smallvec![Meta::new(shape.clone(), x[0].dtype()), Meta::new(shape, DType::I64)])
        },
        vjp: Vjp::Rule { saves: Saves::some(0, 2), rule: |c, gs| {
            // The gradient goes to the one element whose index was returned.
            let Some(g) = &gs[0] else { return Ok(smallvec![None]) };
            let dim = attrs!(c.attrs, Reduce).dims.iter().flatten().next().copied().unwrap_or(0);
            let shape = &c.in_metas[0].shape;
            let index = super::arange(0.0, 1.0, shape.get(dim as usize).copied().unwrap_or(1), DType::I64, g.device())?;
            let mut along: Shape = smallvec![1; shape.len()];
            if let Some(n) = along.get_mut(dim as usize) {
                *n = index.numel();
            }
            let index = movement::reshape(&index, &along)?;
            let other = call1(&NE, Attrs::None, &[&spread(c.output(1), c)?, &index])?;
            let hit = Expr::from(&other).op(&super::elementwise::LOGICAL_NOT);
            one(Expr(spread(g, c)).masked(&hit).0)
        } },
        cpu: Cpu::Kernel(|attrs, x, out| {
            let mask = mask(attrs, x[0]);
            dispatch!(x[0].dtype(), T in all => {
                let f = if $greatest { kernels::argmax::<T> } else { kernels::argmin::<T> };
                f(x[0].view::<T>(), &mask, Some(out[0].slice_mut::<T>()), out[1].slice_mut::<i64>());
            });
            Ok(())
        }),
        gpu: Gpu::Kernel(|attrs, x, out| gpu_extreme($name, $greatest, attrs, x, Some(&out[0]), Some(&out[1]))),
        reference: None,
        elementwise: false,
    };
)* } }
values_and_indices! {
    /// The greatest element along a dimension and its index.
    MAX "max" true;
    /// The smallest element along a dimension and its index.
    MIN "min" false;
}

macro_rules! truths { ($($(#[$doc:meta])* $NAME:ident $name:literal $all:literal;)*) => { $(
    $(#[$doc])*
    pub static $NAME: OpDef = OpDef {
        name: $name,
        infer: |attrs, x| {
            let Attrs::Reduce(r) = attrs else { unreachable!("{} has reduce attributes", $name) };
            Ok(smallvec![Meta::new(normalize($name, r, x[0].shape())?, DType::Bool)])
        },
        vjp: Vjp::None { why: "its result is bool" },
        cpu: Cpu::Kernel(|attrs, x, out| {
            let (mask, truths) = (mask(attrs, x[0]), out[0].slice_mut::<bool>());
            dispatch!(x[0].dtype(), T in all => {
                let is_true = |v: T| v != T::default();
                if $all {
                    kernels::all(x[0].view::<T>(), &mask, truths, is_true);
                } else {
                    kernels::any(x[0].view::<T>(), &mask, truths, is_true);
                }
            });
            Ok(())
        }),
        gpu: Gpu::Kernel(|attrs, x, out| {
            gpu_values($name, if $all { gpu::Kind::All } else { gpu::Kind::Any }, attrs, x, out)
        }),
        reference: None,
        elementwise: false,
    };
)* } }
truths! {
    /// Whether some element is non-zero.
    ANY "any" false;
    /// Whether every element is non-zero.
    ALL_TRUE "all" true;
}

/// The variance: squared distances from the mean, summed and divided by the count less the correction.
pub static VAR: OpDef = OpDef {
    name: "var",
    infer: |attrs, x| float_reduction("var", attrs, x),
    vjp: Vjp::Rule {
        saves: Saves::INPUTS,
        rule: |c, gs| {
            let (r, x) = (attrs!(c.attrs, Reduce), c.input(0));
            let scale = 2.0 / (count(r, x.shape()) as f64 - r.correction).max(0.0);
            let kept = Attrs::Reduce(Reduce { keepdim: true, ..r.clone() });
            let away = Expr::from(x) - Expr(call1(&MEAN, kept, &[x]));
            one((Expr(spread(g(gs), c)) * away * scale).0)
        },
    },
    cpu: Cpu::Kernel(|attrs, x, out| {
        let (mask, correction) = (mask(attrs, x[0]), attrs!(attrs, Reduce).correction);
        dispatch!(x[0].dtype(), T in full_float => {
            kernels::var(x[0].view::<T>(), &mask, correction, out[0].slice_mut::<T>());
        }, _ => unreachable!());
        Ok(())
    }),
    gpu: Gpu::FromReference,
    reference: Some(var_reference),
    elementwise: false,
};

fn var_reference(attrs: &Attrs, x: &[Tensor]) -> Result<Tensors> {
    let r = attrs!(attrs, Reduce);
    let n = count(r, x[0].shape()) as f64;
    let kept = Attrs::Reduce(Reduce { keepdim: true, ..r.clone() });
    let away = Expr::from(&x[0]) - Expr(call1(&MEAN, kept, &[&x[0]]));
    let squares = away.op(&super::elementwise::SQUARE).0?;
    let total = call1(&SUM, Attrs::Reduce(r.clone()), &[&squares])?;
    Ok(smallvec![super::mul_scalar(&total, 1.0 / (n - r.correction).max(0.0))?])
}

// ---------------------------------------------------------------------------------------------------------- functions

/// Reduces with any op of this file that has one result.
pub fn reduce(def: &'static OpDef, t: &Tensor, dims: Option<Dims>, keepdim: bool) -> Result<Tensor> {
    call1(def, Attrs::Reduce(Reduce { dims, keepdim, ..Reduce::default() }), &[t])
}

/// The sum over `dims` (`None`: all).
pub fn sum(t: &Tensor, dims: Option<Dims>, keepdim: bool) -> Result<Tensor> {
    reduce(&SUM, t, dims, keepdim)
}

/// The product over `dims` (`None`: all).
pub fn prod(t: &Tensor, dims: Option<Dims>, keepdim: bool) -> Result<Tensor> {
    reduce(&PROD, t, dims, keepdim)
}

/// Whether some element is non-zero.
pub fn any(t: &Tensor, dims: Option<Dims>, keepdim: bool) -> Result<Tensor> {
    reduce(&ANY, t, dims, keepdim)
}

/// Extremes along one dimension with their indices: `MAX` or `MIN`.
pub fn extreme_with_index(def: &'static OpDef, t: &Tensor, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    let attrs = Attrs::Reduce(Reduce { dims: Some(smallvec![dim]), keepdim, ..Reduce::default() });
    let mut out = call(def, attrs, &[t])?;
    let indices = out.pop().expect("two results");
    Ok((out.pop().expect("two results"), indices))
}

/// Sums away what broadcasting to the current shape had added to `shape`.
#[inline]
pub fn sum_to(t: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if t.shape() == shape {
        return Ok(t.clone());
    }
    let lead = t.ndim() - shape.len();
    let dims: Dims =
        (0..t.ndim()).filter(|&d| d < lead || (shape[d - lead] == 1 && t.shape()[d] != 1)).map(|d| d as i64).collect();
    let summed = if dims.is_empty() { t.clone() } else { sum(t, Some(dims), true)? };
    movement::reshape(&summed, shape)
}
