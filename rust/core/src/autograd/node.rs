//! What backward remembers of one op, and the accumulators it ends in.

use super::engine::from_reference;
use super::mode;
use crate::dtype::DType;
use crate::error::Result;
use crate::layout::Layout;
use crate::op::{Attrs, Grads, Meta, OpDef, Saves, Vjp};
use crate::storage::{Device, Storage};
use crate::tensor::{Tensor, lock};
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Called with a gradient; may replace it.
pub type Hook = Arc<dyn Fn(&Tensor) -> Result<Option<Tensor>> + Send + Sync>;

/// The backward of a function written outside this crate.
pub trait CustomBackward: Send + Sync {
    /// Its name in messages.
    fn name(&self) -> String;
    /// Gradients of the inputs from those of the outputs.
    fn backward(&self, grads: &[Option<Tensor>]) -> Result<Grads>;
    /// Lets go of saved tensors after a backward that does not retain the graph.
    fn release(&self);
}

/// Where a gradient goes next.
#[derive(Clone)]
pub enum Target {
    /// Output `1` of a recorded op.
    Node(Arc<Node>, u32),
    /// A leaf's accumulator.
    Leaf(Arc<Leaf>),
}

// ---------------------------------------------------------------------------------------------------------- leaves

/// The gradient of a leaf, and the hooks on it.  The leaf's tensor may change its data and keep this.
pub struct Leaf {
    state: Mutex<LeafState>,
}

struct LeafState {
    grad: Option<Tensor>,
    hooks: Vec<(u64, Hook)>,
    meta: Meta,
    device: Device,
}

