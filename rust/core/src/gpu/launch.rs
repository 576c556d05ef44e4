//! From tensors to a kernel call: bindings, parameter words, grids.

use super::buffer::GpuBuffer;
use super::executor::{BufferView, Limits, MAX_BUFFERS, PARAM_WORDS};
use super::shader::ShaderKey;
use super::stream::{KernelCall, Stream};
use crate::dtype::DType;
use crate::error::Result;
use crate::layout::Layout;
use crate::storage::Memory;
use crate::tensor::Tensor;
use crate::{bail, ensure};
use smallvec::SmallVec;

/// Dimensions that a kernel's parameters have room for, after neighbours are merged.
pub const MAX_KERNEL_DIMS: usize = 8;

/// Bytes of one element on a GPU: every dtype is stored in a 32-bit word.
pub const WORD: usize = 4;

/// The WGSL type of the words of `dtype`; float64 and the half floats have none.
pub fn word_type(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => Ok("i32"),
        DType::F64 => bail!(Type, "gpu: float64 does not exist on GPUs, got a float64 tensor; use .float() first"),
        DType::F16 | DType::BF16 => {
            bail!(Type, "gpu: {dtype} is not supported on GPUs yet, got a {dtype} tensor; use .float() first")
        }
    }
}

/// The device memory of a tensor; the dispatcher guarantees the device.
pub fn buffer(t: &Tensor) -> &GpuBuffer {
    match &t.storage().memory {
        Memory::Gpu(buffer) => buffer,
        Memory::Cpu(_) => unreachable!("a GPU kernel got a CPU tensor"),
    }
}

/// `groups` workgroups as a grid within the device's limit per dimension; kernels ignore the surplus.
pub fn fold_groups(op: &str, groups: usize, limits: Limits) -> Result<[u32; 3]> {
    let most = limits.groups_per_dim as usize;
    if groups <= most {
        return Ok([groups as u32, 1, 1]);
    }
    let rows = groups.div_ceil(most);
    if rows <= most {
        // Balanced, so that little is surplus.
        return Ok([groups.div_ceil(rows) as u32, rows as u32, 1]);
    }
    let layers = rows.div_ceil(most);
    ensure!(layers <= most, Value, "{op}: the tensor is too large for one GPU dispatch, got {groups} workgroups");
    Ok([most as u32, rows.div_ceil(layers) as u32, layers as u32])
}

/// First and one past the last element that a layout reaches; (0, 0) when it has none.
pub fn span(layout: &Layout) -> (usize, usize) {
    let (mut low, mut high) = (layout.offset as isize, layout.offset as isize);
    for (&n, &s) in layout.shape.iter().zip(&layout.strides) {
        if n == 0 {
            return (0, 0);
        }
        let reach = (n as isize - 1) * s;
        if reach < 0 { low += reach } else { high += reach }
    }
    (low as usize, high as usize + 1)
}

/// Whether a tensor's elements can be bound at once.
pub fn fits(t: &Tensor, layout: &Layout, limits: Limits) -> bool {
    window(buffer(t), layout, limits).is_some()
}

/// The range of `buffer` to bind for `layout`, and the element in it that the layout's offset becomes.
fn window(buffer: &GpuBuffer, layout: &Layout, limits: Limits) -> Option<(BufferView, u32)> {
    let whole = buffer.whole();
    if whole.size <= limits.binding_size {
        // The same range every time, whatever the view: the executor's bind-group cache thrives on it.
        return Some((whole, layout.offset as u32));
    }
    let (low, high) = span(layout);
    let start = low * WORD / limits.offset_alignment * limits.offset_alignment;
    let size = high * WORD - start;
    (size <= limits.binding_size)
        .then(|| (BufferView { offset: start, size, ..whole }, (layout.offset - start / WORD) as u32))
}

