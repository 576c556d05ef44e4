//! Shapes and strides: how a view maps indices to elements of its storage.

use crate::{bail, ensure, error::Result};
use smallvec::SmallVec;

/// Lengths of the dimensions.
pub type Shape = SmallVec<[usize; 6]>;
/// Elements from one index to the next, per dimension; may be zero (expanded) or negative (flipped).
pub type Strides = SmallVec<[isize; 6]>;

/// More dimensions than this are refused: what the strided loops are built for.
pub const MAX_DIMS: usize = 16;

/// Where the elements of a tensor lie in its storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Length of each dimension.
    pub shape: Shape,
    /// Element strides.
    pub strides: Strides,
    /// Element index of the element at index zero.
    pub offset: usize,
}

/// Row-major strides of a shape.
#[inline]
pub fn contiguous_strides(shape: &[usize]) -> Strides {
    let mut strides: Strides = SmallVec::from_elem(1, shape.len());
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i].max(1) as isize;
    }
    strides
}

/// Number of elements, refusing what cannot be addressed.
pub fn checked_numel(op: &str, shape: &[usize]) -> Result<usize> {
    ensure!(shape.len() <= MAX_DIMS, Value, "{op}: at most {MAX_DIMS} dimensions are supported, got {}", shape.len());
    if shape.contains(&0) {
        return Ok(0);
    }
    match shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) {
        Some(n) if n <= isize::MAX as usize / 8 => Ok(n),
        _ => bail!(Memory, "{op}: a tensor of shape {shape:?} has more elements than can be addressed"),
    }
}

/// Maps a possibly negative dimension to `0..ndim` (a 0-d tensor counts as 1-d, as in torch).
#[inline]
pub fn normalize_dim(op: &str, dim: i64, ndim: usize) -> Result<usize> {
    let n = ndim.max(1) as i64;
    if (-n..n).contains(&dim) {
        return Ok((if dim < 0 { dim + n } else { dim }) as usize);
    }
    bail!(Index, "{op}: dim must be in [{}, {}] for a {ndim}-D tensor, got {dim}", -n, n - 1)
}

/// The shape both operands broadcast to.
pub fn broadcast(op: &str, a: &[usize], b: &[usize]) -> Result<Shape> {
    if a == b {
        return Ok(a.into());
    }
    let n = a.len().max(b.len());
    let mut out: Shape = SmallVec::from_elem(1, n);
    for i in 0..n {
        let x = if i + a.len() >= n { a[i + a.len() - n] } else { 1 };
        let y = if i + b.len() >= n { b[i + b.len() - n] } else { 1 };
        out[i] = match (x, y) {
            _ if x == y => x,
            (1, y) => y,
            (x, 1) => x,
            _ => bail!(
                Value,
                "{op}: shapes must broadcast, got {a:?} and {b:?} (they differ at dimension {i}: {x} and {y})"
            ),
        };
    }
    Ok(out)
}

impl Layout {
    /// A row-major layout from the start of a storage.
    #[inline]
    pub fn contiguous(shape: &[usize]) -> Self {
        Self { shape: shape.into(), strides: contiguous_strides(shape), offset: 0 }
    }

    /// Number of elements.
    #[inline]
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the elements follow each other in row-major order.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        let mut expect = 1isize;
        for (&n, &s) in self.shape.iter().zip(&self.strides).rev() {
            if n != 1 {
                if s != expect {
                    return self.shape.contains(&0);
                }
                expect *= n as isize;
            }
        }
        true
    }

    /// Whether two indices may name one element: an expanded tensor must not be written in place.
    pub fn overlaps_itself(&self) -> bool {
        let mut dims: SmallVec<[(usize, usize); 6]> = SmallVec::new();
        for (&n, &s) in self.shape.iter().zip(&self.strides) {
            if n == 0 {
                return false;
            }
            if n > 1 {
                dims.push((s.unsigned_abs(), n));
            }
        }
        dims.sort_unstable();
        let mut reach = 0usize;
        for (s, n) in dims {
            if s <= reach {
                return true;
            }
            reach += s * (n - 1);
        }
        false
    }

    /// The same elements repeated along new or length-1 dimensions (stride 0).  The caller checked compatibility.
    pub fn broadcast_to(&self, shape: &[usize]) -> Self {
        let lead = shape.len() - self.shape.len();
        let mut strides: Strides = SmallVec::from_elem(0, shape.len());
        for (i, (&n, &s)) in self.shape.iter().zip(&self.strides).enumerate() {
            strides[lead + i] = if n == 1 && shape[lead + i] != 1 { 0 } else { s };
        }
        Self { shape: shape.into(), strides, offset: self.offset }
    }

    /// Dimensions in another order.
    pub fn permute(&self, order: &[usize]) -> Self {
        Self {
            shape: order.iter().map(|&d| self.shape[d]).collect(),
            strides: order.iter().map(|&d| self.strides[d]).collect(),
            offset: self.offset,
        }
    }

    /// `start`, `start + step`, ... (`len` of them) along `dim`; `step` may be negative.
    pub fn slice(&self, dim: usize, start: usize, step: isize, len: usize) -> Self {
        let mut out = self.clone();
        out.shape[dim] = len;
        out.strides[dim] = self.strides[dim] * step;
        if len > 0 {
            out.offset = (self.offset as isize + start as isize * self.strides[dim]) as usize;
        }
        out
    }

    /// The layout of a view with another shape and the same number of elements, if strides can express it.
    pub fn reshape(&self, shape: &[usize]) -> Option<Self> {
        if self.numel() == 0 || self.is_contiguous() {
            return Some(Self { shape: shape.into(), strides: contiguous_strides(shape), offset: self.offset });
        }
        // Old dimensions of length 1 carry no information; match runs of the others against the new dimensions.
        let old: SmallVec<[(usize, isize); 6]> =
            self.shape.iter().copied().zip(self.strides.iter().copied()).filter(|&(n, _)| n != 1).collect();
        let mut strides: Strides = SmallVec::from_elem(1, shape.len());
        let (mut i, mut j) = (0, 0);
        while i < old.len() {
            let (mut have, mut want) = (old[i].0, 1);
            let (first, first_new) = (i, j);
            i += 1;
            while have != want {
                if want < have {
                    want *= shape[j];
                    j += 1;
                } else {
                    // Two old dimensions merge only if one continues the other.
                    if old[i - 1].1 != old[i].1 * old[i].0 as isize {
                        return None;
                    }
                    have *= old[i].0;
                    i += 1;
                }
            }
            debug_assert!(first < i);
            let mut s = old[i - 1].1;
            for d in (first_new..j).rev() {
                strides[d] = s;
                s *= shape[d] as isize;
            }
        }
        Some(Self { shape: shape.into(), strides, offset: self.offset })
    }
}
