//! A caching allocator for tensor memory.
//!
//! Fresh pages cost more than most kernels (the kernel clears them one fault at a time), so memory is kept:
//!
//! - up to 512 KiB: per-thread free lists in size classes, four per octave. A block belongs to nobody: it goes to the
//!   list of the thread that frees it, and back to the system when that list is full or the thread ends.
//! - above: one mapping per block, 2 MiB aligned and offered huge pages, kept in a process-wide best-fit cache with a
//!   soft cap. The address given out is shifted by a few cache lines that differ from block to block, because streams
//!   that start at equal offsets in a page slow each other down.
//!
//! A request the machine cannot hold fails with `None` at once, instead of being promised by an overcommitting kernel
//! and killing the process when it is touched.

mod limits;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};

use limits::{available_memory, memory_limit};

/// Alignment of every block: a cache line, and the widest vector register.
pub const ALIGN: usize = 64;

/// Largest request served from the per-thread size classes.
const SMALL_MAX: usize = 512 << 10;
const CLASSES: usize = 48;
/// Most bytes one thread keeps in one class, and in all of them.
const CLASS_CACHE: usize = 8 << 20;
const THREAD_CACHE: usize = 64 << 20;
/// Fresh mappings at least this large are checked against the memory available now, which costs a file read.
const AVAILABLE_CHECK: usize = 256 << 20;
/// Alignment of large blocks, the size of a huge page.
const LARGE_ALIGN: usize = 2 << 20;
/// Large mappings come in multiples of this, so that similar sizes can stand in for each other.
const LARGE_STEP: usize = 64 << 10;
/// Number of different shifts, one cache line apart, of the address given out.
const SHIFTS: usize = 32;

/// Bytes the small classes have taken from the system and not given back.
static SMALL_RESERVED: AtomicUsize = AtomicUsize::new(0);

/// What the allocator holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Memory taken from the system and not given back, in use or cached.
    pub reserved: usize,
    /// The part of `reserved` that is in use by blocks above 512 KiB.
    pub large_live: usize,
    /// The part of `reserved` that is cached for blocks above 512 KiB.
    pub large_cached: usize,
    /// Most bytes in use by large blocks at one time.
    pub large_peak: usize,
}

/// Returns `bytes` bytes of uninitialised memory aligned to 64 bytes, or `None` when the system has not that much.
///
/// Any thread may give it back with [`free`]. Zero bytes yield a dangling aligned pointer.
pub fn alloc(bytes: usize) -> Option<NonNull<u8>> {
    if bytes > SMALL_MAX {
        return alloc_large(bytes);
    }
    if bytes == 0 {
        return Some(dangling());
    }
    let class = class_of(bytes);
    // While a thread ends, its lists may be gone already; the system then serves directly.
    let cached = LISTS.try_with(|lists| lists.borrow_mut().pop(class)).ok().flatten();
    cached.or_else(|| system_alloc(class)).or_else(|| {
        empty_cache();
        system_alloc(class)
    })
}

/// Gives back memory from [`alloc`].
///
/// # Safety
/// `pointer` came from `alloc(bytes)` with the same `bytes`, was not freed since, and is not used afterwards.
pub unsafe fn free(pointer: NonNull<u8>, bytes: usize) {
    if bytes > SMALL_MAX {
        return free_large(pointer);
    }
    if bytes == 0 {
        return;
    }
    let class = class_of(bytes);
    // SAFETY: the block has the size of its class and is ours again.
    let kept = LISTS.try_with(|lists| unsafe { lists.borrow_mut().push(class, pointer) }).unwrap_or(false);
    if !kept {
        // SAFETY: blocks of a class come from `system_alloc` of that class.
        unsafe { system_free(pointer, class) };
    }
}

/// Returns all cached memory of the large blocks, and of this thread's small ones, to the system.
pub fn empty_cache() {
    let _ = LISTS.try_with(|lists| lists.borrow_mut().clear());
    let blocks = large(|state| {
        state.cached = 0;
        std::mem::take(&mut state.free)
    });
    for &(size, base) in blocks.keys() {
        unmap(base, size);
    }
}

/// A snapshot of what the allocator holds.
pub fn stats() -> Stats {
    large(|state| Stats {
        reserved: SMALL_RESERVED.load(Relaxed) + state.live + state.cached,
        large_live: state.live,
        large_cached: state.cached,
        large_peak: state.peak,
    })
}

fn dangling() -> NonNull<u8> {
    NonNull::new(ptr::without_provenance_mut(ALIGN)).expect("the alignment is not zero")
}

// ---- small blocks ------------------------------------------------------------------------------------------------

