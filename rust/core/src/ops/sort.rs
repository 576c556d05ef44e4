//! Sorting, the greatest k, and running sums and products.

use super::attrs::Sort;
use super::expr::Expr;
use super::index::SCATTER;
use super::{around, cast, elementwise as e, g, movement, one};
use crate::dtype::{DType, Typed};
use crate::error::Result;
use crate::layout::normalize_dim;
use crate::op::{Attrs, Cpu, Gpu, Grads, Meta, Metas, OpDef, Saves, Vjp, VjpCtx, call, call1};
use crate::tensor::Tensor;
use crate::{attrs, dispatch, ensure};
use pyneuro_kernels::{scan, sort};
use smallvec::smallvec;

/// Every op of this file.
pub const ALL: &[&OpDef] = &[&SORT, &TOPK, &CUMSUM, &CUMPROD];

const NO_SORT: Gpu = Gpu::Unavailable { why: "sorting runs on the CPU only" };

macro_rules! sorts { ($($(#[$doc:meta])* $NAME:ident $name:literal;)*) => { $(
    $(#[$doc])*
    pub static $NAME: OpDef = OpDef {
        name: $name,
        infer: |attrs, x| {
            let Attrs::Sort(s) = attrs else { unreachable!("{} has sort attributes", $name) };
            s.dim = normalize_dim($name, s.dim, x[0].ndim())? as i64;
            let n = x[0].shape().get(s.dim as usize).copied().unwrap_or(1);
            ensure!(s.k <= n, Value, "{}: k must be at most {n}, the length of dim {}, got {}", $name, s.dim, s.k);
            let mut shape = x[0].shape_vec();
            if let Some(n) = shape.get_mut(s.dim as usize) {
                *n = s.k;
            }
            Ok(smallvec![Meta::new(shape.clone(), x[0].dtype()), Meta::new(shape, DType::I64)])
        },
        vjp: Vjp::Rule { saves: Saves::some(0, 0b10), rule: |c, gs| {
            let Some(g) = &gs[0] else { return Ok(smallvec![None]) };
            let zeros = super::full(&c.in_metas[0].shape, 0.0, g.dtype(), g.device())?;
            one(call1(&SCATTER, Attrs::Dim(attrs!(c.attrs, Sort).dim), &[&zeros, c.output(1), g]))
        } },
        cpu: Cpu::Kernel(|attrs, x, out| {
            let s = attrs!(attrs, Sort);
            let shape = around(x[0].shape(), s.dim as usize);
            let flat = crate::autograd::no_grad(|| movement::contiguous(x[0]))?;
            dispatch!(flat.dtype(), T in all => sort::sort(
                flat.slice::<T>(), shape, s.k, s.descending, out[0].slice_mut::<T>(), out[1].slice_mut::<i64>(),
            ));
            Ok(())
        }),
        gpu: NO_SORT,
        reference: None,
        elementwise: false,
    };
)* } }
sorts! {
    /// The elements along a dim in order, and where each was; stable, NaN last.
    SORT "sort";
    /// The first k elements along a dim in order, and where each was.
    TOPK "topk";
}

fn scan_infer(name: &str, attrs: &mut Attrs, x: &[&Tensor]) -> Result<Metas> {
    let Attrs::Dim(dim) = attrs else { unreachable!("{name} has a dim") };
    *dim = normalize_dim(name, *dim, x[0].ndim())? as i64;
    let dtype = if x[0].dtype().is_float() { x[0].dtype() } else { DType::I64 };
    Ok(smallvec![Meta::new(x[0].shape_vec(), dtype)])
}

fn scan_kernel(attrs: &Attrs, x: &[&Tensor], out: &Tensor, product: bool) -> Result<()> {
    let shape = around(x[0].shape(), *attrs!(attrs, Dim) as usize);
    let flat = crate::autograd::no_grad(|| movement::contiguous(&cast(x[0], out.dtype())?))?;
    match (out.dtype(), product) {
        (DType::I64, false) => scan::scan(flat.slice(), shape, out.slice_mut(), 0, |a: i64, v: i64| a.wrapping_add(v)),
        (DType::I64, true) => scan::scan(flat.slice(), shape, out.slice_mut(), 1, |a: i64, v: i64| a.wrapping_mul(v)),
        (DType::F64, false) => scan::scan(flat.slice(), shape, out.slice_mut(), 0.0, |a: f64, v: f64| a + v),
        (DType::F64, true) => scan::scan(flat.slice(), shape, out.slice_mut(), 1.0, |a: f64, v: f64| a * v),
        // Running in double precision keeps long float32 lines exact and half precision from stopping to grow.
        (d, product) => dispatch!(d, T in full_float => {
            let wide = super::elementwise::converted(&flat, DType::F64)?;
            let mut sums = vec![0f64; wide.numel()];
            if product {
                scan::scan(wide.slice(), shape, &mut sums, 1.0, |a: f64, v: f64| a * v);
            } else {
                scan::scan(wide.slice(), shape, &mut sums, 0.0, |a: f64, v: f64| a + v);
            }
            for (o, s) in out.slice_mut::<T>().iter_mut().zip(sums) {
                *o = T::from_f64(s);
            }
        }, _ => unreachable!("infer gives int64 or a float")),
    }
    Ok(())
}

/// From the far end: the running sum of the flipped tensor, flipped back.
fn reversed_cumsum(t: &Tensor, dim: i64) -> Result<Tensor> {
    let flipped = movement::flip(t, &[dim])?;
    movement::flip(&call1(&CUMSUM, Attrs::Dim(dim), &[&flipped])?, &[dim])
}

/// The sum of all elements up to each one.
pub static CUMSUM: OpDef = OpDef {
    name: "cumsum",
    infer: |attrs, x| scan_infer("cumsum", attrs, x),
    vjp: Vjp::Rule { saves: Saves::NOTHING, rule: |c, gs| one(reversed_cumsum(g(gs), *attrs!(c.attrs, Dim))) },
    cpu: Cpu::Kernel(|attrs, x, out| scan_kernel(attrs, x, &out[0], false)),
    gpu: Gpu::Kernel(|attrs, x, out| crate::gpu::reduce::cumsum(x[0], *attrs!(attrs, Dim) as usize, &out[0])),
    reference: None,
    elementwise: false,
};

/// The product of all elements up to each one.
pub static CUMPROD: OpDef = OpDef {
    name: "cumprod",
    infer: |attrs, x| scan_infer("cumprod", attrs, x),
    vjp: Vjp::Rule { saves: Saves::ALL, rule: cumprod_vjp },
    cpu: Cpu::Kernel(|attrs, x, out| scan_kernel(attrs, x, &out[0], true)),
    gpu: Gpu::Unavailable { why: "running products are on the CPU only" },
    reference: None,
    elementwise: false,
};

fn cumprod_vjp(c: &VjpCtx, gs: &[Option<Tensor>]) -> Result<Grads> {
    let (x, dim) = (c.input(0), *attrs!(c.attrs, Dim));
    let zero = super::scalar_like(0.0, x)?;
    let is_zero = call1(&e::EQ, Attrs::None, &[&x.detach(), &zero])?;
    if super::reduce::any(&is_zero, None, false)?.item_i64()? == 0 {
        let weighted = Expr::from(g(gs)) * Expr::from(c.output(0));
        return one((Expr(reversed_cumsum(&weighted.0?, dim)) / Expr::from(x)).0);
    }
    // With a zero, dividing tells nothing: run over rows of a table that has a one in place of element i.
    let d = dim as usize;
    let n = x.shape().get(d).copied().unwrap_or(1);
    let line = |t: &Tensor| if t.ndim() == 0 { movement::unsqueeze(t, 0) } else { movement::transpose(t, dim, -1) };
    let (xs, gs) = (line(x)?, line(g(gs))?);
    let mut table = xs.shape_vec();
    table.push(n);
    let spread = movement::expand(&movement::unsqueeze(&xs, -2)?, &table)?;
    let index = super::arange(0.0, 1.0, n, DType::I64, x.device())?;
    let column = movement::unsqueeze(&index, 1)?;
    let same = call1(&e::EQ, Attrs::None, &[&column, &index])?;
    let ones = super::scalar_like(1.0, x)?;
    let others = call1(&e::WHERE, Attrs::None, &[&same, &ones, &spread])?;
    let products = call1(&CUMPROD, Attrs::Dim(-1), &[&others])?;
    let later = call1(&e::GE, Attrs::None, &[&index, &column])?;
    let terms = (Expr::from(&products) * Expr(movement::unsqueeze(&gs, -2))).masked(&Expr::from(&later)).0?;
    let total = super::reduce::sum(&terms, Some(smallvec![-1]), false)?;
    let back = if x.ndim() == 0 { movement::reshape(&total, &[])? } else { movement::transpose(&total, dim, -1)? };
    one(Ok(back))
}

/// In order along `dim`, with the original positions.
pub fn sorted(t: &Tensor, dim: i64, descending: bool) -> Result<(Tensor, Tensor)> {
    let d = normalize_dim("sort", dim, t.ndim())?;
    let k = t.shape().get(d).copied().unwrap_or(1);
    pair(call(&SORT, Attrs::Sort(Sort { dim, descending, k }), &[t])?)
}

/// The k first in order along `dim`, with the original positions.
pub fn topk(t: &Tensor, k: usize, dim: i64, largest: bool) -> Result<(Tensor, Tensor)> {
    pair(call(&TOPK, Attrs::Sort(Sort { dim, descending: largest, k }), &[t])?)
}

fn pair(mut out: crate::op::Tensors) -> Result<(Tensor, Tensor)> {
    let indices = out.pop().expect("two results");
    Ok((out.pop().expect("two results"), indices))
}
