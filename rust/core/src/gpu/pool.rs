//! Device memory that is used again: wgpu takes 20-50 us to make a buffer, longer than most kernels run.

use super::executor::BufferId;
use std::collections::BTreeMap;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Bytes held, of one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// In buffers that tensors hold.
    pub allocated: usize,
    /// In buffers kept for the next tensor.
    pub cached: usize,
    /// The most `allocated` has been.
    pub peak: usize,
}

/// Free buffers by size class.
///
/// A buffer may be handed out again while recorded work still names it: that work runs first, because there is one
/// queue and it is in order.  Only writes from the host need care, and the stream takes it.
#[derive(Default)]
pub struct Pool {
    free: BTreeMap<usize, Vec<BufferId>>,
    stats: MemoryStats,
}

impl Pool {
    /// The size that a request is rounded up to: at most 12.5 % more beyond 4 KiB, little more beyond 16 MiB.
    pub fn class(bytes: usize) -> usize {
        let round = |granule: usize| bytes.max(1).div_ceil(granule) * granule;
        if bytes <= 4 * KIB {
            round(256)
        } else if bytes <= 16 * MIB {
            round(bytes.next_power_of_two() / 16) // eight classes between powers of two
        } else {
            round(64 * KIB)
        }
    }

    /// A free buffer of exactly this class.
    pub fn take(&mut self, class: usize) -> Option<BufferId> {
        let id = self.free.get_mut(&class)?.pop()?;
        self.stats.cached -= class;
        self.note_use(class);
        Some(id)
    }

    /// Counts a buffer that is now held by a tensor.
    pub fn note_use(&mut self, class: usize) {
        self.stats.allocated += class;
        self.stats.peak = self.stats.peak.max(self.stats.allocated);
    }

    /// Takes back a buffer that its tensor has let go of.
    pub fn put(&mut self, class: usize, id: BufferId) {
        self.free.entry(class).or_default().push(id);
        self.stats.allocated -= class;
        self.stats.cached += class;
    }

    /// Whether more is kept than is likely to be used again.
    pub fn is_overfull(&self) -> bool {
        self.stats.cached > (256 * MIB).max(self.stats.allocated)
    }

    /// Gives up every free buffer; the caller frees them.
    pub fn drain(&mut self) -> Vec<BufferId> {
        self.stats.cached = 0;
        std::mem::take(&mut self.free).into_values().flatten().collect()
    }

    /// Bytes held.
    pub fn stats(&self) -> MemoryStats {
        self.stats
    }

    /// Forgets the highest mark.
    pub fn reset_peak(&mut self) {
        self.stats.peak = self.stats.allocated;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_waste_little_and_repeat() {
        for bytes in (1..100_000).step_by(7).chain([MIB + 1, 15 * MIB, 17 * MIB, 1 << 30]) {
            let class = Pool::class(bytes);
            assert!(class >= bytes && class.is_multiple_of(256), "{bytes} -> {class}");
            assert!(bytes <= 4 * KIB || class <= bytes + bytes / 8, "{bytes} -> {class}");
            assert_eq!(Pool::class(class), class, "{bytes}");
        }
    }

    #[test]
    fn a_buffer_comes_back() {
        let mut pool = Pool::default();
        pool.note_use(512);
        pool.put(512, 9);
        assert_eq!(pool.stats(), MemoryStats { allocated: 0, cached: 512, peak: 512 });
        assert_eq!(pool.take(256), None);
        assert_eq!(pool.take(512), Some(9));
        assert_eq!(pool.stats(), MemoryStats { allocated: 512, cached: 0, peak: 512 });
    }
}