/// Size class of a request of 1..=SMALL_MAX bytes: 64, 128, 192, 256, then four steps per octave.
fn class_of(bytes: usize) -> usize {
    if bytes <= 256 {
        return (bytes - 1) / 64;
    }
    let last = bytes - 1;
    let octave = last.ilog2() as usize;
    4 + (octave - 8) * 4 + ((last >> (octave - 2)) & 3)
}

/// Size in bytes of the blocks of a class.
fn class_size(class: usize) -> usize {
    if class < 4 {
        return (class + 1) * 64;
    }
    let octave = (class - 4) / 4 + 8;
    (1 << octave) + ((class - 4) % 4 + 1) * (1 << (octave - 2))
}

fn layout(class: usize) -> std::alloc::Layout {
    std::alloc::Layout::from_size_align(class_size(class), ALIGN).expect("class sizes are small")
}

fn system_alloc(class: usize) -> Option<NonNull<u8>> {
    // SAFETY: class sizes are not zero.
    let pointer = NonNull::new(unsafe { std::alloc::alloc(layout(class)) })?;
    SMALL_RESERVED.fetch_add(class_size(class), Relaxed);
    Some(pointer)
}

/// # Safety
/// `pointer` came from `system_alloc(class)` and is not used afterwards.
unsafe fn system_free(pointer: NonNull<u8>, class: usize) {
    SMALL_RESERVED.fetch_sub(class_size(class), Relaxed);
    // SAFETY: by the contract, with the layout it was allocated with.
    unsafe { std::alloc::dealloc(pointer.as_ptr(), layout(class)) };
}

/// Free blocks of one thread: per class a linked list through the first word of each block.
struct Lists {
    heads: [*mut u8; CLASSES],
    bytes: [usize; CLASSES],
    total: usize,
}

thread_local! {
    static LISTS: RefCell<Lists> =
        const { RefCell::new(Lists { heads: [ptr::null_mut(); CLASSES], bytes: [0; CLASSES], total: 0 }) };
}

impl Lists {
    fn pop(&mut self, class: usize) -> Option<NonNull<u8>> {
        let head = NonNull::new(self.heads[class])?;
        // SAFETY: blocks on a list are ours, aligned, and hold the link `push` wrote.
        self.heads[class] = unsafe { head.cast::<*mut u8>().read() };
        self.bytes[class] -= class_size(class);
        self.total -= class_size(class);
        Some(head)
    }

    /// Keeps a block unless the thread holds enough already; returns whether it was kept.
    ///
    /// # Safety
    /// The block has the size of `class` and belongs to the caller, who gives it up.
    unsafe fn push(&mut self, class: usize, block: NonNull<u8>) -> bool {
        let size = class_size(class);
        if self.bytes[class] + size > CLASS_CACHE || self.total + size > THREAD_CACHE {
            return false;
        }
        // SAFETY: every class is at least a pointer wide, and aligned for one.
        unsafe { block.cast::<*mut u8>().write(self.heads[class]) };
        self.heads[class] = block.as_ptr();
        self.bytes[class] += size;
        self.total += size;
        true
    }

    fn clear(&mut self) {
        for class in 0..CLASSES {
            while let Some(block) = self.pop(class) {
                // SAFETY: blocks on the list of a class came from `system_alloc(class)`.
                unsafe { system_free(block, class) };
            }
        }
    }
}

impl Drop for Lists {
    fn drop(&mut self) {
        self.clear();
    }
}

// ---- large blocks ------------------------------------------------------------------------------------------------

/// Bookkeeping of the large blocks; sizes are those of the mappings.
struct Large {
    /// Cached mappings: (size, base) -> time of the free.
    free: BTreeMap<(usize, usize), u64>,
    /// Mappings in use: base -> size.
    used: BTreeMap<usize, usize>,
    live: usize,
    cached: usize,
    peak: usize,
    clock: u64,
}

/// The large-block state under a spin lock, which (unlike a std mutex) fork handlers can take and release, so that a
/// child never inherits it locked.
struct Guarded {
    locked: AtomicBool,
    state: std::cell::UnsafeCell<Large>,
}

// SAFETY: `state` is only reached through `large`, which holds the lock.
unsafe impl Sync for Guarded {}

static LARGE: Guarded = Guarded {
    locked: AtomicBool::new(false),
    state: std::cell::UnsafeCell::new(Large {
        free: BTreeMap::new(),
        used: BTreeMap::new(),
        live: 0,
        cached: 0,
        peak: 0,
        clock: 0,
    }),
};

