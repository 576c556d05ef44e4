//! Indexing with tensors and masks.

use super::indexing::Located;
use pyneuro_core::{Result, Tensor, bail};

/// The chosen elements, in new memory.
pub fn get(_at: &Located) -> Result<Tensor> {
    bail!(NotImplemented, "index: by tensors")
}

/// Writes over the chosen elements.
pub fn set(_at: &Located, _value: &Tensor) -> Result<()> {
    bail!(NotImplemented, "index: by tensors")
}
