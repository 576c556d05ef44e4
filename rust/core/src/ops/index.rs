//! Ops that read or write at positions given by integer tensors.

use super::attrs::Dims;
use super::expr::Expr;
use super::{around, cast, g, movement, one};
use crate::dtype::{DType, Typed};
use crate::error::Result;
use crate::gpu::index as gpu;
use crate::layout::{Layout, Shape, Strides, normalize_dim};
use crate::op::{Attrs, Cpu, Gpu, Meta, Metas, OpDef, Saves, Tensors, Vjp, call1};
use crate::storage::Device;
use crate::tensor::Tensor;
use crate::{attrs, bail, dispatch, ensure};
use pyneuro_kernels::index;
use smallvec::smallvec;

/// Every op of this file.
pub const ALL: &[&OpDef] =
    &[&INDEX_SELECT, &INDEX_ADD, &GATHER, &SCATTER, &SCATTER_ADD, &MASKED_SELECT, &NONZERO, &TRIL, &TRIU];

// ------------------------------------------------------------------------------------------------------------- checks

/// The dim of an index op, made non-negative.
fn dim_of(name: &str, attrs: &mut Attrs, x: &Tensor) -> Result<usize> {
    let Attrs::Dim(dim) = attrs else { unreachable!("{name} has a dim") };
    let d = normalize_dim(name, *dim, x.ndim())?;
    *dim = d as i64;
    Ok(d)
}

fn integer(name: &str, index: &Tensor) -> Result<()> {
    let ok = matches!(index.dtype(), DType::I64 | DType::I32 | DType::I16 | DType::I8 | DType::U8);
    ensure!(ok, Type, "{name}: index must be an integer tensor, got {}", index.dtype());
    Ok(())
}

/// Checks that all of `index` lies in `0..len`.
fn in_range(name: &str, index: &Tensor, len: usize) -> Result<()> {
    if let Device::Gpu(_) = index.device() {
        // The shaders check every index and report at the next synchronisation; reading them here would stall.
        return Ok(());
    }
    let flat = positions(index)?;
    match index::out_of_range(flat.view::<i64>().as_slice().expect("made contiguous"), len) {
        Some(i) => bail!(Index, "{name}: index must be in [0, {len}), got {i}"),
        None => Ok(()),
    }
}

/// The index as contiguous int64 on the CPU.
fn positions(index: &Tensor) -> Result<Tensor> {
    crate::autograd::no_grad(|| movement::contiguous(&cast(index, DType::I64)?))
}

/// Index tensors may be shorter than the tensor they index, never longer, except along the dim itself.
fn index_fits(name: &str, full: &[usize], index: &[usize], dim: usize) -> Result<()> {
    let fits = full.len() == index.len() && index.iter().zip(full).enumerate().all(|(d, (a, b))| d == dim || a <= b);
    ensure!(fits, Value, "{name}: index shape must fit {full:?} except at dim {dim}, got {index:?}");
    Ok(())
}

/// A 1-d index seen as one position for every element of `shape`.
fn line(index: &Tensor, shape: &[usize], dim: usize) -> Layout {
    let mut strides: Strides = smallvec![0; shape.len()];
    if let (Some(s), Some(&own)) = (strides.get_mut(dim), index.layout().strides.first()) {
        *s = own;
    }
    Layout { shape: shape.into(), strides, offset: index.layout().offset }
}

fn zeros(m: &Meta, like: &Tensor) -> Result<Tensor> {
    super::full(&m.shape, 0.0, m.dtype, like.device())
}

// -------------------------------------------------------------------------------------------------------- whole slices