impl Leaf {
    /// An empty accumulator for `t`.
    pub fn new(t: &Tensor) -> Arc<Self> {
        let state = LeafState { grad: None, hooks: Vec::new(), meta: Meta::of(t), device: t.device() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// The leaf now has other data, perhaps of another dtype or on another device.
    pub(crate) fn rebind(&self, t: &Tensor) {
        let mut s = lock(&self.state);
        s.meta = Meta::of(t);
        s.device = t.device();
    }

    /// The accumulated gradient.
    pub fn grad(&self) -> Option<Tensor> {
        lock(&self.state).grad.clone()
    }

    /// Replaces it.
    pub fn set_grad(&self, grad: Option<Tensor>) -> Result<()> {
        let mut s = lock(&self.state);
        if let Some(g) = &grad {
            ensure!(
                g.shape() == s.meta.shape.as_slice() && g.dtype() == s.meta.dtype && g.device() == s.device,
                Value,
                "grad: must have the tensor's shape {:?}, dtype {} and device {}, got {:?}, {} and {}",
                s.meta.shape,
                s.meta.dtype,
                s.device,
                g.shape(),
                g.dtype(),
                g.device()
            );
        }
        let old = std::mem::replace(&mut s.grad, grad);
        drop(s);
        drop(old);
        Ok(())
    }

    /// Runs the hooks on a pass's sum.
    pub(super) fn run_hooks(&self, mut grad: Tensor) -> Result<Tensor> {
        let hooks: SmallVec<[Hook; 2]> = lock(&self.state).hooks.iter().map(|(_, h)| h.clone()).collect();
        for hook in hooks {
            if let Some(new) = hook(&grad)? {
                check_like(&new, &Meta::of(&grad), "a hook's result")?;
                grad = new;
            }
        }
        Ok(grad)
    }

    /// Adds a pass's gradient.  A gradient that nobody else holds is taken over; otherwise it is copied.
    pub(super) fn accumulate(&self, grad: Tensor) -> Result<()> {
        let old = self.grad();
        let new = match old {
            None if mode::is_recording() => grad,
            None => own(grad)?,
            Some(old) if mode::is_recording() || old.requires_grad() => crate::ops::add(&old, &grad)?,
            Some(old) => return crate::op::call_inplace(&crate::ops::elementwise::ADD, Attrs::None, &[&old, &grad]),
        };
        let replaced = lock(&self.state).grad.replace(new);
        drop(replaced);
        Ok(())
    }
}

/// A gradient that shares its memory with nothing: itself if it is unique and dense, else a copy.
fn own(grad: Tensor) -> Result<Tensor> {
    let unique = Arc::strong_count(grad.storage()) == 1 && grad.is_contiguous() && grad.view_info().is_none();
    if unique { Ok(grad) } else { mode::no_grad(|| crate::ops::copy(&grad)) }
}

// ----------------------------------------------------------------------------------------------------- saved tensors

/// A tensor kept for backward: its memory, the version it had, and its place in the graph.
pub struct Saved {
    storage: Arc<Storage>,
    layout: Layout,
    dtype: DType,
    /// A Python number gives way to the gradient's dtype in backward too.
    scalar: bool,
    version: u32,
    history: History,
}

enum History {
    None,
    Target(Target),
    /// Output i of the node that keeps it: a handle on the node itself would be a cycle.
    Own(u32),
}

impl Saved {
    /// Keeps an input.
    pub fn input(t: &Tensor) -> Self {
        Self::new(t, t.target().map_or(History::None, History::Target))
    }

    /// Keeps output `i` of the node being made.
    pub fn output(t: &Tensor, i: usize) -> Self {
        Self::new(t, History::Own(i as u32))
    }

    fn new(t: &Tensor, history: History) -> Self {
        let (storage, layout) = (t.storage().clone(), t.layout().clone());
        Self { version: storage.version(), storage, layout, dtype: t.dtype(), scalar: t.is_scalar(), history }
    }

    /// The tensor again, if nobody wrote over it.
    pub fn unpack(&self, op: &str, node: Option<&Arc<Node>>) -> Result<Tensor> {
        let now = self.storage.version();
        ensure!(
            now == self.version,
            Runtime,
            "{op}: a tensor needed for the gradient was modified in place (shape {:?}, saved at version {}, now at \
             version {now}); clone it before writing",
            self.layout.shape,
            self.version
        );
        let t = Tensor::restored(self.storage.clone(), self.layout.clone(), self.dtype, self.scalar);
        match (&self.history, node) {
            (History::Target(target), _) => t.init_target(target.clone()),
            (History::Own(i), Some(node)) => t.init_target(Target::Node(node.clone(), *i)),
            _ => {}
        }
        Ok(t)
    }
}

// -------------------------------------------------------------------------------------------------------------- nodes

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A number larger than that of every earlier node, of any thread: inputs come before results.
fn next_seq() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One recorded op.
pub struct Node {
    pub(super) seq: u64,
    kind: Kind,
    pub(super) edges: SmallVec<[Option<Target>; 2]>,
    in_metas: SmallVec<[Meta; 2]>,
    pub(super) out_metas: SmallVec<[Meta; 1]>,
    device: Device,
    /// Boxed, because many ops save nothing and all of them are made often.
    saved: Mutex<Keep>,
    hooks: Mutex<Vec<(u64, u32, Hook)>>,
}

/// What a node keeps for its gradient.
#[derive(Default)]
enum Keep {
    #[default]
    Nothing,
    Tensors(Box<SavedSet>),
    /// An earlier backward used them up.
    Released,
}

enum Kind {
    Op { def: &'static OpDef, attrs: Attrs },
    Custom(Box<dyn CustomBackward>),
}

struct SavedSet {
    inputs: SmallVec<[Option<Saved>; 2]>,
    outputs: SmallVec<[Option<Saved>; 1]>,
}

/// What a gradient rule sees of the op it differentiates.
pub struct VjpCtx<'a> {
    /// The op.
    pub def: &'static OpDef,
    /// Its attributes, in normal form.
    pub attrs: &'a Attrs,
    /// Saved inputs (`None`: not saved).
    pub inputs: SmallVec<[Option<Tensor>; 3]>,
    /// Saved outputs.
    pub outputs: SmallVec<[Option<Tensor>; 1]>,
    /// Shapes and dtypes of all inputs.
    pub in_metas: &'a [Meta],
    /// Shapes and dtypes of all outputs.
    pub out_metas: &'a [Meta],
    /// Which inputs want a gradient.
    pub needs: SmallVec<[bool; 3]>,
    /// Where the first input was.
    pub in_device: Device,
}

impl VjpCtx<'_> {
    /// Saved input `i`.
    pub fn input(&self, i: usize) -> &Tensor {
        match self.inputs.get(i).and_then(Option::as_ref) {
            Some(t) => t,
            None => unreachable!("{}: its gradient needs input {i} and did not say so", self.def.name),
        }
    }

    /// Saved output `i`.
    pub fn output(&self, i: usize) -> &Tensor {
        match self.outputs.get(i).and_then(Option::as_ref) {
            Some(t) => t,
            None => unreachable!("{}: its gradient needs output {i} and did not say so", self.def.name),
        }
    }
}

impl Node {
    /// The op's name.
    pub fn name(&self) -> String {
        match &self.kind {
            Kind::Op { def, .. } => def.name.to_owned(),
            Kind::Custom(c) => c.name(),
        }
    }

