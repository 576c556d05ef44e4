//! What an op is, and the one way to execute it.
//!
//! An [`OpDef`] says everything about an op side by side: the rule that checks the user's input and names the result,
//! how each device computes it, its gradient, and for a fused op the same thing in simpler ops.  "No gradient" and "no
//! GPU kernel" are explicit, with a reason, and raise when they are asked for.

use crate::autograd;
pub use crate::autograd::VjpCtx;
use crate::dtype::DType;
use crate::error::Result;
use crate::layout::{Layout, Shape, checked_numel};
use crate::storage::Device;
use crate::tensor::Tensor;
use crate::{bail, ensure};
use smallvec::SmallVec;

pub use crate::ops::attrs::Attrs;

/// Shape and dtype of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Length of each dimension.
    pub shape: Shape,
    /// Element type.
    pub dtype: DType,
}

impl Meta {
    /// Shape and dtype together.
    #[inline]
    pub fn new(shape: impl Into<Shape>, dtype: DType) -> Self {
        Self { shape: shape.into(), dtype }
    }

    /// Those of a tensor.
    #[inline]
    pub fn of(t: &Tensor) -> Self {
        Self { shape: t.shape_vec(), dtype: t.dtype() }
    }
}

/// Results of an op; nearly always one.
pub type Tensors = SmallVec<[Tensor; 1]>;
/// Their shapes and dtypes.
pub type Metas = SmallVec<[Meta; 1]>;
/// Gradients for the inputs; `None` where none flows.
pub type Grads = SmallVec<[Option<Tensor>; 3]>;

/// Fills preallocated results from inputs on one device.
pub type KernelFn = fn(&Attrs, &[&Tensor], &[Tensor]) -> Result<()>;
/// The same op written with other ops.
pub type ReferenceFn = fn(&Attrs, &[Tensor]) -> Result<Tensors>;

/// The op's gradient.
pub enum Vjp {
    /// By a rule written with differentiable ops; `saves` says what it needs.
    Rule {
        /// Inputs and outputs to keep until backward.
        saves: Saves,
        /// From the gradients of the outputs to those of the inputs.
        rule: fn(&VjpCtx, &[Option<Tensor>]) -> Result<Grads>,
    },
    /// By differentiating the reference.
    FromReference,
    /// There is none; backward through it raises with this reason.
    None {
        /// Why.
        why: &'static str,
    },
}

/// Which inputs and outputs a gradient rule needs, as bit sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saves {
    /// Bit i: input i.
    pub inputs: u8,
    /// Bit i: output i.
    pub outputs: u8,
    /// The gradient of input 0 needs input 1 and the other way round: keep each only if the other wants a gradient.
    pub cross: bool,
}

impl Saves {
    /// Shapes suffice.
    pub const NOTHING: Self = Self { inputs: 0, outputs: 0, cross: false };
    /// Every input.
    pub const INPUTS: Self = Self { inputs: 0xff, outputs: 0, cross: false };
    /// Every output.
    pub const OUTPUTS: Self = Self { inputs: 0, outputs: 0xff, cross: false };
    /// Everything.
    pub const ALL: Self = Self { inputs: 0xff, outputs: 0xff, cross: false };
    /// Of the first two inputs each that the other's gradient needs.
    pub const CROSS: Self = Self { inputs: 0b11, outputs: 0, cross: true };
    /// The second input and the output.
    pub const SECOND: Self = Self { inputs: 0b10, outputs: 0xff, cross: false };
    /// A choice of inputs and outputs.
    pub const fn some(inputs: u8, outputs: u8) -> Self {
        Self { inputs, outputs, cross: false }
    }
    /// A choice of inputs.
    pub const fn inputs(bits: u8) -> Self {
        Self { inputs: bits, outputs: 0, cross: false }
    }
}

/// How the CPU computes the op.
pub enum Cpu {
    /// Into preallocated contiguous results.
    Kernel(KernelFn),
    /// The result's shape depends on the data.
    Dynamic(fn(&Attrs, &[&Tensor]) -> Result<Tensors>),
    /// Only the layout changes; the result shares the first input's storage.
    View(fn(&Attrs, &Layout) -> Layout),
    /// By its reference.
    FromReference,
}

/// How a GPU computes the op.
pub enum Gpu {
    /// Records shader calls that fill preallocated contiguous results.
    Kernel(KernelFn),
    /// One WGSL expression over the operands `x`, `y`, `z` and the numbers `p0`, `p1`, for float and for integer
    /// operands (empty where integers never get there).
    Elementwise {
        /// Over `f32`.
        float: &'static str,
        /// Over `i32`.
        int: &'static str,
    },
    /// As on the CPU: only the layout changes.
    View,
    /// Results are made by the function itself (a copy to another device).
    Dynamic(fn(&Attrs, &[&Tensor]) -> Result<Tensors>),
    /// By its reference.
    FromReference,
    /// There is no GPU form; using it there raises with this reason.
    Unavailable {
        /// Why.
        why: &'static str,
    },
}

