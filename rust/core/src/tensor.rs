//! The tensor: a layout over shared storage, with its place in the autograd graph.

use crate::autograd::{Leaf, Target};
use crate::dtype::{DType, Typed};
use crate::error::Result;
use crate::layout::{Layout, Shape};
use crate::op::{Attrs, OpDef};
use crate::storage::{Device, Memory, Storage};
use crate::{autograd, bail, ensure};
use pyneuro_kernels::array::{Buffer, Element, View, ViewMut};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A handle on a tensor; cloning it is cheap and names the same tensor.
#[derive(Clone)]
pub struct Tensor(Arc<Inner>);

struct Inner {
    storage: Arc<Storage>,
    layout: Layout,
    dtype: DType,
    /// Made from a Python number: its dtype gives way in promotion.
    scalar: bool,
    /// How it was made from another tensor over the same storage.
    view: Option<Box<ViewOf>>,
    grad: OnceLock<Box<GradMeta>>,
}

/// A view remembers its parent, so that an in-place write through either reaches the other's gradient.
pub struct ViewOf {
    /// The tensor that was viewed.
    pub parent: Tensor,
    /// The view op.
    pub def: &'static OpDef,
    /// Its attributes.
    pub attrs: Attrs,
    seen: AtomicU32,
}

/// A tensor's place in the graph; made when it first matters.
#[derive(Default)]
struct GradMeta {
    /// Times that an in-place op gave the tensor a new history.
    generation: AtomicU32,
    /// Whether `target` is there; asked for every input of every op, so without the lock.
    on: AtomicBool,
    target: Mutex<Option<Target>>,
}

