//! How much memory the machine has for this process.

use std::sync::OnceLock;

/// Bytes this process may ever hold: physical memory and swap, or its cgroup's limit if that is less.
pub(super) fn memory_limit() -> usize {
    static LIMIT: OnceLock<usize> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let physical = meminfo("MemTotal:").map(|total| total + meminfo("SwapTotal:").unwrap_or(0));
        let unknown = isize::MAX as usize;
        physical.or_else(sysconf_memory).unwrap_or(unknown).min(cgroup_limit().unwrap_or(unknown))
    })
}

/// Bytes a new allocation could use now without the machine running out, where the system tells.
pub(super) fn available_memory() -> Option<usize> {
    Some(meminfo("MemAvailable:")? + meminfo("SwapFree:").unwrap_or(0))
}

/// A field of /proc/meminfo in bytes.
fn meminfo(field: &str) -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    let kib: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

fn sysconf_memory() -> Option<usize> {
    #[cfg(unix)]
    {
        // SAFETY: sysconf reads constants of the system.
        let (pages, page) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
        usize::try_from(pages).ok()?.checked_mul(usize::try_from(page).ok()?)
    }
    #[cfg(not(unix))]
    None
}

/// The smallest memory limit of this process's control group and its ancestors (v2, then v1).
fn cgroup_limit() -> Option<usize> {
    let read = |path: String| -> Option<usize> { std::fs::read_to_string(path).ok()?.trim().parse().ok() };
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (root, file) = match fields.next()? {
            "" => ("/sys/fs/cgroup", "memory.max"),
            controllers if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut group = fields.next()?.trim_end_matches('/');
        loop {
            limits.extend(read(format!("{root}{group}/{file}")));
            match group.rfind('/') {
                Some(cut) => group = &group[..cut],
                None => break,
            }
        }
    }
    limits.into_iter().min()
}
