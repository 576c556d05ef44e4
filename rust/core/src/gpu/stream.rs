//! The recorded stream of one device: ops are noted down, and run together when somebody needs a result.

use super::executor::{BufferId, BufferView, Call, Executor, Limits, MAX_BUFFERS, PARAM_WORDS, PipelineId};
use super::pool::{MemoryStats, Pool};
use super::shader::ShaderKey;
use crate::error::{Error, Result};
use crate::{bail, ensure, err};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

/// A batch this long is submitted without waiting for a reader, so that the device is not idle while Rust records.
const FLUSH_AT: usize = 96;
/// Adapters beyond this are not addressed.
const MAX_DEVICES: usize = 16;

/// Size of the buffer that faults are reported in: op, index, size of the dimension (-1: a zero divisor).
const FAULT_BYTES: usize = 16;
/// The ops that report bad indices and divisors; a kernel names one by its position.
pub(super) const FAULT_OPS: [&str; 8] =
    ["gather", "index_select", "index_add", "scatter", "scatter_add", "floor_divide", "remainder", "fmod"];

/// How the executor of an adapter is made; set once by the binding that has one.
pub type Factory = fn(u8) -> Result<Box<dyn Executor>>;

static FACTORY: OnceLock<Factory> = OnceLock::new();
static STREAMS: [OnceLock<Stream>; MAX_DEVICES] = [const { OnceLock::new() }; MAX_DEVICES];

/// Tells this crate how to reach a GPU.
pub fn set_executor_factory(factory: Factory) {
    let _ = FACTORY.set(factory); // a second call can only be the same module imported again
}

/// The stream of adapter `index`, opening the device on first use.
pub fn stream(index: u8) -> Result<&'static Stream> {
    let slot = STREAMS.get(usize::from(index));
    let slot = slot.ok_or_else(|| err!(Runtime, "gpu: device index must be below {MAX_DEVICES}, got {index}"))?;
    if slot.get().is_none() {
        let factory = FACTORY.get().ok_or_else(|| err!(Runtime, "gpu: no GPU runtime is attached to this process"))?;
        // Not inside get_or_init: the factory runs foreign code, which may wait for a thread that waits for the slot.
        let opened = Stream::new(factory(index)?);
        let _ = slot.set(opened); // whoever was first wins; both drive the same device
    }
    Ok(slot.get().expect("set above"))
}

/// Submits what is recorded on device `index`, if it was ever used.
pub fn flush(index: u8) -> Result<()> {
    match STREAMS.get(usize::from(index)).and_then(OnceLock::get) {
        Some(stream) => stream.lock()?.flush(stream),
        None => Ok(()),
    }
}

/// A dispatch to record.
#[derive(Debug)]
pub struct KernelCall {
    /// Shader and variant.
    pub shader: ShaderKey,
    /// Outputs, then inputs, in binding order from 1.
    pub buffers: SmallVec<[BufferView; MAX_BUFFERS]>,
    /// The parameter slot, at most [`PARAM_WORDS`].
    pub params: SmallVec<[u32; PARAM_WORDS]>,
    /// Workgroups; see [`fold_groups`](super::launch::fold_groups).
    pub grid: [u32; 3],
}

/// One device: its executor, what is recorded for it, and its memory.
pub struct Stream {
    executor: Box<dyn Executor>,
    limits: Limits,
    /// Held across executor calls, so only ever waited for with the host language's locks released.
    state: Mutex<State>,
    /// The thread inside `state`, to tell re-entry (a signal handler, a finalizer) from contention; 0 for none.
    owner: AtomicUsize,
    /// Buffers whose tensors are gone.  Apart from `state` because a tensor may die anywhere, even inside an executor call.
    dropped: Mutex<Vec<(usize, BufferId)>>,
    process: u32,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    params: Vec<u32>,
    pipelines: HashMap<ShaderKey, PipelineId>,
    pool: Pool,
    /// The buffer that indexing kernels report to, and whether one has run since it was last read.
    fault: Option<BufferId>,
    fault_possible: bool,
    dispatches: u64,
    submissions: u64,
    /// Why an earlier batch could not run: whatever is read now may be stale.
    failed: Option<String>,
}

/// What a stream has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamStats {
    /// Kernels recorded.
    pub dispatches: u64,
    /// Batches submitted.
    pub submissions: u64,
    /// Pipelines compiled.
    pub pipelines: usize,
}

