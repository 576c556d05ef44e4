//! A fork-join thread pool for numeric kernels.
//!
//! One region runs at a time. The caller is one of the threads; workers join if they are awake and something is left.
//! Nobody waits for a worker that has not started: the caller claims chunks until none is left and then waits only for
//! chunks that somebody is really computing. So a descheduled worker costs nothing, and a region entered while another
//! Python thread (or an enclosing region) already uses the pool simply runs on its caller.
//!
//! Every thread starts with its own share of the chunks and then helps with the others': data that one region leaves in
//! a core's cache is found there by the next region over the same data.
//!
//! Chunk edges are chosen by the caller of [`parallel_for`], never by the pool, so results cannot depend on the number
//! of threads as long as chunks write disjoint data.

use std::any::Any;
use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::*};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

/// Most threads [`set_num_threads`] and `PYNEURO_NUM_THREADS` accept.
const MAX_THREADS: usize = 1024;

/// Number of threads the next region may use; 0 means not decided yet.
static THREADS: AtomicUsize = AtomicUsize::new(0);
/// The live pool, leaked on purpose: a worker may still look at it after it was replaced. Null before first use and
/// in a freshly forked child.
static POOL: AtomicPtr<Shared> = AtomicPtr::new(ptr::null_mut());
/// Guards creation and replacement of `POOL`.
static BUILDING: AtomicBool = AtomicBool::new(false);

type Task = *const (dyn Fn(usize) + Sync);

/// What a region is: written by the caller before `remaining` is set, read only by those who claimed a chunk of it.
#[derive(Clone, Copy)]
struct Job {
    task: Task,
    chunks: usize,
}

/// Puts a value on its own pair of cache lines (the adjacent-line prefetcher works on pairs).
#[repr(align(128))]
struct Padded<T>(T);

struct Shared {
    /// Threads including the caller.
    size: usize,
    spin: Duration,
    /// Taken by the caller for the length of a region.
    busy: AtomicBool,
    job: UnsafeCell<Option<Job>>,
    /// For each thread, the chunks of its share that nobody has claimed. A successful decrement is the claim.
    remaining: Box<[Padded<AtomicUsize>]>,
    /// Counts the jobs: those who found nothing to claim wait for it to change.
    jobs: Padded<AtomicUsize>,
    /// Chunks of the current job that are finished.
    done: Padded<AtomicUsize>,
    /// Set when a chunk panicked: the rest of the job is claimed but not run.
    failed: AtomicBool,
    payload: Mutex<Option<Box<dyn Any + Send>>>,
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    caller_waits: AtomicBool,
    finish: Mutex<()>,
    finished: Condvar,
    retired: AtomicBool,
}

// SAFETY: `job` is the only field that is not Sync. It is written by the thread that holds `busy` while every chunk of
// the previous job is done, published by the stores to `remaining`, and read only after an acquiring claim of
// one of its chunks, which keeps the next write away until that chunk is counted in `done`.
unsafe impl Sync for Shared {}
// SAFETY: as above; the raw task pointer is only followed under a claim.
unsafe impl Send for Shared {}

