//! Products of matrices and vectors.

use super::{cast, g, movement};
use crate::dtype::{DType, Typed, result_type};
use crate::error::Result;
use crate::gpu::matmul as gpu;
use crate::layout::{Shape, broadcast};
use crate::op::{Attrs, Cpu, Gpu, Meta, OpDef, Saves, Vjp, call1};
use crate::tensor::Tensor;
use crate::{dispatch, ensure};
use pyneuro_kernels::gemm::checked;
use smallvec::smallvec;

/// Every op of this file.
pub const ALL: &[&OpDef] = &[&MATMUL, &LINEAR];

/// Products of matrices: `[..., m, k]` times `[..., k, n]` with equal leading dimensions.  [`matmul`] brings other shapes
/// to this one.
pub static MATMUL: OpDef = OpDef {
    name: "matmul",
    infer: |_, x| {
        let (a, b) = (x[0].shape(), x[1].shape());
        let lead = a.len().saturating_sub(2);
        let fits = a.len() >= 2 && a.len() == b.len() && a[..lead] == b[..lead] && a[lead + 1] == b[lead];
        ensure!(fits, Value, "matmul: fitting matrices are required, got {a:?} and {b:?}");
        ensure!(
            x[0].dtype() == x[1].dtype() && x[0].dtype() != DType::Bool,
            Type,
            "matmul: operands must have one numeric dtype, got {} and {}",
            x[0].dtype(),
            x[1].dtype()
        );
        let mut shape = x[0].shape_vec();
        shape[lead + 1] = b[lead + 1];
        Ok(smallvec![Meta::new(shape, x[0].dtype())])
    },
    vjp: Vjp::Rule {
        saves: Saves::CROSS,
        rule: |c, gs| {
            let g = g(gs);
            let left = |b: &Tensor| product_of(g, &movement::transpose(b, -2, -1)?);
            let right = |a: &Tensor| product_of(&movement::transpose(a, -2, -1)?, g);
            let ga = if c.needs[0] { Some(left(c.input(1))?) } else { None };
            let gb = if c.needs[1] { Some(right(c.input(0))?) } else { None };
            Ok(smallvec![ga, gb])
        },
    },
    cpu: Cpu::Kernel(|_, x, out| multiply(x[0], x[1], None, &out[0])),
    gpu: Gpu::Kernel(|_, x, out| gpu::matmul("matmul", (x[0], x[0].layout()), (x[1], x[1].layout()), None, &out[0])),
    reference: None,
    elementwise: false,
};

/// `x w^T + bias` for rows `x`: a linear layer, in one pass.
pub static LINEAR: OpDef = OpDef {
    name: "linear",
    infer: |_, x| {
        let (a, w) = (x[0].shape(), x[1].shape());
        ensure!(
            a.len() == 2 && w.len() == 2 && a[1] == w[1],
            Value,
            "linear: input features must equal the weight's ({:?}), got input of shape {a:?}",
            w
        );
        if let Some(b) = x.get(2) {
            ensure!(b.shape() == [w[0]], Value, "linear: bias must have shape [{}], got {:?}", w[0], b.shape());
        }
        let dtype = x[0].dtype();
        let same = x.iter().all(|t| t.dtype() == dtype) && dtype.is_float();
        ensure!(
            same,
            Type,
            "linear: input, weight and bias must have one float dtype, got {dtype} and {}",
            x[1].dtype()
        );
        Ok(smallvec![Meta::new([a[0], w[0]].as_slice(), dtype)])
    },
    vjp: Vjp::Rule {
        saves: Saves::CROSS,
        rule: |c, gs| {
            let g = g(gs);
            let gx = if c.needs[0] { Some(matmul(g, c.input(1))?) } else { None };
            let gw = if c.needs[1] { Some(matmul(&movement::transpose(g, 0, 1)?, c.input(0))?) } else { None };
            let mut grads = smallvec![gx, gw];
            if c.needs.len() > 2 {
                grads.push(if c.needs[2] { Some(super::reduce::sum(g, Some(smallvec![0]), false)?) } else { None });
            }
            Ok(grads)
        },
    },
    cpu: Cpu::Kernel(|_, x, out| {
        let transposed = x[1].layout().permute(&[1, 0]);
        let w = Tensor::from_parts(x[1].storage().clone(), transposed, x[1].dtype());
        multiply(x[0], &w, x.get(2).copied(), &out[0])
    }),
    gpu: Gpu::Kernel(|_, x, out| {
        let transposed = x[1].layout().permute(&[1, 0]);
        gpu::matmul("linear", (x[0], x[0].layout()), (x[1], &transposed), x.get(2).copied(), &out[0])
    }),
    reference: None,
    elementwise: false,
};

/// The CPU kernel: `[..., m, k]` times `[..., k, n]` into contiguous `[..., m, n]`.
fn multiply(a: &Tensor, b: &Tensor, bias: Option<&Tensor>, out: &Tensor) -> Result<()> {
    match out.dtype() {
        DType::F32 | DType::F64 => {
            let bias = bias.map(|t| crate::autograd::no_grad(|| movement::contiguous(t))).transpose()?;
            dispatch!(out.dtype(), T in float => {
                checked::matmul(a.view::<T>(), b.view::<T>(), bias.as_ref().map(|t| t.view::<T>()), false, out.view_mut::<T>());
            }, _ => unreachable!());
        }
        DType::F16 | DType::BF16 => {
            // Half precision is storage only: products are summed in float32.
            let wide = Tensor::empty(out.shape(), DType::F32)?;
            let widen = |t: &Tensor| super::elementwise::converted(t, DType::F32);
            multiply(&widen(a)?, &widen(b)?, bias.map(widen).transpose()?.as_ref(), &wide)?;
            super::elementwise::convert_into(&wide, out);
        }
        _ => dispatch!(out.dtype(), T in int => integer_product::<T>(a, b, out)?, _ => unreachable!()),
    }
    Ok(())
}