/// The slices of the input along a dim that a 1-d index names.
pub static INDEX_SELECT: OpDef = OpDef {
    name: "index_select",
    infer: |attrs, x| {
        let dim = dim_of("index_select", attrs, x[0])?;
        integer("index_select", x[1])?;
        ensure!(x[1].ndim() <= 1, Value, "index_select: index must be 1-dimensional, got shape {:?}", x[1].shape());
        let mut shape = x[0].shape_vec();
        in_range("index_select", x[1], shape.get(dim).copied().unwrap_or(1))?;
        if let Some(n) = shape.get_mut(dim) {
            *n = x[1].numel();
        }
        Ok(smallvec![Meta::new(shape, x[0].dtype())])
    },
    vjp: Vjp::Rule {
        saves: Saves::inputs(0b10),
        rule: |c, gs| {
            let zeros = zeros(&c.in_metas[0], g(gs))?;
            Ok(smallvec![Some(call1(&INDEX_ADD, c.attrs.clone(), &[&zeros, c.input(1), g(gs)])?), None])
        },
    },
    cpu: Cpu::Kernel(|attrs, x, out| {
        let dim = *attrs!(attrs, Dim) as usize;
        let (source, at) = (crate::autograd::no_grad(|| movement::contiguous(x[0]))?, positions(x[1])?);
        let at = at.view::<i64>().as_slice().expect("made contiguous");
        dispatch!(x[0].dtype(), T in all => index::index_select(
            source.view::<T>().as_slice().expect("made contiguous"),
            around(x[0].shape(), dim),
            at,
            out[0].view_mut::<T>().into_slice().expect("a new tensor is contiguous"),
        ));
        Ok(())
    }),
    gpu: Gpu::Kernel(|attrs, x, out| {
        let dim = *attrs!(attrs, Dim) as usize;
        gpu::gather("index_select", x[0], dim, x[1], &line(x[1], out[0].shape(), dim), &out[0])
    }),
    reference: None,
    elementwise: false,
};

/// The first input with slices of the third added to the slices that a 1-d index names; equal indices add up.
pub static INDEX_ADD: OpDef = OpDef {
    name: "index_add",
    infer: |attrs, x| {
        let dim = dim_of("index_add", attrs, x[0])?;
        integer("index_add", x[1])?;
        in_range("index_add", x[1], x[0].shape().get(dim).copied().unwrap_or(1))?;
        let mut expected = x[0].shape_vec();
        if let Some(n) = expected.get_mut(dim) {
            *n = x[1].numel();
        }
        ensure!(
            x[2].shape() == expected.as_slice() && x[1].ndim() <= 1,
            Value,
            "index_add: source must have shape {expected:?}, got {:?}",
            x[2].shape()
        );
        same_dtype("index_add", x[0], x[2])?;
        Ok(smallvec![Meta::of(x[0])])
    },
    vjp: Vjp::Rule {
        saves: Saves::inputs(0b10),
        rule: |c, gs| {
            let source = call1(&INDEX_SELECT, c.attrs.clone(), &[g(gs), c.input(1)])?;
            let source = movement::reshape(&source, &c.in_metas[2].shape)?;
            Ok(smallvec![Some(g(gs).clone()), None, Some(source)])
        },
    },
    cpu: Cpu::Kernel(|attrs, x, out| {
        let dim = *attrs!(attrs, Dim) as usize;
        movement::copy_into(x[0], &out[0])?;
        let (source, at) = (crate::autograd::no_grad(|| movement::contiguous(x[2]))?, positions(x[1])?);
        let at = at.view::<i64>().as_slice().expect("made contiguous");
        let shape = around(x[0].shape(), dim);
        dispatch!(x[0].dtype(), T in all => index::index_add(
            out[0].view_mut::<T>().into_slice().expect("a new tensor is contiguous"),
            shape,
            at,
            source.view::<T>().as_slice().expect("made contiguous"),
            plus,
        ));
        Ok(())
    }),
    gpu: Gpu::Kernel(|attrs, x, out| {
        let dim = *attrs!(attrs, Dim) as usize;
        movement::copy_into(x[0], &out[0])?;
        gpu::scatter("index_add", true, &out[0], dim, x[1], &line(x[1], x[2].shape(), dim), x[2])
    }),
    reference: None,
    elementwise: false,
};

/// A sum in the type itself; floats through a double, which is exact before the one rounding.
#[inline]
fn plus<T: Typed>(a: T, b: T) -> T {
    if T::DTYPE.is_float() {
        T::from_f64(a.to_f64() + b.to_f64())
    } else {
        T::from_i64(a.to_i64().wrapping_add(b.to_i64()))
    }
}

fn same_dtype(name: &str, a: &Tensor, b: &Tensor) -> Result<()> {
    ensure!(a.dtype() == b.dtype(), Type, "{name}: source must have dtype {}, got {}", a.dtype(), b.dtype());
    Ok(())
}

// ---------------------------------------------------------------------------------------------------- single elements

