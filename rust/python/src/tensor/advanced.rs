//! Indexing with tensors and masks, in terms of the core's `index` and `index_put`.

use super::indexing::{Located, Part};
use pyneuro_core::op::{self, Attrs, call1};
use pyneuro_core::ops::{self, elementwise, index};
use pyneuro_core::{Result, Tensor};

/// One index tensor for each indexed dimension; a mask becomes the coordinates of its true elements.
fn indices(at: &Located) -> Result<Vec<Option<Tensor>>> {
    let mut out: Vec<Option<Tensor>> = Vec::new();
    for (dim, part) in &at.arrays {
        out.resize(*dim, None);
        match part {
            Part::Index(t) => out.push(Some(t.clone())),
            Part::Mask(mask) => {
                let coordinates = index::nonzero(mask)?;
                for d in 0..mask.ndim() {
                    out.push(Some(ops::select(&coordinates, 1, d as i64)?));
                }
            }
            _ => unreachable!("only index tensors and masks are put aside"),
        }
    }
    Ok(out)
}

/// The chosen elements, in new memory.
pub fn get(at: &Located) -> Result<Tensor> {
    if let [(0, Part::Mask(mask))] = at.arrays.as_slice()
        && mask.shape() == at.view.shape()
    {
        let mask = ops::to_device(mask, at.view.device())?;
        return call1(&index::MASKED_SELECT, Attrs::None, &[&at.view, &mask]);
    }
    index::index(&at.view, &indices(at)?)
}

/// Writes over the chosen elements.
pub fn set(at: &Located, value: &Tensor) -> Result<()> {
    if let [(dim, Part::Mask(mask))] = at.arrays.as_slice()
        && value.numel() == 1
    {
        // One value for all: a choice between it and what is there, without looking for coordinates.
        let mut shape = mask.shape_vec();
        shape.extend(std::iter::repeat_n(1, at.view.ndim() - dim - mask.ndim()));
        let mask = ops::to_device(&ops::reshape(mask, &shape)?, at.view.device())?;
        let value = ops::reshape(&ops::cast(value, at.view.dtype())?, &[])?;
        let value = ops::to_device(&value, at.view.device())?;
        let chosen = call1(&elementwise::WHERE, Attrs::None, &[&mask, &value, &at.view])?;
        return op::assign(&at.view, &chosen);
    }
    index::index_put(&at.view, &indices(at)?, value, false)
}