/// Integers have no kernel of their own: rare, and exact in any order.
fn integer_product<T: Typed>(a: &Tensor, b: &Tensor, out: &Tensor) -> Result<()> {
    let (a, b) = crate::autograd::no_grad(|| Ok((movement::contiguous(a)?, movement::contiguous(b)?)))?;
    let lead = a.ndim() - 2;
    let (m, k, n) = (a.shape()[lead], a.shape()[lead + 1], b.shape()[lead + 1]);
    let a = a.view::<T>().as_slice().expect("made contiguous");
    let b = b.view::<T>().as_slice().expect("made contiguous");
    let out = out.slice_mut::<T>();
    for (row, o) in out.chunks_exact_mut(n.max(1)).enumerate() {
        let stack = row / m;
        for (j, o) in o.iter_mut().enumerate() {
            let dot = (0..k).fold(0i64, |s, i| {
                s.wrapping_add(a[row * k + i].to_i64().wrapping_mul(b[(stack * k + i) * n + j].to_i64()))
            });
            *o = T::from_i64(dot);
        }
    }
    Ok(())
}

fn product_of(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    call1(&MATMUL, Attrs::None, &[a, b])
}

/// The product of vectors, matrices or stacks of matrices, with torch's rules: 1-d operands count as a row or a
/// column that disappears again, and leading dimensions broadcast.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ensure!(
        a.ndim() > 0 && b.ndim() > 0,
        Value,
        "matmul: both operands must have at least 1 dimension, got {:?} and {:?}",
        a.shape(),
        b.shape()
    );
    ensure!(a.dtype() == b.dtype(), Type, "matmul: operands must have one dtype, got {} and {}", a.dtype(), b.dtype());
    let rows = if a.ndim() == 1 { movement::unsqueeze(a, 0)? } else { a.clone() };
    let cols = if b.ndim() == 1 { movement::unsqueeze(b, 1)? } else { b.clone() };
    let (sa, sb) = (rows.shape_vec(), cols.shape_vec());
    let (m, k, n) = (sa[sa.len() - 2], sa[sa.len() - 1], sb[sb.len() - 1]);
    ensure!(
        k == sb[sb.len() - 2],
        Value,
        "matmul: the last dimension of the first operand must equal the second last of the second, got {:?} and {:?}",
        a.shape(),
        b.shape()
    );
    let lead = broadcast("matmul", &sa[..sa.len() - 2], &sb[..sb.len() - 2])?;
    let mut out = if sb.len() == 2 && sa.len() > 2 {
        // One matrix for all rows: a single, tall product.
        let tall: usize = sa[..sa.len() - 1].iter().product();
        product_of(&movement::reshape(&rows, &[tall, k])?, &cols)?
    } else {
        let spread = |t: &Tensor, r: usize, c: usize| {
            let mut shape = lead.clone();
            shape.extend([r, c]);
            movement::expand(t, &shape)
        };
        product_of(&spread(&rows, m, k)?, &spread(&cols, k, n)?)?
    };
    let mut shape: Shape = lead;
    if a.ndim() > 1 {
        shape.push(m);
    }
    if b.ndim() > 1 {
        shape.push(n);
    }
    if out.shape() != shape.as_slice() {
        out = movement::view(&out, &shape)?;
    }
    Ok(out)
}

/// A linear layer: `x w^T + bias` over the last dimension of `x`.
pub fn linear(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    ensure!(
        w.ndim() == 1 || w.ndim() == 2,
        Value,
        "linear: weight must be 1- or 2-dimensional, got shape {:?}",
        w.shape()
    );
    ensure!(x.ndim() > 0, Value, "linear: input must have at least 1 dimension, got a 0-d tensor");
    if w.ndim() == 1 {
        let out = matmul(x, w)?;
        return bias.map_or(Ok(out.clone()), |b| super::add(&out, b));
    }
    let features = x.shape()[x.ndim() - 1];
    ensure!(
        features == w.shape()[1],
        Value,
        "linear: the input's last dimension must be {} (weight {:?}), got input of shape {:?}",
        w.shape()[1],
        w.shape(),
        x.shape()
    );
    let rows = x.shape()[..x.ndim() - 1].iter().product();
    let flat = if x.ndim() == 2 { x.clone() } else { movement::reshape(x, &[rows, features])? };
    let out = match bias {
        Some(b) => call1(&LINEAR, Attrs::None, &[&flat, w, b])?,
        None => call1(&LINEAR, Attrs::None, &[&flat, w])?,
    };
    if x.ndim() == 2 {
        return Ok(out);
    }
    let mut shape = x.shape_vec();
    shape.pop();
    shape.push(w.shape()[0]);
    movement::view(&out, &shape)
}

/// As [`matmul`], after promotion to a common dtype.
pub fn matmul_promoted(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let dtype = result_type(&[a, b]);
    matmul(&cast(a, dtype)?, &cast(b, dtype)?)
}
