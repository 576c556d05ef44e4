//! Normalisation: over the last dimensions (layer) and over everything but the channels (batch).
//!
//! Means and variances are found in two passes, so that no difference of large numbers is taken; sums over rows are
//! added in an order that depends on the shapes alone.

mod batch;
mod layer;

#[cfg(test)]
mod tests;

pub use batch::{BatchNorm, batch_moments};
pub use layer::{layer_norm, layer_norm_backward};
