//! Ops that move elements or only change how they are seen: views, copies, concatenation, padding.

use super::attrs::{Dims, Pad, Slice};
use super::{g, one};
use crate::dtype::DType;
use crate::error::Result;
use crate::layout::{Layout, Shape, checked_numel, normalize_dim};
use crate::op::{Attrs, Cpu, Gpu, Grads, Meta, Metas, OpDef, Saves, Vjp, call1};
use crate::storage::Device;
use crate::tensor::Tensor;
use crate::{attrs, bail, ensure};
use smallvec::{SmallVec, smallvec};

/// Every op of this file.
pub const ALL: &[&OpDef] =
    &[&RESHAPE, &PERMUTE, &EXPAND, &SLICE, &ALIAS, &DIAGONAL, &VIEW_SCATTER, &COPY, &TO_DEVICE, &CAT, &PAD];

fn same(_: &mut Attrs, x: &[&Tensor]) -> Result<Metas> {
    Ok(smallvec![Meta::of(x[0])])
}

// -------------------------------------------------------------------------------------------------------------- views

/// The same elements seen with another shape.
pub static RESHAPE: OpDef = OpDef {
    name: "reshape",
    infer: |attrs, x| {
        let shape = attrs!(attrs, Shape);
        let (have, want) = (x[0].numel(), checked_numel("reshape", shape)?);
        ensure!(have == want, Value, "reshape: shape {shape:?} must hold the {have} elements of {:?}", x[0].shape());
        ensure!(
            x[0].layout().reshape(shape).is_some(),
            Value,
            "view: shape {shape:?} cannot be a view of shape {:?} with strides {:?}; use reshape, which copies",
            x[0].shape(),
            x[0].layout().strides
        );
        Ok(smallvec![Meta::new(shape.clone(), x[0].dtype())])
    },
    vjp: Vjp::Rule { saves: Saves::NOTHING, rule: |c, gs| one(reshape(g(gs), &c.in_metas[0].shape)) },
    cpu: Cpu::View(|attrs, l| l.reshape(attrs!(attrs, Shape)).expect("infer checked that the strides allow it")),
    gpu: Gpu::View,
    reference: None,
    elementwise: false,
};

/// Dimensions in another order.
pub static PERMUTE: OpDef = OpDef {
    name: "permute",
    infer: |attrs, x| {
        let dims = attrs!(attrs, Dims);
        let n = x[0].ndim();
        ensure!(
            dims.len() == n,
            Value,
            "permute: one dim for each of the {n} dimensions is required, got {:?}",
            dims.as_slice()
        );
        let mut seen: SmallVec<[bool; 8]> = smallvec![false; n];
        for d in dims.iter_mut() {
            *d = normalize_dim("permute", *d, n)? as i64;
            ensure!(
                !std::mem::replace(&mut seen[*d as usize], true),
                Value,
                "permute: dims must differ, got {d} twice"
            );
        }
        let shape: Shape = dims.iter().map(|&d| x[0].shape()[d as usize]).collect();
        Ok(smallvec![Meta::new(shape, x[0].dtype())])
    },
    vjp: Vjp::Rule {
        saves: Saves::NOTHING,
        rule: |c, gs| {
            let dims = attrs!(c.attrs, Dims);
            let mut inverse: Dims = smallvec![0; dims.len()];
            for (i, &d) in dims.iter().enumerate() {
                inverse[d as usize] = i as i64;
            }
            one(permute(g(gs), &inverse))
        },
    },
    cpu: Cpu::View(|attrs, l| {
        let order: SmallVec<[usize; 6]> = attrs!(attrs, Dims).iter().map(|&d| d as usize).collect();
        l.permute(&order)
    }),
    gpu: Gpu::View,
    reference: None,
    elementwise: false,
};

