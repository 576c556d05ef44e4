//! Whether ops are recorded; per thread, as in torch.

use std::cell::Cell;

thread_local! {
    static RECORDING: Cell<bool> = const { Cell::new(true) };
    static INFERENCE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread records ops for backward.
#[inline]
pub fn is_recording() -> bool {
    RECORDING.get()
}

/// Whether this thread is in inference mode.
pub fn is_inference() -> bool {
    INFERENCE.get()
}

/// Switches recording and returns what it was.
pub fn set_recording(on: bool) -> bool {
    RECORDING.replace(on)
}

/// Switches inference mode (which also stops recording) and returns what it was.
pub fn inference_mode(on: bool) -> bool {
    INFERENCE.replace(on)
}

/// Restores the mode when dropped, also on the way of an error.
pub struct ModeGuard(bool);

impl ModeGuard {
    /// Switches recording until dropped.
    pub fn new(on: bool) -> Self {
        Self(set_recording(on))
    }
}

impl Drop for ModeGuard {
    fn drop(&mut self) {
        set_recording(self.0);
    }
}

/// Runs `f` without recording.
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    let _guard = ModeGuard::new(false);
    f()
}

/// Runs `f` with recording.
pub fn enable_grad<R>(f: impl FnOnce() -> R) -> R {
    let _guard = ModeGuard::new(true);
    f()
}