    /// Where the gradients of its inputs go.
    pub fn edges(&self) -> &[Option<Target>] {
        &self.edges
    }

    /// Adds a hook on output `i`; returns what [`HookHandle`] needs.
    fn add_hook(&self, i: u32, hook: Hook) -> u64 {
        let id = next_seq();
        lock(&self.hooks).push((id, i, hook));
        id
    }

    /// Runs the hooks of each output on its gradient.
    pub(super) fn run_hooks(&self, grads: &mut [Option<Tensor>]) -> Result<()> {
        let hooks = lock(&self.hooks).clone();
        for (_, i, hook) in hooks {
            if let Some(g) = &grads[i as usize]
                && let Some(new) = hook(g)?
            {
                check_like(&new, &Meta::of(g), "a hook's result")?;
                grads[i as usize] = Some(new);
            }
        }
        Ok(())
    }

    /// Gradients of the inputs.
    pub(super) fn apply(self: &Arc<Self>, grads: &[Option<Tensor>], retain: bool) -> Result<Grads> {
        let name = self.name();
        let mut out = match &self.kind {
            Kind::Custom(c) => {
                self.check_released(&name)?;
                let out = c.backward(grads)?;
                if !retain {
                    c.release();
                    *lock(&self.saved) = Keep::Released;
                }
                ensure!(
                    out.len() == self.edges.len(),
                    Runtime,
                    "{name}: backward must return one gradient for each of the {} inputs, got {}",
                    self.edges.len(),
                    out.len()
                );
                out
            }
            Kind::Op { def, attrs } => {
                let ctx = self.context(def, attrs, &name)?;
                let out = match &def.vjp {
                    Vjp::Rule { rule, .. } => rule(&ctx, grads)?,
                    Vjp::FromReference => from_reference(&ctx, grads)?,
                    Vjp::None { why } => bail!(NotImplemented, "{name}: has no gradient ({why})"),
                };
                drop(ctx);
                if !retain {
                    self.release();
                }
                out
            }
        };
        debug_assert!(out.len() <= self.edges.len(), "{name}: more gradients than inputs");
        for (i, g) in out.iter_mut().enumerate() {
            if self.edges[i].is_none() {
                *g = None;
            } else if let Some(t) = g {
                check_like(t, &self.in_metas[i], &format!("{name}: the gradient of input {i}"))?;
                if t.dtype() != self.in_metas[i].dtype {
                    *g = Some(crate::ops::cast(t, self.in_metas[i].dtype)?);
                }
            }
        }
        Ok(out)
    }

    fn check_released(&self, name: &str) -> Result<()> {
        ensure!(
            !matches!(*lock(&self.saved), Keep::Released),
            Runtime,
            "{name}: the tensors saved for its gradient were freed by an earlier backward; pass retain_graph=True there"
        );
        Ok(())
    }