struct Locked<'a> {
    state: MutexGuard<'a, State>,
    owner: &'a AtomicUsize,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.owner.store(0, Ordering::Relaxed);
    }
}

/// Distinguishes threads by the address of a thread-local.
fn thread_token() -> usize {
    thread_local!(static TOKEN: u8 = const { 0 });
    TOKEN.with(|t| std::ptr::from_ref(t).addr())
}

impl Stream {
    fn new(executor: Box<dyn Executor>) -> Self {
        Self {
            limits: executor.limits(),
            executor,
            state: Mutex::default(),
            owner: AtomicUsize::new(0),
            dropped: Mutex::default(),
            process: std::process::id(),
        }
    }

    /// What the adapter allows.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    fn lock(&self) -> Result<Locked<'_>> {
        ensure!(
            self.process == std::process::id(),
            Runtime,
            "gpu: a device cannot be used in a forked process; start it with the spawn method"
        );
        let state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                ensure!(
                    self.owner.load(Ordering::Relaxed) != thread_token(),
                    Runtime,
                    "gpu: used from inside one of its own calls (a signal handler or a finalizer)"
                );
                let mut state = None;
                self.executor.detached(&mut || state = Some(self.state.lock().unwrap_or_else(PoisonError::into_inner)));
                state.ok_or_else(|| err!(Runtime, "gpu: the device's lock could not be taken"))?
            }
        };
        self.owner.store(thread_token(), Ordering::Relaxed);
        Ok(Locked { state, owner: &self.owner })
    }

    /// A buffer of at least `bytes`, its contents unspecified; returns its id and true size.
    pub(super) fn alloc(&self, bytes: usize) -> Result<(BufferId, usize)> {
        let class = Pool::class(bytes);
        ensure!(
            class <= self.limits.buffer_size,
            Memory,
            "gpu: a buffer can have at most {} bytes on this adapter (max-buffer-size), got {bytes}",
            self.limits.buffer_size
        );
        let mut locked = self.lock()?;
        locked.state.collect(&self.dropped);
        if let Some(id) = locked.state.pool.take(class) {
            return Ok((id, class));
        }
        if locked.state.pool.is_overfull() {
            locked.trim(self)?;
        }
        let id = match self.executor.alloc(class) {
            Ok(id) => id,
            Err(_) => {
                // Memory that is only cached, or only waiting to be submitted, may be what is missing.
                locked.trim(self)?;
                self.executor.alloc(class)?
            }
        };
        locked.state.pool.note_use(class);
        Ok((id, class))
    }

    /// Where kernels leave a note of a bad index, which the next host read turns into an error.
    pub(super) fn fault_buffer(&self) -> Result<BufferView> {
        let mut locked = self.lock()?;
        let state = &mut *locked.state;
        let buffer = match state.fault {
            Some(buffer) => buffer,
            None => *state.fault.insert(self.executor.alloc(FAULT_BYTES)?), // new buffers are zero: no fault
        };
        state.fault_possible = true;
        Ok(BufferView { buffer, offset: 0, size: FAULT_BYTES })
    }

    pub(super) fn release(&self, id: BufferId, class: usize) {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner).push((class, id));
    }

    /// Writes host bytes (a multiple of 4) to the start of a buffer.
    pub(super) fn upload(&self, buffer: BufferId, data: &[u8]) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let mut locked = self.lock()?;
        // The write happens before the next submission, so ahead of anything recorded that still uses the buffer.
        if locked.state.calls.iter().any(|call| call.buffers.iter().any(|view| view.buffer == buffer)) {
            locked.flush(self)?;
        }
        self.executor.upload(buffer, 0, data)
    }

    /// Runs everything recorded and reads the start of a buffer (a multiple of 4 bytes).
    pub(super) fn download(&self, buffer: BufferId, offset: usize, out: &mut [u8]) -> Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let mut locked = self.lock()?;
        locked.flush(self)?;
        self.executor.download(buffer, offset, out)?;
        locked.check_fault(self)
    }

    /// Notes a dispatch; it runs at the next flush.
    pub fn record(&self, mut call: KernelCall) -> Result<()> {
        if call.grid.contains(&0) {
            return Ok(());
        }
        debug_assert!(call.params.len() <= PARAM_WORDS && call.buffers.len() <= MAX_BUFFERS);
        let mut locked = self.lock()?;
        let state = &mut *locked.state;
        let pipeline = match state.pipelines.get(&call.shader) {
            Some(&pipeline) => pipeline,
            None => {
                let label = call.shader.label();
                let (wgsl, access) = call.shader.source().map_err(|e| err!(Runtime, "gpu: {e}"))?;
                ensure!(
                    access.len() == call.buffers.len(),
                    Runtime,
                    "gpu: shader {label} declares {} buffers, got {}",
                    access.len(),
                    call.buffers.len()
                );
                let pipeline = self.executor.pipeline(&label, &wgsl, &access)?;
                state.pipelines.insert(call.shader.clone(), pipeline);
                pipeline
            }
        };
        call.params.resize(PARAM_WORDS, 0);
        state.calls.push(Call { pipeline, buffers: call.buffers, grid: call.grid });
        state.params.extend_from_slice(&call.params);
        state.dispatches += 1;
        if state.calls.len() >= FLUSH_AT { locked.flush(self) } else { Ok(()) }
    }

    /// Runs everything recorded and waits for it.
    pub fn synchronize(&self) -> Result<()> {
        let mut locked = self.lock()?;
        locked.flush(self)?;
        self.executor.synchronize()?;
        locked.check_fault(self)
    }

    /// Gives cached memory back to the system.
    pub fn empty_cache(&self) -> Result<()> {
        let mut locked = self.lock()?;
        locked.state.collect(&self.dropped);
        locked.trim(self)
    }

    /// Bytes held.
    pub fn memory(&self) -> Result<MemoryStats> {
        let mut locked = self.lock()?;
        locked.state.collect(&self.dropped);
        Ok(locked.state.pool.stats())
    }

    /// Starts a new measurement of [`MemoryStats::peak`].
    pub fn reset_peak_memory(&self) -> Result<()> {
        let mut locked = self.lock()?;
        locked.state.collect(&self.dropped);
        locked.state.pool.reset_peak();
        Ok(())
    }

    /// What was done so far.
    pub fn stats(&self) -> Result<StreamStats> {
        let locked = self.lock()?;
        let state = &locked.state;
        Ok(StreamStats {
            dispatches: state.dispatches,
            submissions: state.submissions,
            pipelines: state.pipelines.len(),
        })
    }
}

