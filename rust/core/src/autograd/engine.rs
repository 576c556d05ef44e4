//! Backward: nodes are visited from the newest to the oldest, each once, when all of its gradient is there.

use super::mode::{self, ModeGuard};
use super::node::{Leaf, Node, Target, VjpCtx};
use crate::error::Result;
use crate::op::{self, Grads, Meta};
use crate::tensor::Tensor;
use crate::{bail, ensure, ops};
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

type Slots = SmallVec<[Option<Tensor>; 1]>;

/// Names a place where gradients can be picked up.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Leaf(usize),
    Output(u64, u32),
}

fn place(target: &Target) -> Place {
    match target {
        Target::Leaf(l) => Place::Leaf(Arc::as_ptr(l) as usize),
        Target::Node(n, i) => Place::Output(n.seq, *i),
    }
}

/// One walk over the graph.
#[derive(Default)]
struct Pass {
    /// Nodes that have received a gradient; a node's number is larger than those of its inputs.
    pending: BTreeMap<u64, (Arc<Node>, Slots)>,
    /// Leaves in the order they were reached, so that results do not depend on addresses.
    leaves: Vec<(Arc<Leaf>, Tensor)>,
    leaf_at: HashMap<usize, usize>,
    /// Asked-for gradients: place -> index into `captured`.
    wanted: HashMap<Place, Vec<usize>>,
    captured: Vec<Option<Tensor>>,
    /// Nodes on the way to what is wanted; all of them when nothing special is.
    useful: Option<HashMap<u64, bool>>,
}

impl Pass {
    fn send(&mut self, target: &Target, grad: Tensor) -> Result<()> {
        match target {
            Target::Leaf(leaf) => {
                let key = Arc::as_ptr(leaf) as usize;
                if self.useful.is_some() && !self.wanted.contains_key(&Place::Leaf(key)) {
                    return Ok(());
                }
                match self.leaf_at.get(&key) {
                    Some(&i) => self.leaves[i].1 = ops::add(&self.leaves[i].1, &grad)?,
                    None => {
                        self.leaf_at.insert(key, self.leaves.len());
                        self.leaves.push((leaf.clone(), grad));
                    }
                }
            }
            Target::Node(node, i) => {
                if let Some(useful) = &self.useful
                    && !useful.contains_key(&node.seq)
                {
                    return Ok(());
                }
                let n = node.out_metas.len();
                let slots =
                    &mut self.pending.entry(node.seq).or_insert_with(|| (node.clone(), smallvec::smallvec![None; n])).1;
                let slot = &mut slots[*i as usize];
                *slot = Some(match slot.take() {
                    None => grad,
                    Some(old) => ops::add(&old, &grad)?,
                });
            }
        }
        Ok(())
    }

    fn run(&mut self, retain: bool) -> Result<()> {
        while let Some((seq, (node, mut grads))) = self.pending.pop_last() {
            node.run_hooks(&mut grads)?;
            for (i, g) in grads.iter().enumerate() {
                if let Some(at) = self.wanted.get(&Place::Output(seq, i as u32)) {
                    for &k in at {
                        self.captured[k].clone_from(g);
                    }
                }
            }
            if let Some(useful) = &self.useful
                && useful.get(&seq) != Some(&true)
            {
                continue;
            }
            let inputs = node.apply(&grads, retain)?;
            // The incoming gradients die here, so that the next op may reuse their memory.
            drop(grads);
            for (edge, grad) in node.edges.iter().zip(inputs) {
                if let (Some(target), Some(grad)) = (edge, grad) {
                    self.send(target, grad)?;
                }
            }
        }
        Ok(())
    }

    /// Marks the nodes between the roots and what is wanted: `true` must run, `false` need only be reached.
    fn mark(&mut self, roots: &[Target]) {
        let mut found: BTreeMap<u64, Arc<Node>> = BTreeMap::new();
        let mut stack: Vec<Arc<Node>> = Vec::new();
        let mut push = |t: &Target, stack: &mut Vec<Arc<Node>>| {
            if let Target::Node(n, _) = t
                && found.insert(n.seq, n.clone()).is_none()
            {
                stack.push(n.clone());
            }
        };
        for t in roots {
            push(t, &mut stack);
        }
        while let Some(n) = stack.pop() {
            for t in n.edges.iter().flatten() {
                push(t, &mut stack);
            }
        }
        let mut useful: HashMap<u64, bool> = HashMap::new();
        for (seq, node) in &found {
            let run = node.edges.iter().flatten().any(|t| {
                self.wanted.contains_key(&place(t))
                    || matches!(t, Target::Node(n, _) if useful.get(&n.seq) == Some(&true))
            });
            let reached = (0..node.out_metas.len()).any(|i| self.wanted.contains_key(&Place::Output(*seq, i as u32)));
            if run || reached {
                useful.insert(*seq, run);
            }
        }
        self.useful = Some(useful);
    }
}