/// A contiguous tensor as rows along `dim`: their number, their length, and the distance of their elements.
pub fn rows_along(shape: &[usize], dim: usize) -> (usize, usize, usize) {
    let n = shape.get(dim).copied().unwrap_or(1);
    let inner: usize = shape.iter().skip(dim + 1).product();
    let outer: usize = shape.iter().take(dim).product();
    (outer * inner, n, inner)
}

/// A kernel call under construction.
pub struct Launch {
    op: &'static str,
    stream: &'static Stream,
    shader: ShaderKey,
    buffers: SmallVec<[BufferView; MAX_BUFFERS]>,
    outputs: usize,
    params: SmallVec<[u32; PARAM_WORDS]>,
}

impl Launch {
    /// A call of `shader` for `op` on the device of `on`.
    pub fn new(op: &'static str, shader: ShaderKey, on: &Tensor) -> Self {
        Self { op, stream: buffer(on).stream(), shader, buffers: SmallVec::new(), outputs: 0, params: SmallVec::new() }
    }

    /// Binds a tensor that is written; all of them come before any input.  Returns the element its layout starts at.
    pub fn output(&mut self, t: &Tensor) -> Result<u32> {
        self.outputs += 1;
        self.bind(t, t.layout())
    }

    /// Binds a tensor that is read.
    pub fn input(&mut self, t: &Tensor) -> Result<u32> {
        self.input_as(t, t.layout())
    }

    /// As [`Launch::input`], seen through another layout.
    pub fn input_as(&mut self, t: &Tensor, layout: &Layout) -> Result<u32> {
        let id = buffer(t).id();
        self.shader.aliased |= self.buffers[..self.outputs].iter().any(|view| view.buffer == id);
        self.bind(t, layout)
    }

    /// As [`Launch::output`], seen through another layout.
    pub fn output_as(&mut self, t: &Tensor, layout: &Layout) -> Result<u32> {
        self.outputs += 1;
        self.bind(t, layout)
    }

    /// Binds the device's note of a bad index; counts as an output.
    pub fn fault(&mut self) -> Result<()> {
        self.outputs += 1;
        self.buffers.push(self.stream.fault_buffer()?);
        Ok(())
    }

    fn bind(&mut self, t: &Tensor, layout: &Layout) -> Result<u32> {
        let limits = self.stream.limits();
        let Some((view, offset)) = window(buffer(t), layout, limits) else {
            let (low, high) = span(layout);
            bail!(
                Value,
                "{}: a GPU kernel sees at most {} bytes of a tensor on this adapter (max-storage-buffer-binding-size), \
                 got a tensor of {} bytes; split it",
                self.op,
                limits.binding_size,
                (high - low) * WORD
            );
        };
        self.buffers.push(view);
        Ok(offset)
    }

    /// Bindings so far, which is the number of the last one.
    pub fn bound(&self) -> usize {
        self.buffers.len()
    }

    /// Adds a define.
    pub fn define(&mut self, name: &'static str, value: impl Into<String>) {
        self.shader.defines.push((name, value.into()));
    }

    /// Appends one parameter word.
    pub fn word(&mut self, value: u32) -> &mut Self {
        self.params.push(value);
        self
    }

    /// Appends a size.
    pub fn size(&mut self, value: usize) -> &mut Self {
        debug_assert!(u32::try_from(value).is_ok(), "{}: size {value} exceeds 32 bits", self.op);
        self.word(value as u32)
    }

    /// Appends sizes.
    pub fn sizes(&mut self, values: &[usize]) -> &mut Self {
        for &value in values {
            self.size(value);
        }
        self
    }

    /// Appends a signed number.
    pub fn signed(&mut self, value: isize) -> &mut Self {
        self.word(value as i32 as u32)
    }

    /// Appends a float32.
    pub fn float(&mut self, value: f64) -> &mut Self {
        self.word((value as f32).to_bits())
    }

    /// Appends `values`, given outermost first, as a kernel wants them: innermost first, filled up to eight with zeros.
    pub fn dims<T: Copy + Into<Word>>(&mut self, values: &[T]) -> &mut Self {
        for i in 0..MAX_KERNEL_DIMS {
            let word = values.len().checked_sub(i + 1).map_or(0, |at| values[at].into().0);
            self.word(word);
        }
        self
    }