/// Locks a mutex that protects no invariant a panic could break.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Shared {
    fn new(size: usize) -> Self {
        Shared {
            size,
            spin: spin_time(),
            busy: AtomicBool::new(false),
            job: UnsafeCell::new(None),
            remaining: (0..size).map(|_| Padded(AtomicUsize::new(0))).collect(),
            jobs: Padded(AtomicUsize::new(0)),
            done: Padded(AtomicUsize::new(0)),
            failed: AtomicBool::new(false),
            payload: Mutex::new(None),
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            caller_waits: AtomicBool::new(false),
            finish: Mutex::new(()),
            finished: Condvar::new(),
            retired: AtomicBool::new(false),
        }
    }

    /// Claims one chunk, of thread `own`'s share first; returns whose share it is from, and how many chunks that had
    /// left before the claim.
    fn claim(&self, own: usize) -> Option<(usize, usize)> {
        for owner in (own..self.size).chain(0..own) {
            let remaining = &self.remaining[owner].0;
            let mut left = remaining.load(SeqCst);
            while left > 0 {
                match remaining.compare_exchange_weak(left, left - 1, SeqCst, SeqCst) {
                    Ok(_) => return Some((owner, left)),
                    Err(now) => left = now,
                }
            }
        }
        None
    }

    /// End of thread `owner`'s share of `chunks` chunks; it starts where the previous one ends.
    fn share_end(&self, owner: usize, chunks: usize) -> usize {
        (owner + 1) * (chunks / self.size) + ((owner + 1) * (chunks % self.size)).div_ceil(self.size)
    }

    /// Runs chunks of the current job as thread `own` until none is left; returns whether it ran any.
    fn work(&self, own: usize) -> bool {
        let Some(mut claimed) = self.claim(own) else { return false };
        // SAFETY: we hold a claim on a chunk of the current job, so nobody writes `job` until we report it done.
        let job = unsafe { (*self.job.get()).expect("a claimed chunk belongs to a job") };
        // SAFETY: the caller of `parallel_for` keeps the closure alive until all claimed chunks are reported done.
        let task = unsafe { &*job.task };
        let mut ran = 0;
        loop {
            let (owner, left) = claimed;
            if !self.failed.load(Relaxed)
                && let Err(payload) = catch_unwind(AssertUnwindSafe(|| task(self.share_end(owner, job.chunks) - left)))
            {
                self.failed.store(true, Relaxed);
                lock(&self.payload).get_or_insert(payload);
            }
            ran += 1;
            match self.claim(own) {
                Some(next) => claimed = next,
                None => break,
            }
        }
        if self.done.0.fetch_add(ran, SeqCst) + ran == job.chunks && self.caller_waits.load(SeqCst) {
            drop(lock(&self.finish));
            self.finished.notify_all();
        }
        true
    }

    /// Wakes one sleeping worker if there is one; each woken worker wakes the next while work is left, so the caller
    /// pays for one wake-up however many threads there are.
    fn wake_one(&self) {
        if self.sleepers.load(SeqCst) > 0 {
            drop(lock(&self.sleep));
            self.wake.notify_one();
        }
    }

    fn run(&self, chunks: usize, f: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only the lifetime changes. `run` returns after every claimed chunk is done, so nobody follows the
        // pointer later.
        let task: Task = unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Task>(f) };
        // SAFETY: we hold `busy` and the previous job is complete, so no claim exists.
        unsafe { *self.job.get() = Some(Job { task, chunks }) };
        self.done.0.store(0, Relaxed);
        self.failed.store(false, Relaxed);
        let mut start = 0;
        for (owner, remaining) in self.remaining.iter().enumerate() {
            let end = self.share_end(owner, chunks);
            if end > start {
                remaining.0.store(end - start, SeqCst);
            }
            start = end;
        }
        self.jobs.0.fetch_add(1, SeqCst);
        self.wake_one();
        self.work(0);
        self.await_others(chunks);
        let failed = self.failed.load(Relaxed);
        let payload = if failed { lock(&self.payload).take() } else { None };
        self.busy.store(false, Release);
        if let Some(payload) = payload {
            resume_unwind(payload);
        }
    }

    /// Waits for the chunks other threads have claimed.
    fn await_others(&self, chunks: usize) {
        if spin_until(Duration::from_micros(50), || self.done.0.load(SeqCst) == chunks) {
            return;
        }
        self.caller_waits.store(true, SeqCst);
        let mut guard = lock(&self.finish);
        while self.done.0.load(SeqCst) != chunks {
            guard = self.finished.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        drop(guard);
        self.caller_waits.store(false, SeqCst);
    }

    /// The life of worker `own`.
    fn worker(&self, own: usize) {
        loop {
            // Read before looking for work: a job that comes after the look changes it.
            let seen = self.jobs.0.load(SeqCst);
            if self.work(own) {
                continue;
            }
            let news = || self.jobs.0.load(SeqCst) != seen || self.retired.load(SeqCst);
            if !spin_until(self.spin, news) {
                let mut guard = lock(&self.sleep);
                self.sleepers.fetch_add(1, SeqCst);
                while !news() {
                    guard = self.wake.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner());
                }
                self.sleepers.fetch_sub(1, SeqCst);
                drop(guard);
                if self.remaining.iter().any(|remaining| remaining.0.load(SeqCst) > 0) {
                    self.wake_one();
                }
            }
            if self.retired.load(SeqCst) {
                return;
            }
        }
    }
}