/// For each index the element of the input at that position along the dim.
pub static GATHER: OpDef = OpDef {
    name: "gather",
    infer: |attrs, x| {
        let dim = dim_of("gather", attrs, x[0])?;
        integer("gather", x[1])?;
        index_fits("gather", x[0].shape(), x[1].shape(), dim)?;
        in_range("gather", x[1], x[0].shape().get(dim).copied().unwrap_or(1))?;
        Ok(smallvec![Meta::new(x[1].shape_vec(), x[0].dtype())])
    },
    vjp: Vjp::Rule {
        saves: Saves::inputs(0b10),
        rule: |c, gs| {
            let zeros = zeros(&c.in_metas[0], g(gs))?;
            Ok(smallvec![Some(call1(&SCATTER_ADD, c.attrs.clone(), &[&zeros, c.input(1), g(gs)])?), None])
        },
    },
    cpu: Cpu::Kernel(|attrs, x, out| {
        if x[0].ndim() == 0 {
            return movement::copy_into(x[0], &out[0]);
        }
        let at = positions(x[1])?;
        let at = at.view::<i64>().as_slice().expect("made contiguous");
        dispatch!(x[0].dtype(), T in all => index::gather(
            x[0].view::<T>(),
            *attrs!(attrs, Dim) as usize,
            at,
            x[1].shape(),
            out[0].view_mut::<T>().into_slice().expect("a new tensor is contiguous"),
        ));
        Ok(())
    }),
    gpu: Gpu::Kernel(|attrs, x, out| {
        gpu::gather("gather", x[0], *attrs!(attrs, Dim) as usize, x[1], x[1].layout(), &out[0])
    }),
    reference: None,
    elementwise: false,
};

fn scatter_infer(name: &str, attrs: &mut Attrs, x: &[&Tensor]) -> Result<Metas> {
    let dim = dim_of(name, attrs, x[0])?;
    integer(name, x[1])?;
    index_fits(name, x[0].shape(), x[1].shape(), dim)?;
    ensure!(
        x[2].shape() == x[1].shape(),
        Value,
        "{name}: source must have the index's shape {:?}, got {:?}",
        x[1].shape(),
        x[2].shape()
    );
    same_dtype(name, x[0], x[2])?;
    in_range(name, x[1], x[0].shape().get(dim).copied().unwrap_or(1))?;
    Ok(smallvec![Meta::of(x[0])])
}

fn scatter_kernel(attrs: &Attrs, x: &[&Tensor], out: &[Tensor], adding: bool) -> Result<()> {
    movement::copy_into(x[0], &out[0])?;
    let (source, at) = (crate::autograd::no_grad(|| movement::contiguous(x[2]))?, positions(x[1])?);
    let at = at.view::<i64>().as_slice().expect("made contiguous");
    let dim = *attrs!(attrs, Dim) as usize;
    // A 0-d tensor is a line of one element.
    let line: Shape = smallvec![1];
    let lift = |t: &Tensor| if t.ndim() == 0 { line.clone() } else { t.shape_vec() };
    let (full, shape) = (lift(x[0]), lift(x[1]));
    dispatch!(x[0].dtype(), T in all => {
        let out = out[0].view_mut::<T>().into_slice().expect("a new tensor is contiguous");
        let source = source.view::<T>().as_slice().expect("made contiguous");
        if adding {
            index::scatter(out, &full, dim, at, &shape, source, plus);
        } else {
            index::scatter(out, &full, dim, at, &shape, source, |_, new| new);
        }
    });
    Ok(())
}

/// The first input with elements of the third written where the index says; of equal indices the last one wins.
pub static SCATTER: OpDef = OpDef {
    name: "scatter",
    infer: |attrs, x| scatter_infer("scatter", attrs, x),
    vjp: Vjp::Rule {
        saves: Saves::inputs(0b10),
        rule: |c, gs| {
            let (g, at) = (g(gs), c.input(1));
            let base = if c.needs[0] {
                let gap = super::full(&c.in_metas[2].shape, 0.0, g.dtype(), g.device())?;
                Some(call1(&SCATTER, c.attrs.clone(), &[g, at, &gap])?)
            } else {
                None
            };
            let source = if c.needs[2] { Some(call1(&GATHER, c.attrs.clone(), &[g, at])?) } else { None };
            Ok(smallvec![base, None, source])
        },
    },
    cpu: Cpu::Kernel(|attrs, x, out| scatter_kernel(attrs, x, out, false)),
    gpu: Gpu::Kernel(|attrs, x, out| {
        movement::copy_into(x[0], &out[0])?;
        gpu::scatter("scatter", false, &out[0], *attrs!(attrs, Dim) as usize, x[1], x[1].layout(), x[2])
    }),
    reference: None,
    elementwise: false,
};