    /// Records the call with this many workgroups.
    pub fn record(self, groups: usize) -> Result<()> {
        if groups == 0 {
            return Ok(());
        }
        let grid = fold_groups(self.op, groups, self.stream.limits())?;
        let Self { shader, buffers, params, .. } = self;
        self.stream.record(KernelCall { shader, buffers, params, grid })
    }
}

/// A parameter word made from a size or a stride.
#[derive(Clone, Copy)]
pub struct Word(u32);

impl From<usize> for Word {
    fn from(value: usize) -> Self {
        Self(value as u32)
    }
}

impl From<isize> for Word {
    fn from(value: isize) -> Self {
        Self(value as i32 as u32)
    }
}

/// A shape with the strides of several operands, after merging: fewer dimensions mean fewer divisions in the kernel.
pub struct Merged<const N: usize> {
    /// Lengths, outermost first.
    pub shape: SmallVec<[usize; 8]>,
    /// Strides of each operand.
    pub strides: [SmallVec<[isize; 8]>; N],
}

impl<const N: usize> Merged<N> {
    /// Drops dimensions of length 1 and merges neighbours that every operand walks as one.
    pub fn new(op: &str, shape: &[usize], strides: [&[isize]; N]) -> Result<Self> {
        let mut out = Self { shape: SmallVec::new(), strides: std::array::from_fn(|_| SmallVec::new()) };
        for d in 0..shape.len() {
            if shape[d] == 1 {
                continue;
            }
            let joins = !out.shape.is_empty()
                && (0..N)
                    .all(|o| out.strides[o].last().is_some_and(|&outer| outer == strides[o][d] * shape[d] as isize));
            if joins {
                if let Some(last) = out.shape.last_mut() {
                    *last *= shape[d];
                }
            } else {
                out.shape.push(shape[d]);
            }
            for (merged, own) in out.strides.iter_mut().zip(&strides) {
                if joins && let Some(last) = merged.last_mut() {
                    *last = own[d];
                } else {
                    merged.push(own[d]);
                }
            }
        }
        ensure!(
            out.shape.len() <= MAX_KERNEL_DIMS,
            Value,
            "{op}: GPU kernels walk at most {MAX_KERNEL_DIMS} dimensions, got shape {shape:?}"
        );
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { binding_size: 128 << 20, buffer_size: 256 << 20, groups_per_dim: 65535, offset_alignment: 256 };

    #[test]
    fn grids_cover_and_stay_within_limits() {
        for groups in [1, 65535, 65536, 65537, 1 << 20, 65535 * 65535, 65535 * 65535 + 1] {
            let [x, y, z] = fold_groups("test", groups, LIMITS).expect("representable").map(u64::from);
            assert!(x.max(y).max(z) <= 65535 && x * y * z >= groups as u64, "{groups} -> {x} {y} {z}");
        }
        let small = Limits { groups_per_dim: 2, ..LIMITS };
        assert_eq!(fold_groups("test", 8, small).expect("fits"), [2, 2, 2]);
        assert!(fold_groups("test", 9, small).is_err());
    }

    #[test]
    fn neighbours_merge_only_where_all_operands_agree() {
        let dense: &[isize] = &[12, 4, 1];
        let m = Merged::new("test", &[2, 3, 4], [dense, dense]).expect("few dimensions");
        assert_eq!((m.shape.as_slice(), m.strides[0].as_slice()), (&[24usize][..], &[1isize][..]));
        let broadcast: &[isize] = &[0, 4, 1];
        let m = Merged::new("test", &[2, 3, 4], [dense, broadcast]).expect("few dimensions");
        assert_eq!(m.shape.as_slice(), &[2, 12]);
        assert_eq!(m.strides[1].as_slice(), &[0, 1]);
    }
}