    fn context<'a>(self: &'a Arc<Self>, def: &'static OpDef, attrs: &'a Attrs, name: &str) -> Result<VjpCtx<'a>> {
        self.check_released(name)?;
        let (mut inputs, mut outputs) = (SmallVec::new(), SmallVec::new());
        if let Keep::Tensors(saved) = &*lock(&self.saved) {
            for s in &saved.inputs {
                inputs.push(s.as_ref().map(|s| s.unpack(name, Some(self))).transpose()?);
            }
            for s in &saved.outputs {
                outputs.push(s.as_ref().map(|s| s.unpack(name, Some(self))).transpose()?);
            }
        }
        let needs = self.edges.iter().map(Option::is_some).collect();
        let (in_metas, out_metas) = (&self.in_metas, &self.out_metas);
        Ok(VjpCtx { def, attrs, inputs, outputs, in_metas, out_metas, needs, in_device: self.device })
    }

    fn release(&self) {
        let mut saved = lock(&self.saved);
        if matches!(*saved, Keep::Tensors(_)) {
            let old = std::mem::replace(&mut *saved, Keep::Released);
            // What was saved may own other nodes: let go of it without the lock.
            drop(saved);
            drop(old);
        }
    }
}

fn check_like(t: &Tensor, meta: &Meta, what: &str) -> Result<()> {
    ensure!(
        t.shape() == meta.shape.as_slice(),
        Runtime,
        "{what} must have shape {:?}, got {:?}",
        meta.shape,
        t.shape()
    );
    Ok(())
}

thread_local! {
    /// Nodes waiting to be dropped; a long chain must not recurse.
    static GRAVEYARD: RefCell<(bool, Vec<Target>)> = const { RefCell::new((false, Vec::new())) };
}

impl Drop for Node {
    fn drop(&mut self) {
        // Nodes that only this one holds would be dropped inside this drop, and theirs inside theirs.
        let last = |t: &Target| matches!(t, Target::Node(n, _) if Arc::strong_count(n) == 1);
        let saved = std::mem::take(self.saved.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner));
        let mut dead: SmallVec<[Target; 2]> = self.edges.drain(..).flatten().filter(last).collect();
        if let Keep::Tensors(saved) = saved {
            for s in saved.inputs.into_iter().chain(saved.outputs).flatten() {
                if let History::Target(t) = s.history
                    && last(&t)
                {
                    dead.push(t);
                }
            }
        }
        if dead.is_empty() {
            return;
        }
        let outermost = GRAVEYARD.try_with(|g| {
            let mut g = g.borrow_mut();
            g.1.extend(dead.drain(..));
            !std::mem::replace(&mut g.0, true)
        });
        if outermost != Ok(true) {
            return;
        }
        // `dead` may drop further nodes; they add to the list instead of recursing.
        while let Ok(Some(next)) = GRAVEYARD.try_with(|g| g.borrow_mut().1.pop()) {
            drop(next);
        }
        let _ = GRAVEYARD.try_with(|g| g.borrow_mut().0 = false);
    }
}

// ---------------------------------------------------------------------------------------------------------- recording

/// Gives the results of an op their history.
pub(crate) fn record(def: &'static OpDef, attrs: Attrs, inputs: &[&Tensor], outs: &[Tensor]) {
    if !outs.iter().any(|t| t.dtype().is_float()) {
        return;
    }
    let saves = match def.vjp {
        Vjp::Rule { saves, .. } => saves,
        Vjp::FromReference => Saves::INPUTS,
        Vjp::None { .. } => Saves::NOTHING,
    };
    // Ops with more than eight inputs keep all or nothing.
    // Ops with more than eight inputs keep all or nothing.
    let bit = |mask: u8, i: usize| mask >> i.min(7) & 1 == 1;
    let wanted = |i: usize| !saves.cross || inputs[1 - i].requires_grad();
    let input = |(i, t): (usize, &&Tensor)| (bit(saves.inputs, i) && wanted(i)).then(|| Saved::input(t));
    let output = |(i, t): (usize, &Tensor)| bit(saves.outputs, i).then(|| Saved::output(t, i));
    let keep = if saves == Saves::NOTHING {
        Keep::Nothing
    } else {
        Keep::Tensors(Box::new(SavedSet {
            inputs: inputs.iter().enumerate().map(input).collect(),
            outputs: outs.iter().enumerate().map(output).collect(),
        }))
    };
    let node = Arc::new(Node {
        seq: next_seq(),
        kind: Kind::Op { def, attrs },
        edges: inputs.iter().map(|t| if t.dtype().is_float() { t.target() } else { None }).collect(),
        in_metas: inputs.iter().map(|t| Meta::of(t)).collect(),
        out_metas: outs.iter().map(Meta::of).collect(),
        device: inputs.first().map_or(Device::Cpu, |t| t.device()),
        saved: Mutex::new(keep),
        hooks: Mutex::new(Vec::new()),
    });
    for (i, t) in outs.iter().enumerate() {
        if t.dtype().is_float() {
            t.init_target(Target::Node(node.clone(), i as u32));
        }
    }
}