/// Repeats along new and length-1 dimensions, without copying.
pub static EXPAND: OpDef = OpDef {
    name: "expand",
    infer: |attrs, x| {
        let shape = attrs!(attrs, Shape);
        let from = x[0].shape();
        let fits =
            shape.len() >= from.len() && from.iter().rev().zip(shape.iter().rev()).all(|(&a, &b)| a == b || a == 1);
        ensure!(fits, Value, "expand: shape {from:?} cannot be expanded to {shape:?}");
        checked_numel("expand", shape)?;
        Ok(smallvec![Meta::new(shape.clone(), x[0].dtype())])
    },
    vjp: Vjp::Rule { saves: Saves::NOTHING, rule: |c, gs| one(super::sum_to(g(gs), &c.in_metas[0].shape)) },
    cpu: Cpu::View(|attrs, l| l.broadcast_to(attrs!(attrs, Shape))),
    gpu: Gpu::View,
    reference: None,
    elementwise: false,
};

/// Every `step`-th element of a range along one dimension.
pub static SLICE: OpDef = OpDef {
    name: "slice",
    infer: |attrs, x| {
        let s = *attrs!(attrs, Slice);
        let shape = x[0].shape();
        ensure!(s.dim < shape.len(), Index, "slice: dim must be in [0, {}), got {}", shape.len(), s.dim);
        let n = shape[s.dim];
        let last = s.start as i128 + (s.len as i128 - 1) * s.step as i128;
        ensure!(
            s.step != 0 && (s.len == 0 || (s.start < n && last >= 0 && last < n as i128)),
            Index,
            "slice: elements {}..={last} with step {} must lie in a dimension of length {n}",
            s.start,
            s.step
        );
        let mut out = x[0].shape_vec();
        out[s.dim] = s.len;
        Ok(smallvec![Meta::new(out, x[0].dtype())])
    },
    vjp: Vjp::Rule {
        saves: Saves::NOTHING,
        rule: |c, gs| one(scatter_into_zeros(g(gs), &c.in_metas[0].shape, c.def, c.attrs)),
    },
    cpu: Cpu::View(|attrs, l| {
        let s = attrs!(attrs, Slice);
        l.slice(s.dim, s.start, s.step, s.len)
    }),
    gpu: Gpu::View,
    reference: None,
    elementwise: false,
};

/// The same tensor under another name in the graph.
pub static ALIAS: OpDef = OpDef {
    name: "alias",
    infer: same,
    vjp: Vjp::Rule { saves: Saves::NOTHING, rule: |_, gs| one(Ok(g(gs).clone())) },
    cpu: Cpu::View(|_, l| l.clone()),
    gpu: Gpu::View,
    reference: None,
    elementwise: false,
};

/// The elements on a diagonal of the last two dimensions, as a view.
pub static DIAGONAL: OpDef = OpDef {
    name: "diagonal",
    infer: |attrs, x| {
        let k = *attrs!(attrs, Diagonal);
        ensure!(x[0].ndim() >= 2, Value, "diagonal: at least 2 dimensions are required, got {:?}", x[0].shape());
        Ok(smallvec![Meta::new(diagonal_layout(x[0].layout(), k).shape, x[0].dtype())])
    },
    vjp: Vjp::Rule {
        saves: Saves::NOTHING,
        rule: |c, gs| one(scatter_into_zeros(g(gs), &c.in_metas[0].shape, c.def, c.attrs)),
    },
    cpu: Cpu::View(|attrs, l| diagonal_layout(l, *attrs!(attrs, Diagonal))),
    gpu: Gpu::View,
    reference: None,
    elementwise: false,
};

fn diagonal_layout(l: &Layout, k: i64) -> Layout {
    let mut out = l.clone();
    let (cols, col) = (out.shape.pop().unwrap_or(0) as i64, out.strides.pop().unwrap_or(0));
    let (rows, row) = (out.shape.pop().unwrap_or(0) as i64, out.strides.pop().unwrap_or(0));
    let len = if k >= 0 { rows.min(cols.saturating_sub(k)) } else { rows.saturating_add(k).min(cols) }.max(0);
    if len > 0 {
        let skip = if k >= 0 { k as isize * col } else { -(k as isize) * row };
        out.offset = (out.offset as isize + skip) as usize;
    }
    out.shape.push(len as usize);
    out.strides.push(row + col);
    out
}