/// Spins until `ready` or until `limit` has passed; returns whether it became ready.
fn spin_until(limit: Duration, ready: impl Fn() -> bool) -> bool {
    if ready() {
        return true;
    }
    if limit.is_zero() {
        return false;
    }
    let start = Instant::now();
    loop {
        for _ in 0..16 {
            std::hint::spin_loop();
            if ready() {
                return true;
            }
        }
        if start.elapsed() > limit {
            return false;
        }
    }
}

/// How long an idle worker spins before it sleeps. `PYNEURO_SPIN_US=0` makes it sleep at once.
fn spin_time() -> Duration {
    let micros = std::env::var("PYNEURO_SPIN_US").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(50);
    Duration::from_micros(u64::min(micros, 10_000))
}

/// The pool for the current number of threads, creating or replacing it if necessary; `None` when another thread is
/// doing so right now or when the system refuses threads.
fn pool(size: usize) -> Option<&'static Shared> {
    // SAFETY: pools are leaked, so a non-null pointer is valid for ever.
    let current = unsafe { POOL.load(Acquire).as_ref() };
    match current {
        Some(shared) if shared.size == size => Some(shared),
        _ => rebuild(size),
    }
}

#[cold]
fn rebuild(size: usize) -> Option<&'static Shared> {
    if BUILDING.swap(true, Acquire) {
        return None;
    }
    watch_forks();
    let shared: &'static Shared = Box::leak(Box::new(Shared::new(size)));
    for index in 1..size {
        let name = format!("pyneuro-{index}");
        // With fewer workers than asked for (a process limit) the pool still works: the caller takes every chunk.
        if std::thread::Builder::new().name(name).spawn(move || shared.worker(index)).is_err() {
            break;
        }
    }
    let old = POOL.swap(ptr::from_ref(shared).cast_mut(), AcqRel);
    // SAFETY: as in `pool`.
    if let Some(old) = unsafe { old.as_ref() } {
        old.retired.store(true, SeqCst);
        drop(lock(&old.sleep));
        old.wake.notify_all();
    }
    BUILDING.store(false, Release);
    Some(shared)
}

/// A forked child has the pool's memory but none of its threads; it must forget the pool and build its own.
fn watch_forks() {
    #[cfg(unix)]
    {
        extern "C" fn forget_pool() {
            POOL.store(ptr::null_mut(), Release);
            BUILDING.store(false, Release);
        }
        static HOOK: std::sync::Once = std::sync::Once::new();
        // SAFETY: the handler only stores to atomics, which is allowed between fork and exec.
        HOOK.call_once(|| unsafe {
            libc::pthread_atfork(None, None, Some(forget_pool));
        });
    }
}

/// Calls `f(0)`, `f(1)`, ..., `f(chunks - 1)`, each exactly once, on up to [`num_threads`] threads, and returns when
/// all have returned.
///
/// Chunks must be independent. Every thread takes those of its own share first, in ascending order. Runs on the caller alone when there is one chunk,
/// one thread, or when the pool is in use already (a nested region, or another thread's). A hand-off to an awake
/// worker costs about half a microsecond, so make a chunk worth a few microseconds.
///
/// # Panics
/// A panic in a chunk is caught, the chunks nobody has started are skipped, and the panic continues on the caller.
pub fn parallel_for(chunks: usize, f: &(dyn Fn(usize) + Sync)) {
    // A test that forces an instruction set means the whole region, not the calling thread alone.
    #[cfg(test)]
    let f = &crate::isa::test_override::inherited(f);
    let size = num_threads();
    if chunks > 1
        && size > 1
        && let Some(shared) = pool(size)
        && !shared.busy.swap(true, Acquire)
    {
        shared.run(chunks, f);
        return;
    }
    for index in 0..chunks {
        f(index);
    }
}