/// Everything pyneuro knows about one op.
pub struct OpDef {
    /// Its name in every layer.
    pub name: &'static str,
    /// Checks all of the user's input, puts attributes into normal form, and names the results.
    pub infer: fn(&mut Attrs, &[&Tensor]) -> Result<Metas>,
    /// Its gradient.
    pub vjp: Vjp,
    /// Its CPU form.
    pub cpu: Cpu,
    /// Its GPU form.
    pub gpu: Gpu,
    /// The op written with simpler ops; required where a field above says `FromReference`.
    pub reference: Option<ReferenceFn>,
    /// Element i of the result depends on element i of each (broadcast) input only, so it may be computed in place.
    pub elementwise: bool,
}

/// Executes an op and records it for backward.
#[inline]
pub fn call(def: &'static OpDef, mut attrs: Attrs, inputs: &[&Tensor]) -> Result<Tensors> {
    let metas = (def.infer)(&mut attrs, inputs)?;
    let device = device_of(def, &attrs, inputs)?;
    let record = autograd::is_recording() && inputs.iter().any(|t| t.requires_grad());
    if by_reference(def, device) {
        let owned: SmallVec<[Tensor; 4]> = inputs.iter().map(|t| (*t).clone()).collect();
        // The ops inside record themselves, so the results carry their history already.
        return reference(def)(&attrs, &owned);
    }
    let outs = run(def, &attrs, inputs, &metas, device)?;
    if record {
        autograd::record(def, attrs, inputs, &outs);
    }
    Ok(outs)
}

/// As [`call`], for an op with one result.
#[inline]
pub fn call1(def: &'static OpDef, attrs: Attrs, inputs: &[&Tensor]) -> Result<Tensor> {
    let mut outs = call(def, attrs, inputs)?;
    debug_assert_eq!(outs.len(), 1, "{} has one result", def.name);
    Ok(outs.swap_remove(0))
}

/// Executes an op and writes the result over its first input.
///
/// The input keeps its dtype and shape; its views see the new values, its history becomes this op, and tensors saved
/// from it before are stale.
pub fn call_inplace(def: &'static OpDef, mut attrs: Attrs, inputs: &[&Tensor]) -> Result<()> {
    let target = inputs[0];
    let metas = (def.infer)(&mut attrs, inputs)?;
    let meta = &metas[0];
    let name = def.name;
    ensure!(
        meta.shape.as_slice() == target.shape(),
        Value,
        "{name}_: an in-place result must keep the shape {:?}, got {:?}",
        target.shape(),
        meta.shape
    );
    ensure!(
        meta.dtype.category() <= target.dtype().category(),
        Type,
        "{name}_: a {} result cannot be stored in a {} tensor",
        meta.dtype,
        target.dtype()
    );
    let device = device_of(def, &attrs, inputs)?;
    ensure!(
        target.device() == device,
        Value,
        "{name}_: the written tensor must be on {device}, got {}",
        target.device()
    );
    let track = check_writable(name, target, inputs)?;

    let alone = inputs[1..]
        .iter()
        .all(|t| !std::sync::Arc::ptr_eq(t.storage(), target.storage()) || t.layout() == target.layout());
    let direct = def.elementwise && meta.dtype == target.dtype() && alone && !by_reference(def, device);
    if direct && !track {
        execute(def, &attrs, inputs, std::slice::from_ref(target), device)?;
        target.storage().bump();
        return Ok(());
    }
    // Compute aside, so that whatever the gradient saves is the value before the write.
    let before = if track { snapshot(target)? } else { target.clone() };
    let mut args: SmallVec<[&Tensor; 4]> = inputs.into();
    args[0] = &before;
    let result = call1(def, attrs, &args)?;
    let result = crate::ops::cast(&result, target.dtype())?;
    write_over(target, &result, track)
}

/// Copies `value` (broadcast and cast) into `target`, in place, with gradient.
pub fn assign(target: &Tensor, value: &Tensor) -> Result<()> {
    let track = check_writable("copy", target, &[target, value])?;
    let shape = crate::layout::broadcast("copy_", target.shape(), value.shape())?;
    ensure!(
        shape.as_slice() == target.shape(),
        Value,
        "copy_: the source must broadcast to {:?}, got {:?}",
        target.shape(),
        value.shape()
    );
    let value = crate::ops::to_device(value, target.device())?;
    let mut value = crate::ops::expand(&crate::ops::cast(&value, target.dtype())?, target.shape())?;
    if std::sync::Arc::ptr_eq(value.storage(), target.storage()) && value.layout() != target.layout() {
        value = crate::ops::copy(&value)?;
    }
    write_over(target, &value, track)
}