/// Locks, ignoring poison: the data are replaced whole, so a panic elsewhere leaves them valid.
pub(crate) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tensor {
    /// A tensor over existing storage.
    #[inline]
    pub fn from_parts(storage: Arc<Storage>, layout: Layout, dtype: DType) -> Self {
        Self::restored(storage, layout, dtype, false)
    }

    /// A tensor that was taken apart, put together again; `scalar` if it stands for a Python number.
    #[inline]
    pub(crate) fn restored(storage: Arc<Storage>, layout: Layout, dtype: DType, scalar: bool) -> Self {
        Self(Arc::new(Inner { storage, layout, dtype, scalar, view: None, grad: OnceLock::new() }))
    }

    /// A view of `parent` made by `def`.
    pub(crate) fn view_of(
        parent: &Self,
        layout: Layout,
        dtype: DType,
        def: &'static OpDef,
        attrs: Attrs,
        track: bool,
    ) -> Self {
        let view = track.then(|| {
            Box::new(ViewOf { parent: parent.clone(), def, attrs, seen: AtomicU32::new(parent.generation()) })
        });
        Self(Arc::new(Inner {
            storage: parent.0.storage.clone(),
            layout,
            dtype,
            scalar: false,
            view,
            grad: OnceLock::new(),
        }))
    }

    /// New host memory with unspecified contents.
    #[inline]
    pub fn empty(shape: &[usize], dtype: DType) -> Result<Self> {
        let layout = Layout::contiguous(shape);
        let storage = Storage::cpu(layout.numel() * dtype.size())?;
        Ok(Self::from_parts(storage, layout, dtype))
    }

    /// New memory on `device` with unspecified contents.
    #[inline]
    pub fn empty_on(shape: &[usize], dtype: DType, device: Device) -> Result<Self> {
        match device {
            Device::Cpu => Self::empty(shape, dtype),
            Device::Gpu(index) => crate::gpu::empty(shape, dtype, index),
        }
    }

    /// A 0-d CPU tensor that counts as a Python number in promotion.
    pub fn scalar(value: f64, dtype: DType) -> Result<Self> {
        let storage = Storage::cpu(dtype.size())?;
        let t =
            Inner { storage, layout: Layout::contiguous(&[]), dtype, scalar: true, view: None, grad: OnceLock::new() };
        let t = Self(Arc::new(t));
        crate::dispatch!(dtype, T in all => t.write_first(T::from_f64(value)));
        Ok(t)
    }

    /// As [`Tensor::scalar`], exact for every int64.
    pub fn scalar_int(value: i64) -> Result<Self> {
        let t = Self::scalar(0.0, DType::I64)?;
        t.write_first(value);
        Ok(t)
    }

    fn write_first<T: Typed>(&self, value: T) {
        self.view_mut::<T>().into_slice().expect("a 0-d tensor is contiguous")[0] = value;
    }

    /// A CPU tensor with these elements.
    pub fn from_slice<T: Typed>(data: &[T], shape: &[usize]) -> Result<Self> {
        assert_eq!(data.len(), shape.iter().product::<usize>(), "from_slice: as many elements as the shape says");
        let t = Self::empty(shape, T::DTYPE)?;
        t.view_mut::<T>().into_slice().expect("a new tensor is contiguous").copy_from_slice(data);
        Ok(t)
    }

    /// The storage it shares with its views.
    #[inline]
    pub fn storage(&self) -> &Arc<Storage> {
        &self.0.storage
    }

    /// Its layout.
    #[inline]
    pub fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// Length of each dimension.
    #[inline]
    pub fn shape(&self) -> &[usize] {
        &self.0.layout.shape
    }

    /// Number of dimensions.
    #[inline]
    pub fn ndim(&self) -> usize {
        self.0.layout.shape.len()
    }

    /// Number of elements.
    #[inline]
    pub fn numel(&self) -> usize {
        self.0.layout.numel()
    }

    /// Element type.
    #[inline]
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// Where it lives.
    #[inline]
    pub fn device(&self) -> Device {
        self.0.storage.device()
    }

    /// Whether it stands for a Python number.
    #[inline]
    pub fn is_scalar(&self) -> bool {
        self.0.scalar
    }

    /// Whether both name the same tensor.
    #[inline]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// An address that names this tensor while it lives.
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// Row-major and dense.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.0.layout.is_contiguous()
    }

    /// Its host memory; the dispatcher guarantees the device, so anything else is a defect here.
    #[inline]
    pub fn buffer(&self) -> &Buffer {
        match &self.0.storage.memory {
            Memory::Cpu(b) => b,
            Memory::Gpu(_) => unreachable!("a CPU kernel got a GPU tensor"),
        }
    }

    /// The elements of a CPU tensor.
    #[inline]
    pub fn view<T: Element>(&self) -> View<'_, T> {
        let l = &self.0.layout;
        self.buffer().view(&l.shape, &l.strides, l.offset)
    }

    /// The elements of a CPU tensor, to write.
    #[inline]
    pub fn view_mut<T: Element>(&self) -> ViewMut<'_, T> {
        let l = &self.0.layout;
        self.buffer().view_mut(&l.shape, &l.strides, l.offset)
    }

    /// The elements of a row-major CPU tensor.
    #[inline]
    pub fn slice<T: Element>(&self) -> &[T] {
        self.view::<T>().as_slice().expect("the caller made the tensor contiguous")
    }

    /// The elements of a row-major CPU tensor, to write: tensors share memory as in NumPy, so this takes `&self`.
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "see the note on data races in pyneuro_kernels::array")]
    pub fn slice_mut<T: Element>(&self) -> &mut [T] {
        self.view_mut::<T>().into_slice().expect("the caller made the tensor contiguous")
    }

    /// The single element of a one-element tensor, as a double; waits for the GPU.
    pub fn item_f64(&self) -> Result<f64> {
        ensure!(self.numel() == 1, Value, "item: a tensor with one element is required, got shape {:?}", self.shape());
        let cpu = self.to_cpu()?;
        Ok(crate::dispatch!(cpu.dtype(), T in all => cpu.view::<T>().first().to_f64()))
    }

    /// The single element of a one-element integer or bool tensor.
    pub fn item_i64(&self) -> Result<i64> {
        ensure!(self.numel() == 1, Value, "item: a tensor with one element is required, got shape {:?}", self.shape());
        let cpu = self.to_cpu()?;
        Ok(crate::dispatch!(cpu.dtype(), T in all => cpu.view::<T>().first().to_i64()))
    }

    /// Itself, or a copy in host memory (without history).
    pub fn to_cpu(&self) -> Result<Self> {
        match self.device() {
            Device::Cpu => Ok(self.clone()),
            Device::Gpu(_) => crate::gpu::download(self),
        }
    }

    /// The elements in row-major order, from either device.
    pub fn to_vec<T: Typed>(&self) -> Result<Vec<T>> {
        ensure!(self.dtype() == T::DTYPE, Type, "to_vec: dtype must be {}, got {}", T::DTYPE, self.dtype());
        let t = crate::ops::contiguous(&self.detach().to_cpu()?)?;
        Ok(t.view::<T>().as_slice().expect("made contiguous").to_vec())
    }

    /// The same elements without history; shares storage and version counter.
    pub fn detach(&self) -> Self {
        let t = &self.0;
        Self(Arc::new(Inner {
            storage: t.storage.clone(),
            layout: t.layout.clone(),
            dtype: t.dtype,
            scalar: t.scalar,
            view: None,
            grad: OnceLock::new(),
        }))
    }

    // ---- autograd ----

    /// How it views another tensor, if it does.
    pub fn view_info(&self) -> Option<&ViewOf> {
        self.0.view.as_deref()
    }

    fn meta(&self) -> &GradMeta {
        self.0.grad.get_or_init(Box::default)
    }

    fn generation(&self) -> u32 {
        self.0.grad.get().map_or(0, |m| m.generation.load(Ordering::Relaxed))
    }

    /// Where its gradient goes: a leaf's accumulator, or the node that computed it.
    #[inline]
    pub fn target(&self) -> Option<Target> {
        if let Some(view) = &self.0.view {
            self.refresh(view);
        }
        let meta = self.0.grad.get()?;
        lock(&meta.target).clone()
    }

    /// A view whose parent was written in place takes its history from the parent's new one.
    fn refresh(&self, view: &ViewOf) {
        if let Some(up) = &view.parent.0.view {
            view.parent.refresh(up);
        }
        let now = view.parent.generation();
        if view.seen.swap(now, Ordering::Relaxed) != now {
            let target = autograd::view_target(view.def, &view.attrs, &view.parent, self);
            self.set_history(target);
        }
    }

    /// First history of a result that nobody else has seen yet.
    pub(crate) fn init_target(&self, target: Target) {
        let meta = self.meta();
        *lock(&meta.target) = Some(target);
        meta.on.store(true, Ordering::Release);
    }

    /// Replaces the history; views of this tensor notice through the generation.
    pub(crate) fn set_history(&self, target: Option<Target>) {
        let meta = self.meta();
        meta.on.store(target.is_some(), Ordering::Release);
        *lock(&meta.target) = target;
        meta.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// After its own in-place write a view is up to date with its parent.
    pub(crate) fn mark_seen(&self) {
        if let Some(v) = &self.0.view {
            v.seen.store(v.parent.generation(), Ordering::Relaxed);
        }
    }

    /// Whether gradients flow to it.
    #[inline]
    pub fn requires_grad(&self) -> bool {
        if let Some(view) = &self.0.view {
            self.refresh(view);
        }
        self.0.grad.get().is_some_and(|meta| meta.on.load(Ordering::Acquire))
    }

    /// Whether the user made it (or it has no history): `.grad` is kept only here.
    pub fn is_leaf(&self) -> bool {
        !matches!(self.target(), Some(Target::Node(..)))
    }

    /// The accumulator of a leaf that requires grad.
    pub fn leaf(&self) -> Option<Arc<Leaf>> {
        match self.target() {
            Some(Target::Leaf(leaf)) => Some(leaf),
            _ => None,
        }
    }

    /// Makes a leaf require grad, or stop requiring it.
    pub fn set_requires_grad(&self, on: bool) -> Result<()> {
        match self.target() {
            Some(Target::Node(..)) => {
                ensure!(
                    on,
                    Runtime,
                    "requires_grad_: only leaf tensors can change it, got the result of an op (use .detach())"
                );
            }
            Some(Target::Leaf(_)) if !on => self.set_history(None),
            Some(Target::Leaf(_)) => {}
            None if on => {
                ensure!(
                    self.dtype().is_float(),
                    Runtime,
                    "requires_grad_: only floating-point tensors can require gradients, got {}",
                    self.dtype()
                );
                self.set_history(Some(Target::Leaf(Leaf::new(self))));
            }
            None => {}
        }
        Ok(())
    }

    /// Gives a new tensor the leaf (gradient, hooks) of this one: the same parameter with other data.
    pub fn adopt_leaf(&self, from: &Self) -> Result<()> {
        match from.target() {
            Some(Target::Leaf(leaf)) => {
                leaf.rebind(self);
                self.set_history(Some(Target::Leaf(leaf)));
            }
            Some(Target::Node(..)) => {
                bail!(Runtime, "data: only a leaf's data can be replaced, got the result of an op")
            }
            None => {}
        }
        Ok(())
    }

    /// The accumulated gradient of a leaf.
    pub fn grad(&self) -> Option<Self> {
        self.leaf().and_then(|l| l.grad())
    }

    /// Shape as a small vector.
    pub fn shape_vec(&self) -> Shape {
        self.0.layout.shape.clone()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({:?}, {}, {})", self.shape(), self.dtype(), self.device())
    }
}