/// A copy of the first input in which the elements that a view op would show are those of the second.
pub static VIEW_SCATTER: OpDef = OpDef {
    name: "view_scatter",
    infer: same,
    vjp: Vjp::Rule {
        saves: Saves::NOTHING,
        rule: |c, gs| {
            let (def, attrs) = &**attrs!(c.attrs, View);
            let g = g(gs);
            let base = if c.needs[0] {
                let zeros = super::full(&c.in_metas[1].shape, 0.0, g.dtype(), g.device())?;
                Some(view_scatter(g, &zeros, def, attrs)?)
            } else {
                None
            };
            // A view op that suits a strided base may not suit the gradient's strides; row-major suits all.
            let value = if c.needs[1] { Some(call1(def, attrs.clone(), &[&contiguous(g)?])?) } else { None };
            Ok(smallvec![base, value])
        },
    },
    cpu: Cpu::Kernel(view_scatter_kernel),
    gpu: Gpu::Kernel(view_scatter_kernel),
    reference: None,
    elementwise: false,
};

fn view_scatter_kernel(attrs: &Attrs, x: &[&Tensor], out: &[Tensor]) -> Result<()> {
    let (def, attrs) = &**attrs!(attrs, View);
    let Cpu::View(view) = def.cpu else { unreachable!("{} is not a view", def.name) };
    copy_into(x[0], &out[0])?;
    let layout = view(attrs, out[0].layout());
    copy_into(x[1], &Tensor::from_parts(out[0].storage().clone(), layout, out[0].dtype()))
}

fn view_scatter(base: &Tensor, value: &Tensor, def: &'static OpDef, attrs: &Attrs) -> Result<Tensor> {
    call1(&VIEW_SCATTER, Attrs::View(Box::new((def, attrs.clone()))), &[base, value])
}

/// The gradient of a view that shows part of its parent: zero elsewhere.
fn scatter_into_zeros(g: &Tensor, shape: &[usize], def: &'static OpDef, attrs: &Attrs) -> Result<Tensor> {
    view_scatter(&super::full(shape, 0.0, g.dtype(), g.device())?, g, def, attrs)
}

// ------------------------------------------------------------------------------------------------------------- copies

/// The same elements in new, row-major memory.
pub static COPY: OpDef = OpDef {
    name: "clone",
    infer: same,
    vjp: Vjp::Rule { saves: Saves::NOTHING, rule: |_, gs| one(Ok(g(gs).clone())) },
    cpu: Cpu::Kernel(|_, x, out| copy_into(x[0], &out[0])),
    gpu: Gpu::Kernel(|_, x, out| copy_into(x[0], &out[0])),
    reference: None,
    elementwise: false,
};

/// The same elements in memory of another device.
pub static TO_DEVICE: OpDef = OpDef {
    name: "to",
    infer: same,
    vjp: Vjp::Rule { saves: Saves::NOTHING, rule: |c, gs| one(to_device(g(gs), c.in_device)) },
    cpu: Cpu::Dynamic(|attrs, x| {
        let Device::Gpu(index) = *attrs!(attrs, Device) else {
            unreachable!("to: CPU to CPU is handled by the caller")
        };
        Ok(smallvec![crate::gpu::upload(x[0], index)?])
    }),
    gpu: Gpu::Dynamic(|attrs, x| {
        let host = crate::gpu::download(x[0])?;
        Ok(smallvec![match *attrs!(attrs, Device) {
            Device::Cpu => host,
            Device::Gpu(index) => crate::gpu::upload(&host, index)?,
        }])
    }),
    reference: None,
    elementwise: false,
};

