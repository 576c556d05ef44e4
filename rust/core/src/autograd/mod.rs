//! The eager tape: nodes recorded by [`op::call`](crate::op::call), walked once by [`backward`].

mod engine;
mod mode;
mod node;

pub use engine::{backward, grad};
pub use mode::{ModeGuard, enable_grad, inference_mode, is_inference, is_recording, no_grad, set_recording};
pub use node::{CustomBackward, Hook, HookHandle, Leaf, Node, Saved, Target, VjpCtx, record_custom};
pub(crate) use node::{rebase, record, view_target};
