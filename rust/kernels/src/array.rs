//! Memory and typed strided views of it: the one place where raw bytes become numbers.
//!
//! A [`Buffer`] is a block of CPU memory that several tensors (and, for foreign memory, NumPy or another library) may
//! share.  [`Buffer::view`] and [`Buffer::view_mut`] check once that a strided view lies inside the block; kernels then
//! work on the view without further checks.
//!
//! Data races: like NumPy and PyTorch, two threads that write one tensor, or read it while it is written, get
//! unspecified *numbers*.  All element types accept every bit pattern except `bool`, which is read and written as a byte.

use crate::alloc;
use half::{bf16, f16};
use std::any::Any;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A type that a tensor may hold.
///
/// # Safety
/// Implementors are plain data: no padding, no drop glue, alignment at most 64, any thread may read them.
pub unsafe trait Element: Copy + Send + Sync + PartialEq + 'static {}

macro_rules! elements { ($($t:ty),*) => { $(
    // SAFETY: a primitive number (or a transparent wrapper of one): plain data without padding.
    unsafe impl Element for $t {}
)* } }
elements!(f32, f64, f16, bf16, i8, u8, i16, i32, i64, bool);

enum Owner {
    /// From our allocator; given back to it on drop.
    Cache,
    /// Somebody else's memory, kept alive by this value.
    Foreign(#[allow(dead_code, reason = "held for its Drop")] Box<dyn Any + Send + Sync>),
}

/// A block of CPU memory with one owner.
pub struct Buffer {
    ptr: NonNull<u8>,
    bytes: usize,
    owner: Owner,
}

// SAFETY: the memory is plain bytes; see the module's note on data races.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// A block of `bytes` bytes with unspecified contents, 64-byte aligned; `None` if the system refuses.
    #[inline]
    pub fn new(bytes: usize) -> Option<Self> {
        let ptr = if bytes == 0 { NonNull::<u128>::dangling().cast() } else { alloc::alloc(bytes)? };
        Some(Self { ptr, bytes, owner: Owner::Cache })
    }

    /// Memory that belongs to `owner`.
    ///
    /// # Safety
    /// `ptr` is valid for reads and writes of `bytes` bytes for as long as `owner` lives.
    pub unsafe fn foreign(ptr: NonNull<u8>, bytes: usize, owner: Box<dyn Any + Send + Sync>) -> Self {
        Self { ptr, bytes, owner: Owner::Foreign(owner) }
    }

    /// Its size in bytes.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Address of the first byte (dangling when empty).
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// Whether the memory came from our allocator (and so can be handed out again).
    pub fn is_ours(&self) -> bool {
        matches!(self.owner, Owner::Cache)
    }

    #[inline]
    fn first<T: Element>(&self, shape: &[usize], strides: &[isize], offset: usize) -> *mut T {
        assert!(
            spans(shape, strides, offset, self.bytes / size_of::<T>()),
            "a view of shape {shape:?}, strides {strides:?}, offset {offset} leaves its buffer of {} bytes",
            self.bytes
        );
        // Foreign memory may be unaligned (a field of a packed record); those are copied on import.
        debug_assert!(self.ptr.as_ptr().cast::<T>().is_aligned());
        self.ptr.as_ptr().cast::<T>().wrapping_add(offset)
    }

    /// A read-only view.  Strides and offset count elements of `T`.  Panics if it leaves the block.
    #[inline]
    pub fn view<'a, T: Element>(&'a self, shape: &'a [usize], strides: &'a [isize], offset: usize) -> View<'a, T> {
        View { ptr: self.first::<T>(shape, strides, offset), shape, strides, memory: PhantomData }
    }

    /// A view to write through.  Strides and offset count elements of `T`.  Panics if it leaves the block.
    #[inline]
    pub fn view_mut<'a, T: Element>(
        &'a self,
        shape: &'a [usize],
        strides: &'a [isize],
        offset: usize,
    ) -> ViewMut<'a, T> {
        ViewMut { ptr: self.first::<T>(shape, strides, offset), shape, strides, memory: PhantomData }
    }

    /// The bytes, to read.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: ptr is valid for `bytes` bytes while self lives; u8 accepts every bit pattern.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.bytes) }
    }

    /// Copies `src` into the block at byte `at`.  Panics if it does not fit.
    pub fn write_bytes(&self, at: usize, src: &[u8]) {
        assert!(at.checked_add(src.len()).is_some_and(|end| end <= self.bytes), "write past the end of a buffer");
        // SAFETY: the range was checked; `src` is a live slice; overlapping memory is allowed by `copy`.
        unsafe { std::ptr::copy(src.as_ptr(), self.ptr.as_ptr().add(at), src.len()) }
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        if matches!(self.owner, Owner::Cache) && self.bytes > 0 {
            // SAFETY: the block came from `alloc::alloc(self.bytes)` and nobody else frees it.
            unsafe { alloc::free(self.ptr, self.bytes) }
        }
    }
}