/// Inputs one after the other along a dimension.
pub static CAT: OpDef = OpDef {
    name: "cat",
    infer: |attrs, x| {
        let Attrs::Dim(dim) = attrs else { unreachable!("cat has a dim") };
        let Some(first) = x.first() else { bail!(Value, "cat: at least one tensor is required, got none") };
        ensure!(first.ndim() > 0, Value, "cat: tensors must have at least 1 dimension, got a 0-d tensor");
        let d = normalize_dim("cat", *dim, first.ndim())?;
        *dim = d as i64;
        let mut shape = first.shape_vec();
        let mut total = 0usize;
        for t in x {
            let fits =
                t.ndim() == shape.len() && t.shape().iter().zip(&shape).enumerate().all(|(i, (a, b))| i == d || a == b);
            ensure!(
                fits,
                Value,
                "cat: shapes must agree except at dim {d}, got {:?} and {:?}",
                first.shape(),
                t.shape()
            );
            total += t.shape()[d];
        }
        shape[d] = total;
        Ok(smallvec![Meta::new(shape, first.dtype())])
    },
    vjp: Vjp::Rule {
        saves: Saves::NOTHING,
        rule: |c, gs| {
            let dim = *attrs!(c.attrs, Dim) as usize;
            let mut start = 0;
            let mut out = Grads::new();
            for (m, needs) in c.in_metas.iter().zip(&c.needs) {
                let len = m.shape[dim];
                out.push(if *needs { Some(slice(g(gs), dim, start, 1, len)?) } else { None });
                start += len;
            }
            Ok(out)
        },
    },
    cpu: Cpu::Kernel(cat_kernel),
    gpu: Gpu::Kernel(cat_kernel),
    reference: None,
    elementwise: false,
};

fn cat_kernel(attrs: &Attrs, x: &[&Tensor], out: &[Tensor]) -> Result<()> {
    let dim = *attrs!(attrs, Dim) as usize;
    let mut start = 0;
    for t in x {
        let len = t.shape()[dim];
        let part = out[0].layout().slice(dim, start, 1, len);
        copy_into(t, &Tensor::from_parts(out[0].storage().clone(), part, out[0].dtype()))?;
        start += len;
    }
    Ok(())
}

/// A border of one value around the input; negative widths crop.
pub static PAD: OpDef = OpDef {
    name: "pad",
    infer: |attrs, x| {
        let p = attrs!(attrs, Pad);
        let shape = x[0].shape();
        ensure!(
            p.pads.len() == shape.len(),
            Value,
            "pad: one pair of widths per dimension is required, got {} pairs for shape {shape:?}",
            p.pads.len()
        );
        let mut out = Shape::new();
        for (i, (&n, &(a, b))) in shape.iter().zip(&p.pads).enumerate() {
            let m = n as i128 + i128::from(a) + i128::from(b);
            let fits = m >= 0 && m <= isize::MAX as i128;
            ensure!(fits, Value, "pad: dimension {i} of length {n} cannot be padded by ({a}, {b})");
            out.push(m as usize);
        }
        Ok(smallvec![Meta::new(out, x[0].dtype())])
    },
    vjp: Vjp::Rule {
        saves: Saves::NOTHING,
        rule: |c, gs| {
            let pads = attrs!(c.attrs, Pad).pads.iter().map(|&(a, b)| (-a, -b)).collect();
            one(pad(g(gs), pads, 0.0))
        },
    },
    cpu: Cpu::Kernel(pad_kernel),
    gpu: Gpu::Kernel(pad_kernel),
    reference: None,
    elementwise: false,
};