/// Splits `0..n` into ranges of `grain` elements (the last may be shorter) and runs `f` on each, in parallel.
///
/// The edges depend on `n` and `grain` only. With `n <= grain` it is a plain call.
pub fn chunked(n: usize, grain: usize, f: impl Fn(Range<usize>) + Sync) {
    let grain = grain.max(1);
    if n <= grain {
        if n > 0 {
            f(0..n);
        }
        return;
    }
    parallel_for(n.div_ceil(grain), &|index| {
        let start = index * grain;
        f(start..n.min(start + grain));
    });
}

/// Number of threads a region may use, the caller included.
pub fn num_threads() -> usize {
    match THREADS.load(Relaxed) {
        0 => {
            let chosen = default_threads();
            THREADS.store(chosen, Relaxed);
            chosen
        }
        chosen => chosen,
    }
}

/// Sets the number of threads (clamped to 1..=1024) for regions that start from now on.
pub fn set_num_threads(threads: usize) {
    THREADS.store(threads.clamp(1, MAX_THREADS), Relaxed);
}

/// Looks at the environment's wishes before anybody uses the pool.
///
/// # Errors
/// When `PYNEURO_NUM_THREADS` is not a number from 1 to the greatest one allowed.
pub fn init() -> Result<(), String> {
    forced_threads().map(|_| ())
}

/// What `PYNEURO_NUM_THREADS` asks for, if it is set.
fn forced_threads() -> Result<Option<usize>, String> {
    let Some(text) = std::env::var_os("PYNEURO_NUM_THREADS") else { return Ok(None) };
    match text.to_str().and_then(|text| text.trim().parse().ok()) {
        Some(threads) if (1..=MAX_THREADS).contains(&threads) => Ok(Some(threads)),
        _ => Err(format!("PYNEURO_NUM_THREADS: must be a number from 1 to {MAX_THREADS}, got {text:?}")),
    }
}

/// `PYNEURO_NUM_THREADS`, or the physical cores this process may use: affinity and cgroup quota count
/// (`available_parallelism` knows both), hyperthreads do not (they share the FMA units).
fn default_threads() -> usize {
    static DEFAULT: OnceLock<usize> = OnceLock::new();
    *DEFAULT.get_or_init(|| {
        if let Ok(Some(threads)) = forced_threads() {
            return threads;
        }
        let allowed = std::thread::available_parallelism().map_or(1, usize::from);
        physical_cores().map_or(allowed, |cores| cores.min(allowed)).clamp(1, MAX_THREADS)
    })
}