/// The first input with elements of the third added where the index says; equal indices add up, in order.
pub static SCATTER_ADD: OpDef = OpDef {
    name: "scatter_add",
    infer: |attrs, x| scatter_infer("scatter_add", attrs, x),
    vjp: Vjp::Rule {
        saves: Saves::inputs(0b10),
        rule: |c, gs| {
            let source = if c.needs[2] { Some(call1(&GATHER, c.attrs.clone(), &[g(gs), c.input(1)])?) } else { None };
            Ok(smallvec![Some(g(gs).clone()), None, source])
        },
    },
    cpu: Cpu::Kernel(|attrs, x, out| scatter_kernel(attrs, x, out, true)),
    gpu: Gpu::Kernel(|attrs, x, out| {
        movement::copy_into(x[0], &out[0])?;
        gpu::scatter("scatter_add", true, &out[0], *attrs!(attrs, Dim) as usize, x[1], x[1].layout(), x[2])
    }),
    reference: None,
    elementwise: false,
};

// -------------------------------------------------------------------------------------------------------------- masks

const DYNAMIC: Gpu = Gpu::Unavailable { why: "the shape of its result depends on the data" };

/// The elements of the first input where the second is true, in row-major order.
pub static MASKED_SELECT: OpDef = OpDef {
    name: "masked_select",
    infer: |_, x| {
        ensure!(x[1].dtype() == DType::Bool, Type, "masked_select: mask must be bool, got {}", x[1].dtype());
        ensure!(
            x[0].shape() == x[1].shape(),
            Value,
            "masked_select: mask must have the input's shape {:?}, got {:?}",
            x[0].shape(),
            x[1].shape()
        );
        Ok(smallvec![Meta::new([0].as_slice(), x[0].dtype())])
    },
    vjp: Vjp::Rule {
        saves: Saves::inputs(0b10),
        rule: |c, gs| {
            let flat = movement::reshape(c.input(1), &[c.input(1).numel()])?;
            let at = movement::reshape(&nonzero(&flat)?, &[g(gs).numel()])?;
            let line = super::full(&[flat.numel()], 0.0, g(gs).dtype(), g(gs).device())?;
            let filled = call1(&INDEX_ADD, Attrs::Dim(0), &[&line, &at, g(gs)])?;
            Ok(smallvec![Some(movement::reshape(&filled, &c.in_metas[0].shape)?), None])
        },
    },
    cpu: Cpu::Dynamic(|_, x| {
        let (t, mask) = crate::autograd::no_grad(|| Ok((movement::contiguous(x[0])?, movement::contiguous(x[1])?)))?;
        let mask = mask.view::<bool>().as_slice().expect("made contiguous");
        dispatch!(t.dtype(), T in all => {
            let all = t.view::<T>().as_slice().expect("made contiguous");
            let kept: Vec<T> = all.iter().zip(mask).filter(|(_, m)| **m).map(|(v, _)| *v).collect();
            Ok(smallvec![Tensor::from_slice(&kept, &[kept.len()])?])
        })
    }),
    gpu: DYNAMIC,
    reference: None,
    elementwise: false,
};

/// The coordinates of all non-zero elements, one row each.
pub static NONZERO: OpDef = OpDef {
    name: "nonzero",
    infer: |_, x| Ok(smallvec![Meta::new([0, x[0].ndim()].as_slice(), DType::I64)]),
    vjp: Vjp::None { why: "its result is an index" },
    cpu: Cpu::Dynamic(|_, x| {
        let mask = crate::autograd::no_grad(|| movement::contiguous(&cast(x[0], DType::Bool)?))?;
        let shape = x[0].shape();
        let mask = mask.view::<bool>().as_slice().expect("made contiguous");
        let rows = mask.iter().filter(|m| **m).count();
        Ok(smallvec![Tensor::from_slice(&index::nonzero(mask, shape), &[rows, shape.len()])?])
    }),
    gpu: DYNAMIC,
    reference: None,
    elementwise: false,
};

/// The coordinates of all non-zero elements.
pub fn nonzero(t: &Tensor) -> Result<Tensor> {
    call1(&NONZERO, Attrs::None, &[t])
}