fn pad_kernel(attrs: &Attrs, x: &[&Tensor], out: &[Tensor]) -> Result<()> {
    let p = attrs!(attrs, Pad);
    super::creation::fill(&out[0], p.value)?;
    let (mut from, mut to) = (x[0].layout().clone(), out[0].layout().clone());
    for (d, &(before, _)) in p.pads.iter().enumerate() {
        let (skip_in, skip_out) = (before.min(0).unsigned_abs() as usize, before.max(0) as usize);
        let len = from.shape[d].saturating_sub(skip_in).min(to.shape[d].saturating_sub(skip_out));
        from = from.slice(d, skip_in, 1, len);
        to = to.slice(d, skip_out, 1, len);
    }
    let source = Tensor::from_parts(x[0].storage().clone(), from, x[0].dtype());
    copy_into(&source, &Tensor::from_parts(out[0].storage().clone(), to, out[0].dtype()))
}

// ---------------------------------------------------------------------------------------------------------- functions

/// Writes the elements of `source` over those of `target`: same shape, dtype and device; no history.
pub fn copy_into(source: &Tensor, target: &Tensor) -> Result<()> {
    debug_assert_eq!((source.shape(), source.dtype()), (target.shape(), target.dtype()), "copy_into");
    match target.device() {
        Device::Cpu => {
            super::elementwise::copy_cpu(source, target);
            Ok(())
        }
        Device::Gpu(_) => crate::gpu::copy_into(source, target),
    }
}

/// The same elements under another shape; a copy only if the strides do not allow a view.
pub fn reshape(t: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let attrs = Attrs::Shape(shape.into());
    if checked_numel("reshape", shape)? == t.numel() && t.layout().reshape(shape).is_none() {
        return call1(&RESHAPE, attrs, &[&copy(t)?]);
    }
    call1(&RESHAPE, attrs, &[t])
}

/// Like [`reshape`], refusing to copy.
pub fn view(t: &Tensor, shape: &[usize]) -> Result<Tensor> {
    call1(&RESHAPE, Attrs::Shape(shape.into()), &[t])
}

/// Replaces one `-1` in a requested shape by what the number of elements asks for.
pub fn resolve_shape(op: &str, requested: &[i64], numel: usize) -> Result<Shape> {
    let mut known = 1usize;
    let mut unknown = None;
    for (i, &n) in requested.iter().enumerate() {
        match n {
            -1 if unknown.is_none() => unknown = Some(i),
            -1 => bail!(Value, "{op}: only one dimension may be -1, got {requested:?}"),
            n if n < 0 => bail!(Value, "{op}: dimensions must be non-negative or -1, got {requested:?}"),
            n => known = known.saturating_mul(n as usize),
        }
    }
    let mut shape: Shape = requested.iter().map(|&n| n.max(0) as usize).collect();
    if let Some(i) = unknown {
        let fits = known > 0 && numel.is_multiple_of(known);
        ensure!(fits, Value, "{op}: the -1 in {requested:?} cannot be worked out for {numel} elements");
        shape[i] = numel / known;
    }
    Ok(shape)
}

/// Dimensions in the given order.
pub fn permute(t: &Tensor, dims: &[i64]) -> Result<Tensor> {
    call1(&PERMUTE, Attrs::Dims(dims.into()), &[t])
}

/// Two dimensions exchanged.
pub fn transpose(t: &Tensor, a: i64, b: i64) -> Result<Tensor> {
    let (a, b) = (normalize_dim("transpose", a, t.ndim())?, normalize_dim("transpose", b, t.ndim())?);
    if t.ndim() == 0 {
        return alias(t);
    }
    let mut dims: Dims = (0..t.ndim() as i64).collect();
    dims.swap(a, b);
    call1(&PERMUTE, Attrs::Dims(dims), &[t])
}

/// Repeated along new and length-1 dimensions.
pub fn expand(t: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if t.shape() == shape { Ok(t.clone()) } else { call1(&EXPAND, Attrs::Shape(shape.into()), &[t]) }
}

/// Every `step`-th of `len` elements from `start`.
pub fn slice(t: &Tensor, dim: usize, start: usize, step: isize, len: usize) -> Result<Tensor> {
    call1(&SLICE, Attrs::Slice(Slice { dim, start, step, len }), &[t])
}