fn acquire() {
    let mut tries = 0u32;
    while LARGE.locked.swap(true, Acquire) {
        tries += 1;
        if tries.is_multiple_of(64) {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

extern "C" fn lock_for_fork() {
    acquire();
}

extern "C" fn unlock_after_fork() {
    LARGE.locked.store(false, Release);
}

/// Runs `body` on the large-block state under its lock. Bodies are short and make no system call.
fn large<R>(body: impl FnOnce(&mut Large) -> R) -> R {
    #[cfg(unix)]
    {
        static HOOK: std::sync::Once = std::sync::Once::new();
        // SAFETY: the handlers only touch an atomic.
        HOOK.call_once(|| unsafe {
            libc::pthread_atfork(Some(lock_for_fork), Some(unlock_after_fork), Some(unlock_after_fork));
        });
    }
    struct Unlock;
    impl Drop for Unlock {
        fn drop(&mut self) {
            unlock_after_fork();
        }
    }
    acquire();
    let _unlock = Unlock;
    // SAFETY: the lock makes this the only reference.
    body(unsafe { &mut *LARGE.state.get() })
}

fn alloc_large(bytes: usize) -> Option<NonNull<u8>> {
    let size = bytes.checked_add(SHIFTS * ALIGN)?.checked_next_multiple_of(LARGE_STEP)?;
    let reused = large(|state| {
        let most = size + size / 4;
        let (&(found, base), _) = state.free.range((size, 0)..=(most, usize::MAX)).next()?;
        state.free.remove(&(found, base));
        state.cached -= found;
        Some(state.enter(base, found))
    });
    if let Some((base, shift)) = reused {
        return NonNull::new(ptr::with_exposed_provenance_mut(base + shift));
    }
    let room = || size <= memory_limit().saturating_sub(large(|state| state.live + state.cached));
    if !room() {
        empty_cache();
        if !room() {
            return None;
        }
    }
    if size >= AVAILABLE_CHECK && available_memory().is_some_and(|available| size > available) {
        empty_cache();
        if available_memory().is_some_and(|available| size > available) {
            return None;
        }
    }
    let base = map(size).or_else(|| {
        empty_cache();
        map(size)
    })?;
    let address = base.as_ptr().expose_provenance();
    let (_, shift) = large(|state| state.enter(address, size));
    // SAFETY: the mapping is `SHIFTS` cache lines longer than the request.
    Some(unsafe { base.add(shift) })
}

impl Large {
    /// Notes a mapping as in use; returns its base and the shift of the address to give out.
    fn enter(&mut self, base: usize, size: usize) -> (usize, usize) {
        self.used.insert(base, size);
        self.live += size;
        self.peak = self.peak.max(self.live);
        self.clock += 1;
        (base, self.clock as usize % SHIFTS * ALIGN)
    }
}

fn free_large(pointer: NonNull<u8>) {
    let cap = memory_limit() / 4;
    let base = pointer.addr().get() & !(LARGE_ALIGN - 1);
    let evicted = large(|state| {
        let size = state.used.remove(&base).expect("free of a block that is in use");
        state.live -= size;
        state.cached += size;
        state.clock += 1;
        state.free.insert((size, base), state.clock);
        let mut evicted = Vec::new();
        while state.cached > cap {
            let oldest = state.free.iter().min_by_key(|&(_, &time)| time).map(|(&key, _)| key);
            let Some(key) = oldest else { break };
            state.free.remove(&key);
            state.cached -= key.0;
            evicted.push(key);
        }
        evicted
    });
    for (size, base) in evicted {
        unmap(base, size);
    }
}

#[cfg(unix)]
fn map(size: usize) -> Option<NonNull<u8>> {
    let span = size.checked_add(LARGE_ALIGN)?;
    // SAFETY: a fresh anonymous mapping touches no existing memory.
    let start = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(ptr::null_mut(), span, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
    };
    if start == libc::MAP_FAILED {
        return None;
    }
    let skip = start.addr().next_multiple_of(LARGE_ALIGN) - start.addr();
    let base = start.cast::<u8>().wrapping_add(skip);
    // SAFETY: head and tail lie inside the mapping just made, page aligned, and nobody uses them.
    unsafe {
        if skip > 0 {
            libc::munmap(start, skip);
        }
        if LARGE_ALIGN > skip {
            libc::munmap(base.wrapping_add(size).cast(), LARGE_ALIGN - skip);
        }
        #[cfg(target_os = "linux")]
        libc::madvise(base.cast(), size, libc::MADV_HUGEPAGE);
    }
    NonNull::new(base)
}

#[cfg(unix)]
fn unmap(base: usize, size: usize) {
    // SAFETY: called only with mappings taken off the free list, which nobody uses.
    unsafe { libc::munmap(ptr::with_exposed_provenance_mut(base), size) };
}

#[cfg(not(unix))]
fn large_layout(size: usize) -> Option<std::alloc::Layout> {
    std::alloc::Layout::from_size_align(size, LARGE_ALIGN).ok()
}

#[cfg(not(unix))]
fn map(size: usize) -> Option<NonNull<u8>> {
    // SAFETY: the size is not zero.
    NonNull::new(unsafe { std::alloc::alloc(large_layout(size)?) })
}

#[cfg(not(unix))]
fn unmap(base: usize, size: usize) {
    let layout = large_layout(size).expect("the layout it was allocated with");
    // SAFETY: called only with blocks of `map(size)` taken off the free list, which nobody uses.
    unsafe { std::alloc::dealloc(ptr::with_exposed_provenance_mut(base), layout) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_cover_every_size_tightly() {
        let mut previous = 0;
        for class in 0..CLASSES {
            let size = class_size(class);
            assert!(size > previous && size.is_multiple_of(ALIGN));
            assert_eq!(class_of(size), class);
            assert_eq!(class_of(previous + 1), class);
            previous = size;
        }
        assert_eq!(previous, SMALL_MAX);
    }

    #[test]
    fn blocks_are_aligned_disjoint_and_writable() {
        let sizes = [1, 63, 64, 65, 255, 257, 4096, 100_000, SMALL_MAX, SMALL_MAX + 1, 3 << 20, 5_000_001];
        for round in 0..3u8 {
            let blocks: Vec<_> = sizes.iter().map(|&size| (alloc(size).expect("memory"), size)).collect();
            for (index, &(block, size)) in blocks.iter().enumerate() {
                assert!(block.addr().get().is_multiple_of(ALIGN));
                // SAFETY: the block has `size` bytes.
                unsafe { block.as_ptr().write_bytes(index as u8 ^ round, size) };
            }
            for (index, &(block, size)) in blocks.iter().enumerate() {
                // SAFETY: all of it was written above.
                let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), size) };
                assert!(bytes.iter().all(|&byte| byte == index as u8 ^ round));
                // SAFETY: allocated with this size, not used again.
                unsafe { free(block, size) };
            }
        }
    }

    #[test]
    fn zero_bytes_need_no_memory() {
        let block = alloc(0).expect("no memory is needed");
        assert!(block.addr().get().is_multiple_of(ALIGN));
        // SAFETY: allocated with this size.
        unsafe { free(block, 0) };
    }

    #[test]
    fn impossible_requests_fail_cleanly() {
        for bytes in [1 << 40, 1 << 46, isize::MAX as usize, usize::MAX - 4096, usize::MAX] {
            assert_eq!(alloc(bytes), None, "{bytes} bytes");
        }
    }

    #[test]
    fn small_blocks_are_reused_and_may_die_on_another_thread() {
        std::thread::spawn(|| {
            let first = alloc(1000).expect("memory");
            // SAFETY: allocated with this size.
            unsafe { free(first, 1000) };
            let again = alloc(900).expect("memory");
            assert_eq!(first, again);
            let address = again.as_ptr().expose_provenance();
            std::thread::spawn(move || {
                let block = NonNull::new(ptr::with_exposed_provenance_mut(address)).expect("not null");
                // SAFETY: this thread took over the block; 900 and 1000 are of the same class.
                unsafe { free(block, 900) };
                assert_eq!(alloc(1000), Some(block));
                // SAFETY: allocated with this size just now.
                unsafe { free(block, 1000) };
            })
            .join()
            .expect("the other thread is fine");
        })
        .join()
        .expect("the thread is fine");
    }

    #[test]
    fn freeing_while_a_thread_ends_is_safe() {
        struct Late(NonNull<u8>);
        impl Drop for Late {
            fn drop(&mut self) {
                // SAFETY: allocated with this size below, freed only here.
                unsafe { free(self.0, 700) };
            }
        }
        thread_local!(static LATE: RefCell<Option<Late>> = const { RefCell::new(None) });
        for early in [true, false] {
            std::thread::spawn(move || {
                // Both orders of destruction: this slot registered before the lists, and after.
                if early {
                    LATE.with(|slot| *slot.borrow_mut() = None);
                }
                let block = alloc(700).expect("memory");
                LATE.with(|slot| *slot.borrow_mut() = Some(Late(block)));
            })
            .join()
            .expect("the thread ends cleanly");
        }
    }

    #[test]
    fn large_blocks_are_reused_with_little_slack() {
        // A size no other test uses, so that tests running beside this one cannot take the block.
        let bytes = 37 << 20;
        let first = alloc(bytes).expect("memory");
        let base = first.addr().get() & !(LARGE_ALIGN - 1);
        // SAFETY: allocated with this size.
        unsafe { free(first, bytes) };
        assert!(stats().large_cached >= bytes);
        let again = alloc(bytes - (5 << 20)).expect("memory");
        assert_eq!(again.addr().get() & !(LARGE_ALIGN - 1), base);
        let other = alloc(bytes / 2).expect("memory");
        assert_ne!(other.addr().get() & !(LARGE_ALIGN - 1), base);
        // SAFETY: allocated with these sizes.
        unsafe {
            free(again, bytes - (5 << 20));
            free(other, bytes / 2);
        }
    }
}