/// Whether every element of a strided view lies in `0..len`.
#[inline]
fn spans(shape: &[usize], strides: &[isize], offset: usize, len: usize) -> bool {
    if shape.len() != strides.len() {
        return false;
    }
    let (mut low, mut high) = (offset as i128, offset as i128);
    for (&n, &s) in shape.iter().zip(strides) {
        if n == 0 {
            return true;
        }
        let reach = (n as i128 - 1) * s as i128;
        if reach < 0 { low += reach } else { high += reach }
    }
    low >= 0 && high < len as i128
}

/// A checked, read-only strided view: `ptr` is the element at index zero.
#[derive(Clone, Copy)]
pub struct View<'a, T> {
    ptr: *const T,
    shape: &'a [usize],
    strides: &'a [isize],
    memory: PhantomData<&'a T>,
}

/// A checked strided view to write through.
pub struct ViewMut<'a, T> {
    ptr: *mut T,
    shape: &'a [usize],
    strides: &'a [isize],
    memory: PhantomData<&'a mut T>,
}

macro_rules! view_methods {
    ($name:ident, $ptr:ty) => {
        impl<'a, T: Element> $name<'a, T> {
            /// Address of the element at index zero; elements are reached by `strides`.
            #[inline]
            pub fn ptr(&self) -> $ptr {
                self.ptr
            }
            /// Length of each dimension.
            #[inline]
            pub fn shape(&self) -> &'a [usize] {
                self.shape
            }
            /// Elements from one index to the next, for each dimension.
            #[inline]
            pub fn strides(&self) -> &'a [isize] {
                self.strides
            }
            /// Number of elements.
            #[inline]
            pub fn len(&self) -> usize {
                self.shape.iter().product()
            }
            /// Whether there are none.
            #[inline]
            pub fn is_empty(&self) -> bool {
                self.shape.contains(&0)
            }
            /// Whether the elements follow each other in row-major order.
            #[inline]
            pub fn is_contiguous(&self) -> bool {
                let mut expect = 1isize;
                for (&n, &s) in self.shape.iter().zip(self.strides).rev() {
                    if n != 1 {
                        if s != expect {
                            return self.is_empty();
                        }
                        expect *= n as isize;
                    }
                }
                true
            }
        }
    };
}
view_methods!(View, *const T);
view_methods!(ViewMut, *mut T);

impl<'a, T: Element> View<'a, T> {
    /// The elements as a slice, if they are contiguous.
    #[inline]
    pub fn as_slice(&self) -> Option<&'a [T]> {
        let len = self.len();
        if len == 0 {
            return Some(&[]);
        }
        // SAFETY: the view was checked to lie inside its buffer, and its elements follow each other.
        self.is_contiguous().then(|| unsafe { std::slice::from_raw_parts(self.ptr, len) })
    }

    /// The first element in memory order of a view that has one.
    #[inline]
    pub fn first(&self) -> T {
        assert!(!self.is_empty(), "first element of an empty view");
        // SAFETY: a non-empty checked view has an element at index zero.
        unsafe { *self.ptr }
    }
}

impl<'a, T: Element> ViewMut<'a, T> {
    /// The elements as a slice, if they are contiguous.
    #[inline]
    pub fn into_slice(self) -> Option<&'a mut [T]> {
        let len = self.len();
        if len == 0 {
            return Some(&mut []);
        }
        // SAFETY: the view was checked to lie inside its buffer, and its elements follow each other.
        self.is_contiguous().then(|| unsafe { std::slice::from_raw_parts_mut(self.ptr, len) })
    }
}

#[cfg(test)]
mod tests {
    use super::spans;

    #[test]
    fn a_view_must_stay_inside() {
        assert!(spans(&[2, 3], &[3, 1], 0, 6));
        assert!(!spans(&[2, 3], &[3, 1], 1, 6));
        assert!(spans(&[3], &[-1], 2, 3));
        assert!(!spans(&[3], &[-1], 1, 3));
        assert!(spans(&[0, 9], &[100, 100], 0, 0));
        assert!(spans(&[1 << 40], &[0], 0, 1));
        assert!(!spans(&[1 << 40, 1 << 40], &[1 << 40, 1], 0, 1 << 20));
    }
}