macro_rules! triangles { ($($(#[$doc:meta])* $NAME:ident $name:literal $keep:expr;)*) => { $(
    $(#[$doc])*
    pub static $NAME: OpDef = OpDef {
        name: $name,
        infer: |_, x| {
            ensure!(x[0].ndim() >= 2, Value, "{}: at least 2 dimensions are required, got {:?}", $name, x[0].shape());
            Ok(smallvec![Meta::of(x[0])])
        },
        vjp: Vjp::Rule { saves: Saves::NOTHING, rule: |c, gs| one(call1(c.def, c.attrs.clone(), &[g(gs)])) },
        cpu: Cpu::FromReference,
        gpu: Gpu::FromReference,
        reference: Some(|attrs, x| triangle(attrs, &x[0], $keep)),
        elementwise: false,
    };
)* } }
triangles! {
    /// The elements on and below a diagonal, zero above.
    TRIL "tril" &super::elementwise::LE;
    /// The elements on and above a diagonal, zero below.
    TRIU "triu" &super::elementwise::GE;
}

/// Keeps the elements whose column compares with row + k.
fn triangle(attrs: &Attrs, x: &Tensor, keep: &'static OpDef) -> Result<Tensors> {
    let k = *attrs!(attrs, Diagonal);
    let (rows, cols) = (x.shape()[x.ndim() - 2], x.shape()[x.ndim() - 1]);
    let row = super::arange(k as f64, 1.0, rows, DType::I64, x.device())?;
    let col = super::arange(0.0, 1.0, cols, DType::I64, x.device())?;
    let mask = call1(keep, Attrs::None, &[&col, &movement::unsqueeze(&row, 1)?])?;
    let zero = Tensor::scalar(0.0, x.dtype())?;
    Ok(smallvec![call1(&super::elementwise::WHERE, Attrs::None, &[&mask, x, &zero])?])
}

// -------------------------------------------------------------------------------------------- advanced indexing

/// Adds the dimension's length to negative indices and refuses what is outside.
fn wrapped(index: &Tensor, len: usize, dim: usize) -> Result<Tensor> {
    if index.device() == Device::Cpu {
        let (flat, n) = (positions(index)?, len as i64);
        if let Some(i) = flat.slice::<i64>().iter().find(|i| !(-n..n).contains(*i)) {
            bail!(Index, "index: must be in [{}, {n}) at dim {dim}, got {i}", -n);
        }
    }
    let negative = Expr::from(index).compare_int(&super::elementwise::LT, 0).0?;
    let moved = super::add(index, &Tensor::scalar_int(len as i64)?)?;
    call1(&super::elementwise::WHERE, Attrs::None, &[&negative, &moved, index])
}

/// Where the elements named by several index tensors lie, as NumPy and torch define it.
struct Plan {
    /// Order that brings the indexed dims to the front.
    order: Dims,
    /// Flat positions in the indexed dims, already broadcast.
    flat: Tensor,
    /// Lengths: all indexed positions, everything else.
    grid: [usize; 2],
    /// Shape of the other dims.
    rest: Shape,
    /// Where the broadcast index dims go among the others.
    at: usize,
}

fn plan(x: &Tensor, indices: &[Option<Tensor>]) -> Result<Plan> {
    ensure!(
        indices.len() <= x.ndim(),
        Index,
        "index: at most {} indices are allowed for shape {:?}, got {}",
        x.ndim(),
        x.shape(),
        indices.len()
    );
    let indexed: Vec<usize> = indices.iter().enumerate().filter(|(_, t)| t.is_some()).map(|(d, _)| d).collect();
    let mut shape = Shape::new();
    let mut wrapped_indices = Vec::new();
    for &d in &indexed {
        let t = indices[d].as_ref().expect("filtered above");
        integer("index", t)?;
        let t = super::to_device(&cast(t, DType::I64)?, x.device())?;
        shape = crate::layout::broadcast("index", &shape, t.shape())?;
        wrapped_indices.push(wrapped(&t, x.shape()[d], d)?);
    }
    let mut flat: Option<Tensor> = None;
    for (t, &d) in wrapped_indices.iter().zip(&indexed) {
        flat = Some(match flat {
            None => t.clone(),
            Some(f) => super::add(&super::mul(&f, &Tensor::scalar_int(x.shape()[d] as i64)?)?, t)?,
        });
    }
    let flat = movement::expand(&flat.expect("at least one index"), &shape)?;
    let others: Vec<usize> = (0..x.ndim()).filter(|d| !indexed.contains(d)).collect();
    let neighbours = indexed.windows(2).all(|w| w[1] == w[0] + 1);
    Ok(Plan {
        order: indexed.iter().chain(&others).map(|&d| d as i64).collect(),
        flat,
        grid: [indexed.iter().map(|&d| x.shape()[d]).product(), others.iter().map(|&d| x.shape()[d]).product()],
        rest: others.iter().map(|&d| x.shape()[d]).collect(),
        // Index dims that were neighbours stay in place; otherwise they come first.
        at: if neighbours { indexed[0] } else { 0 },
    })
}

impl Plan {
    /// The permutation that moves the leading index dims to their place.
    fn placement(&self) -> Dims {
        let (n, m) = (self.flat.ndim() as i64, self.rest.len() as i64);
        let at = self.at as i64;
        (n..n + at).chain(0..n).chain(n + at..n + m).collect()
    }
}

/// The elements named by index tensors, one per dimension (`None`: the whole dimension).
pub fn index(x: &Tensor, indices: &[Option<Tensor>]) -> Result<Tensor> {
    let p = plan(x, indices)?;
    let table = movement::reshape(&movement::permute(x, &p.order)?, &p.grid)?;
    let at = movement::reshape(&p.flat, &[p.flat.numel()])?;
    let picked = call1(&INDEX_SELECT, Attrs::Dim(0), &[&table, &at])?;
    let mut shape = p.flat.shape_vec();
    shape.extend_from_slice(&p.rest);
    movement::permute(&movement::reshape(&picked, &shape)?, &p.placement())
}

/// Writes `value` (broadcast) over the elements named by index tensors, in place; or adds it.
pub fn index_put(x: &Tensor, indices: &[Option<Tensor>], value: &Tensor, accumulate: bool) -> Result<()> {
    let p = plan(x, indices)?;
    let placement = p.placement();
    let mut shape = p.flat.shape_vec();
    shape.extend_from_slice(&p.rest);
    let target: Shape = placement.iter().map(|&d| shape[d as usize]).collect();
    let value = super::to_device(&cast(value, x.dtype())?, x.device())?;
    let fits = crate::layout::broadcast("index_put", value.shape(), &target)? == target;
    ensure!(fits, Value, "index_put: the value must broadcast to {target:?}, got {:?}", value.shape());
    let mut inverse: Dims = smallvec![0; placement.len()];
    for (i, &d) in placement.iter().enumerate() {
        inverse[d as usize] = i as i64;
    }
    let value = movement::permute(&movement::expand(&value, &target)?, &inverse)?;
    let value = movement::reshape(&value, &[p.flat.numel(), p.grid[1]])?;
    let permuted = movement::permute(x, &p.order)?;
    let table = movement::reshape(&permuted, &p.grid)?;
    let at = movement::reshape(&p.flat, &[p.flat.numel()])?;
    let written = if accumulate {
        call1(&INDEX_ADD, Attrs::Dim(0), &[&table, &at, &value])?
    } else {
        let at = movement::expand(&movement::unsqueeze(&at, 1)?, value.shape())?;
        call1(&SCATTER, Attrs::Dim(0), &[&table, &at, &value])?
    };
    let back = movement::reshape(&written, permuted.shape())?;
    crate::op::assign(&permuted, &back)
}

/// The rows of `weight` named by `index`; row `padding` gets no gradient.
pub fn embedding(weight: &Tensor, index: &Tensor, padding: Option<i64>) -> Result<Tensor> {
    ensure!(weight.ndim() == 2, Value, "embedding: weight must be 2-dimensional, got shape {:?}", weight.shape());
    integer("embedding", index)?;
    let (rows, width) = (weight.shape()[0], weight.shape()[1]);
    in_range("embedding", index, rows)?;
    let at = movement::reshape(index, &[index.numel()])?;
    let mut out = call1(&INDEX_SELECT, Attrs::Dim(0), &[weight, &at])?;
    if let Some(p) = padding
        && weight.requires_grad()
    {
        // The padding row is read without history, so that nothing flows back to it.
        let p = if p < 0 { p + rows as i64 } else { p };
        let here = Expr::from(&at).compare_int(&super::elementwise::EQ, p).0?;
        let here = movement::unsqueeze(&here, 1)?;
        out = call1(&super::elementwise::WHERE, Attrs::None, &[&here, &out.detach(), &out])?;
    }
    let mut shape = index.shape_vec();
    shape.push(width);
    movement::reshape(&out, &shape)
}