/// One index of a dimension, which disappears.
pub fn select(t: &Tensor, dim: i64, index: i64) -> Result<Tensor> {
    ensure!(t.ndim() > 0, Index, "select: a tensor with at least 1 dimension is required, got a 0-d tensor");
    let d = normalize_dim("select", dim, t.ndim())?;
    let n = t.shape()[d] as i64;
    ensure!((-n..n).contains(&index), Index, "index: must be in [{}, {}) at dim {d}, got {index}", -n, n);
    let i = if index < 0 { index + n } else { index };
    squeeze_dim(&slice(t, d, i as usize, 1, 1)?, d)
}

/// Without the length-1 dimension `dim`; unchanged if it is longer.
pub fn squeeze_dim(t: &Tensor, dim: usize) -> Result<Tensor> {
    let mut shape = t.shape_vec();
    if shape.get(dim) != Some(&1) {
        return alias(t);
    }
    shape.remove(dim);
    view(t, &shape)
}

/// With a new length-1 dimension before `dim`.
pub fn unsqueeze(t: &Tensor, dim: i64) -> Result<Tensor> {
    let d = normalize_dim("unsqueeze", dim, t.ndim() + 1)?;
    let mut shape = t.shape_vec();
    shape.insert(d, 1);
    view(t, &shape)
}

/// In reverse order along `dims`, in new memory as in torch.
pub fn flip(t: &Tensor, dims: &[i64]) -> Result<Tensor> {
    let mut out = t.clone();
    let mut seen: SmallVec<[usize; 4]> = SmallVec::new();
    for &d in dims {
        let d = normalize_dim("flip", d, t.ndim())?;
        ensure!(!seen.contains(&d), Value, "flip: dims must differ, got {d} twice");
        seen.push(d);
        let n = t.shape().get(d).copied().unwrap_or(0);
        if n > 0 {
            out = slice(&out, d, n - 1, -1, n)?;
        }
    }
    copy(&out)
}

/// The diagonal of the last two dimensions.
pub fn diagonal(t: &Tensor, k: i64) -> Result<Tensor> {
    call1(&DIAGONAL, Attrs::Diagonal(k), &[t])
}

/// Another name for the same tensor.
pub fn alias(t: &Tensor) -> Result<Tensor> {
    call1(&ALIAS, Attrs::None, &[t])
}

/// In new row-major memory.
pub fn copy(t: &Tensor) -> Result<Tensor> {
    call1(&COPY, Attrs::None, &[t])
}

/// Itself if row-major, else a row-major copy.
pub fn contiguous(t: &Tensor) -> Result<Tensor> {
    if t.is_contiguous() { Ok(t.clone()) } else { copy(t) }
}

/// On another device, with history; itself if it is there already.
pub fn to_device(t: &Tensor, device: Device) -> Result<Tensor> {
    if t.device() == device { Ok(t.clone()) } else { call1(&TO_DEVICE, Attrs::Device(device), &[t]) }
}

/// One after the other along `dim`, after promotion to a common dtype.
pub fn cat(tensors: &[Tensor], dim: i64) -> Result<Tensor> {
    let refs: Vec<&Tensor> = tensors.iter().collect();
    let dtype = if refs.is_empty() { DType::F32 } else { crate::dtype::result_type(&refs) };
    let cast: Vec<Tensor> = tensors.iter().map(|t| super::cast(t, dtype)).collect::<Result<_>>()?;
    let refs: Vec<&Tensor> = cast.iter().collect();
    call1(&CAT, Attrs::Dim(dim), &refs)
}

/// Constant padding, one pair per dimension.
pub fn pad(t: &Tensor, pads: SmallVec<[(i64, i64); 4]>, value: f64) -> Result<Tensor> {
    call1(&PAD, Attrs::Pad(Box::new(Pad { pads, value })), &[t])
}