/// The gradients that start a pass: given ones, or one for a scalar.
fn seeds(op: &str, outputs: &[Tensor], grads: &[Option<Tensor>]) -> Result<Vec<(Target, Tensor)>> {
    let mut roots = Vec::new();
    for (i, t) in outputs.iter().enumerate() {
        let Some(target) = t.target() else {
            bail!(
                Runtime,
                "{op}: the tensor must require grad and have a history, got one without (shape {:?})",
                t.shape()
            );
        };
        let grad = match grads.get(i).and_then(Option::as_ref) {
            Some(g) => {
                ensure!(
                    g.shape() == t.shape(),
                    Runtime,
                    "{op}: the gradient must have the output's shape {:?}, got {:?}",
                    t.shape(),
                    g.shape()
                );
                ensure!(
                    g.device() == t.device(),
                    Value,
                    "{op}: the gradient must be on {}, got {}",
                    t.device(),
                    g.device()
                );
                ops::cast(g, t.dtype())?
            }
            None => {
                ensure!(
                    t.numel() == 1,
                    Runtime,
                    "{op}: a gradient can be created implicitly only for one-element outputs, got shape {:?}",
                    t.shape()
                );
                ops::full(t.shape(), 1.0, t.dtype(), t.device())?
            }
        };
        roots.push((target, grad));
    }
    Ok(roots)
}

/// Accumulates gradients into the leaves behind `outputs`, or into those of `inputs` only.
pub fn backward(
    outputs: &[Tensor],
    grads: &[Option<Tensor>],
    inputs: Option<&[Tensor]>,
    retain_graph: bool,
    create_graph: bool,
) -> Result<()> {
    let roots = seeds("backward", outputs, grads)?;
    let _mode = ModeGuard::new(create_graph);
    let mut pass = Pass::default();
    if let Some(inputs) = inputs {
        for t in inputs {
            match t.target() {
                Some(target @ Target::Leaf(_)) => pass.wanted.entry(place(&target)).or_default().clear(),
                _ => bail!(Runtime, "backward: inputs must be leaves that require grad, got shape {:?}", t.shape()),
            }
        }
        let targets: Vec<Target> = roots.iter().map(|(t, _)| t.clone()).collect();
        pass.mark(&targets);
    }
    for (target, grad) in roots {
        pass.send(&target, grad)?;
    }
    pass.run(retain_graph || create_graph)?;
    for (leaf, grad) in pass.leaves.drain(..) {
        let grad = leaf.run_hooks(grad)?;
        leaf.accumulate(grad)?;
    }
    Ok(())
}

/// Gradients of `outputs` with respect to `inputs`, without touching any `.grad`; `None` where there is no path.
pub fn grad(
    outputs: &[Tensor],
    inputs: &[Tensor],
    grads: &[Option<Tensor>],
    retain_graph: bool,
    create_graph: bool,
) -> Result<Vec<Option<Tensor>>> {
    let roots = seeds("grad", outputs, grads)?;
    let _mode = ModeGuard::new(create_graph);
    let mut pass = Pass { captured: vec![None; inputs.len()], ..Pass::default() };
    for (k, t) in inputs.iter().enumerate() {
        let Some(target) = t.target() else {
            bail!(Runtime, "grad: inputs must require grad, got one that does not (input {k})");
        };
        pass.wanted.entry(place(&target)).or_default().push(k);
    }
    let targets: Vec<Target> = roots.iter().map(|(t, _)| t.clone()).collect();
    pass.mark(&targets);
    for (target, grad) in roots {
        pass.send(&target, grad)?;
    }
    pass.run(retain_graph || create_graph)?;
    for (leaf, grad) in std::mem::take(&mut pass.leaves) {
        let grad = leaf.run_hooks(grad)?;
        for &k in &pass.wanted[&Place::Leaf(Arc::as_ptr(&leaf) as usize)] {
            pass.captured[k] = Some(grad.clone());
        }
    }
    Ok(pass.captured)
}

/// The gradient of an op by differentiating its reference; works at any order.
pub(super) fn from_reference(ctx: &VjpCtx, grads: &[Option<Tensor>]) -> Result<Grads> {
    let twice = mode::is_recording();
    let _mode = ModeGuard::new(true);
    let mut args: SmallVec<[Tensor; 4]> = SmallVec::new();
    for (i, needs) in ctx.needs.iter().enumerate() {
        let x = ctx.input(i);
        args.push(if !needs {
            x.detach()
        } else if twice {
            // An alias of its own for each argument, so that one tensor passed twice gets two gradients.
            ops::alias(x)?
        } else {
            let leaf = x.detach();
            leaf.set_requires_grad(true)?;
            leaf
        });
    }
    let outs = op::reference(ctx.def)(ctx.attrs, &args)?;
    let wanted: Vec<usize> = (0..args.len()).filter(|&i| ctx.needs[i]).collect();
    let inputs: Vec<Tensor> = wanted.iter().map(|&i| args[i].clone()).collect();
    let (mut ys, mut gs) = (Vec::new(), Vec::new());
    for (y, g) in outs.iter().zip(grads) {
        if let Some(g) = g
            && y.requires_grad()
        {
            ys.push(y.clone());
            gs.push(Some(g.clone()));
        }
    }
    debug_assert!(
        outs.iter().zip(ctx.out_metas).all(|(t, m)| Meta::of(t) == *m),
        "{}: its reference disagrees",
        ctx.def.name
    );
    let mut out: Grads = smallvec::smallvec![None; args.len()];
    for (i, g) in wanted.into_iter().zip(grad(&ys, &inputs, &gs, false, twice)?) {
        out[i] = g;
    }
    Ok(out)
}