/// Gives results computed outside (a Python `Function`) their history.
pub fn record_custom(backward: Box<dyn CustomBackward>, inputs: &[&Tensor], outs: &[&Tensor]) -> Arc<Node> {
    let node = Arc::new(Node {
        seq: next_seq(),
        kind: Kind::Custom(backward),
        edges: inputs.iter().map(|t| t.target()).collect(),
        in_metas: inputs.iter().map(|t| Meta::of(t)).collect(),
        out_metas: outs.iter().map(|t| Meta::of(t)).collect(),
        device: outs.first().map_or(Device::Cpu, |t| t.device()),
        saved: Mutex::default(),
        hooks: Mutex::new(Vec::new()),
    });
    for (i, t) in outs.iter().enumerate() {
        t.set_history(Some(Target::Node(node.clone(), i as u32)));
    }
    node
}

/// The history of a view whose parent got a new one.
pub(crate) fn view_target(def: &'static OpDef, attrs: &Attrs, parent: &Tensor, view: &Tensor) -> Option<Target> {
    let target = parent.target()?;
    let node = Arc::new(Node {
        seq: next_seq(),
        kind: Kind::Op { def, attrs: attrs.clone() },
        edges: SmallVec::from_iter([Some(target)]),
        in_metas: SmallVec::from_iter([Meta::of(parent)]),
        out_metas: SmallVec::from_iter([Meta::of(view)]),
        device: parent.device(),
        saved: Mutex::default(),
        hooks: Mutex::new(Vec::new()),
    });
    Some(Target::Node(node, 0))
}

/// After an in-place write `target` has the history of `result`; what it views has it inside its own.
pub(crate) fn rebase(target: &Tensor, result: &Tensor) -> Result<()> {
    rebase_to(target, result.target());
    Ok(())
}

fn rebase_to(target: &Tensor, new: Option<Target>) {
    if let Some(view) = target.view_info() {
        let parent = &view.parent;
        let node = Arc::new(Node {
            seq: next_seq(),
            kind: Kind::Op {
                def: &crate::ops::movement::VIEW_SCATTER,
                attrs: Attrs::View(Box::new((view.def, view.attrs.clone()))),
            },
            edges: SmallVec::from_iter([parent.target(), new.clone()]),
            in_metas: SmallVec::from_iter([Meta::of(parent), Meta::of(target)]),
            out_metas: SmallVec::from_iter([Meta::of(parent)]),
            device: parent.device(),
            saved: Mutex::default(),
            hooks: Mutex::new(Vec::new()),
        });
        rebase_to(parent, Some(Target::Node(node, 0)));
    }
    target.set_history(new);
    target.mark_seen();
}

// -------------------------------------------------------------------------------------------------------------- hooks

/// Removes a hook again.
pub struct HookHandle {
    target: Target,
    id: u64,
}

impl HookHandle {
    /// Takes the hook away; does nothing the second time.
    pub fn remove(&self) {
        match &self.target {
            Target::Leaf(l) => lock(&l.state).hooks.retain(|(id, _)| *id != self.id),
            Target::Node(n, _) => lock(&n.hooks).retain(|(id, ..)| *id != self.id),
        }
    }
}

impl Tensor {
    /// Calls `hook` with this tensor's gradient in each backward.
    pub fn register_hook(&self, hook: Hook) -> Result<HookHandle> {
        let Some(target) = self.target() else {
            bail!(Runtime, "register_hook: the tensor must require grad");
        };
        let id = match &target {
            Target::Leaf(l) => {
                let id = next_seq();
                lock(&l.state).hooks.push((id, hook));
                id
            }
            Target::Node(n, i) => n.add_hook(*i, hook),
        };
        Ok(HookHandle { target, id })
    }
}