/// Whether the write must be recorded; refuses targets that cannot be written.
fn check_writable(name: &str, target: &Tensor, inputs: &[&Tensor]) -> Result<bool> {
    ensure!(
        !target.layout().overlaps_itself(),
        Runtime,
        "{name}_: the written tensor must not hold one element at several indices, got an expanded view; use .clone()"
    );
    if !autograd::is_recording() {
        return Ok(false);
    }
    let mut root = target;
    while let Some(v) = root.view_info() {
        root = &v.parent;
    }
    ensure!(
        root.leaf().is_none(),
        Runtime,
        "{name}_: a leaf that requires grad (or a view of one) cannot be written in place; use pn.no_grad()"
    );
    Ok(target.requires_grad() || inputs.iter().any(|t| t.requires_grad()))
}

/// The same values and history in other memory.
fn snapshot(t: &Tensor) -> Result<Tensor> {
    let copy = autograd::no_grad(|| crate::ops::copy(t))?;
    if let Some(target) = t.target() {
        copy.init_target(target);
    }
    Ok(copy)
}

/// Stores `result` (same shape and dtype) into `target` and gives `target` its history.
fn write_over(target: &Tensor, result: &Tensor, track: bool) -> Result<()> {
    crate::ops::copy_into(result, target)?;
    target.storage().bump();
    if track {
        autograd::rebase(target, result)?;
    }
    Ok(())
}

/// Computes the results, without recording.
#[inline]
fn run(def: &'static OpDef, attrs: &Attrs, inputs: &[&Tensor], metas: &[Meta], device: Device) -> Result<Tensors> {
    if let Cpu::View(view) = def.cpu {
        let layout = view(attrs, inputs[0].layout());
        let track = autograd::is_recording();
        let out = Tensor::view_of(inputs[0], layout, metas[0].dtype, def, attrs.clone(), track);
        return Ok(SmallVec::from_buf([out]));
    }
    match (device, &def.cpu, &def.gpu) {
        (Device::Cpu, Cpu::Dynamic(f), _) | (Device::Gpu(_), _, Gpu::Dynamic(f)) => return f(attrs, inputs),
        _ => {}
    }
    let mut outs = Tensors::new();
    for m in metas {
        checked_numel(def.name, &m.shape)?;
        outs.push(Tensor::empty_on(&m.shape, m.dtype, device)?);
    }
    execute(def, attrs, inputs, &outs, device)?;
    Ok(outs)
}

#[inline]
fn execute(def: &'static OpDef, attrs: &Attrs, inputs: &[&Tensor], outs: &[Tensor], device: Device) -> Result<()> {
    match (device, &def.cpu, &def.gpu) {
        (Device::Cpu, Cpu::Kernel(kernel), _) | (Device::Gpu(_), _, Gpu::Kernel(kernel)) => kernel(attrs, inputs, outs),
        (Device::Gpu(_), _, Gpu::Elementwise { float, int }) => {
            crate::gpu::elementwise(def.name, float, int, attrs, inputs, &outs[0])
        }
        (Device::Gpu(_), _, Gpu::Unavailable { why }) => {
            bail!(NotImplemented, "{}: there is no GPU form ({why}); copy the input with .to(\"cpu\") first", def.name)
        }
        _ => unreachable!("{}: views, dynamic ops and references are handled before", def.name),
    }
}

/// Whether `def` runs by its reference on `device`.
#[inline]
pub fn by_reference(def: &OpDef, device: Device) -> bool {
    match device {
        Device::Cpu => matches!(def.cpu, Cpu::FromReference),
        Device::Gpu(_) => matches!(def.gpu, Gpu::FromReference),
    }
}

/// The reference of an op that promised one.
pub fn reference(def: &'static OpDef) -> ReferenceFn {
    match def.reference {
        Some(f) => f,
        None => unreachable!("{} says FromReference and has no reference", def.name),
    }
}

/// The device of an op: that of its inputs; a 0-d CPU tensor may stand beside GPU tensors in elementwise ops.
#[inline]
fn device_of(def: &OpDef, attrs: &Attrs, inputs: &[&Tensor]) -> Result<Device> {
    let Some(first) = inputs.first() else { return Ok(attrs.device()) };
    let mut device = first.device();
    for t in &inputs[1..] {
        let d = t.device();
        if d == device {
            continue;
        }
        let free = |t: &Tensor| def.elementwise && t.ndim() == 0 && t.device() == Device::Cpu;
        if device == Device::Cpu && inputs.iter().all(|t| t.device() == d || free(t)) {
            device = d;
        } else if !free(t) {
            bail!(Value, "{}: all tensors must be on one device, got {device} and {d}", def.name);
        }
    }
    Ok(device)
}

impl std::fmt::Debug for OpDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