impl State {
    fn collect(&mut self, dropped: &Mutex<Vec<(usize, BufferId)>>) {
        let list = std::mem::take(&mut *dropped.lock().unwrap_or_else(PoisonError::into_inner));
        for (class, id) in list {
            self.pool.put(class, id);
        }
    }
}

impl Locked<'_> {
    fn flush(&mut self, stream: &Stream) -> Result<()> {
        let state = &mut *self.state;
        if let Some(message) = &state.failed {
            bail!(Runtime, "gpu: an earlier batch could not run, so results on this device are lost: {message}");
        }
        if state.calls.is_empty() {
            return Ok(());
        }
        match stream.executor.submit(&state.calls, &state.params) {
            Ok(()) => state.submissions += 1,
            Err(error) if error.foreign.is_some() => return Err(error), // interrupted: the batch waits for the next flush
            Err(error) => {
                state.failed = Some(error.message.clone());
                return Err(Error::new(error.kind, error.message));
            }
        }
        state.calls.clear();
        state.params.clear();
        Ok(())
    }

    /// Raises for an index that a kernel found out of range.
    fn check_fault(&mut self, stream: &Stream) -> Result<()> {
        let Some(buffer) = self.state.fault else { return Ok(()) };
        if !std::mem::take(&mut self.state.fault_possible) {
            return Ok(());
        }
        let mut bytes = [0u8; FAULT_BYTES];
        stream.executor.download(buffer, 0, &mut bytes)?;
        let word = |i: usize| i32::from_ne_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]]);
        if word(2) == 0 {
            return Ok(());
        }
        stream.executor.upload(buffer, 0, &[0; FAULT_BYTES])?;
        let op = FAULT_OPS.get(word(0) as usize).copied().unwrap_or("index");
        ensure!(word(2) > 0, ZeroDivision, "{op}: integer division by zero");
        bail!(Index, "{op}: index must be in [0, {}), got {}", word(2), word(1))
    }

    /// Frees every cached buffer.  Recorded calls may name them, so those run first.
    fn trim(&mut self, stream: &Stream) -> Result<()> {
        self.flush(stream)?;
        for id in self.state.pool.drain() {
            stream.executor.free(id)?;
        }
        Ok(())
    }
}