/// Distinct physical cores among the processors this thread may run on, where the system tells.
fn physical_cores() -> Option<usize> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: an all-zero cpu_set_t is an empty set, and sched_getaffinity fills at most its size.
        let allowed = unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) != 0 {
                return None;
            }
            set
        };
        let mut cores = std::collections::HashSet::new();
        for cpu in 0..libc::CPU_SETSIZE as usize {
            // SAFETY: `cpu` is below the capacity of the set.
            if !unsafe { libc::CPU_ISSET(cpu, &allowed) } {
                continue;
            }
            let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
            cores.insert(std::fs::read_to_string(path).ok()?);
        }
        (!cores.is_empty()).then_some(cores.len())
    }
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    /// Tests change the global number of threads, so they run one at a time.
    static SERIAL: Mutex<()> = Mutex::new(());

    /// Runs `body` with the given number of threads.
    pub(crate) fn with_threads<R>(threads: usize, body: impl FnOnce() -> R) -> R {
        let _guard = lock(&SERIAL);
        set_num_threads(threads);
        body()
    }

    #[test]
    fn every_chunk_runs_exactly_once() {
        for threads in [1, 2, 5] {
            with_threads(threads, || {
                for chunks in [0, 1, 2, 3, 7, 64, 1000] {
                    for _ in 0..50 {
                        let counts: Vec<AtomicU32> = (0..chunks).map(|_| AtomicU32::new(0)).collect();
                        parallel_for(chunks, &|index| {
                            counts[index].fetch_add(1, Relaxed);
                        });
                        assert!(counts.iter().all(|count| count.load(Relaxed) == 1));
                    }
                }
            });
        }
    }

    #[test]
    fn workers_take_part() {
        with_threads(2, || {
            let names = Mutex::new(std::collections::HashSet::new());
            let deadline = Instant::now() + Duration::from_secs(20);
            while lock(&names).len() < 2 && Instant::now() < deadline {
                parallel_for(8, &|_| {
                    std::thread::sleep(Duration::from_micros(200));
                    lock(&names).insert(std::thread::current().id());
                });
            }
            assert_eq!(lock(&names).len(), 2);
        });
    }

    #[test]
    fn sleeping_workers_wake_up() {
        with_threads(3, || {
            for _ in 0..20 {
                std::thread::sleep(Duration::from_millis(1));
                let total = AtomicUsize::new(0);
                parallel_for(16, &|index| {
                    std::thread::sleep(Duration::from_micros(50));
                    total.fetch_add(index, Relaxed);
                });
                assert_eq!(total.load(Relaxed), 120);
            }
        });
    }

    #[test]
    fn nested_and_concurrent_regions_complete() {
        with_threads(2, || {
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        for _ in 0..200 {
                            let total = AtomicUsize::new(0);
                            parallel_for(4, &|_| {
                                parallel_for(4, &|inner| {
                                    total.fetch_add(inner, Relaxed);
                                });
                            });
                            assert_eq!(total.load(Relaxed), 24);
                        }
                    });
                }
            });
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_survives() {
        with_threads(2, || {
            for _ in 0..20 {
                let outcome = catch_unwind(|| {
                    parallel_for(8, &|index| assert!(index != 5, "chunk five"));
                });
                let payload = outcome.expect_err("the panic of chunk five");
                assert_eq!(payload.downcast_ref::<&str>(), Some(&"chunk five"));
                let total = AtomicUsize::new(0);
                parallel_for(8, &|index| {
                    total.fetch_add(index, Relaxed);
                });
                assert_eq!(total.load(Relaxed), 28);
            }
        });
    }

    #[test]
    fn chunk_edges_do_not_depend_on_threads() {
        let edges = || {
            let ranges = Mutex::new(Vec::new());
            chunked(1003, 100, |range| lock(&ranges).push((range.start, range.end)));
            let mut ranges = ranges.into_inner().expect("no chunk panicked");
            ranges.sort_unstable();
            ranges
        };
        let mut seen = Vec::new();
        for threads in [1, 2, 4] {
            with_threads(threads, || seen.push(edges()));
        }
        assert_eq!(seen[0].len(), 11);
        assert_eq!(seen[0][10], (1000, 1003));
        assert!(seen.iter().all(|ranges| *ranges == seen[0]));
    }

    #[cfg(unix)]
    #[test]
    fn a_forked_child_builds_its_own_pool() {
        with_threads(2, || {
            parallel_for(4, &|_| {});
            // SAFETY: the child only computes and leaves by `_exit`; it touches no lock another thread may hold
            // except the allocator's, which libc makes safe across fork.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let total = AtomicUsize::new(0);
                parallel_for(100, &|index| {
                    total.fetch_add(index, Relaxed);
                });
                let rebuilt = !POOL.load(Acquire).is_null();
                let code = if total.load(Relaxed) == 4950 && rebuilt { 0 } else { 1 };
                // SAFETY: ends the child without running the test harness's exit code twice.
                unsafe { libc::_exit(code) };
            }
            let mut status = 0;
            // SAFETY: `status` outlives the call and `child` is our child.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0);
        });
    }
}
