//! What can go wrong, in the words the user reads: `op: requirement, got value`.

use std::any::Any;
use std::fmt;

/// Which Python exception an error becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ValueError`
    Value,
    /// `TypeError`
    Type,
    /// `IndexError`
    Index,
    /// `RuntimeError`
    Runtime,
    /// `MemoryError`
    Memory,
    /// `NotImplementedError`
    NotImplemented,
    /// `OverflowError`
    Overflow,
    /// `ZeroDivisionError`
    ZeroDivision,
}

/// An error with its message, or one that came from outside (a Python hook) and is handed back as it was.
pub struct Error {
    /// Its class.
    pub kind: Kind,
    /// `op: requirement, got value`.
    pub message: String,
    /// An exception of the host language, passed through untouched.
    pub foreign: Option<Box<dyn Any + Send + Sync>>,
}

/// The result of nearly everything here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind`; usually made by [`bail!`](crate::bail).
    #[cold]
    pub fn new(kind: Kind, message: String) -> Self {
        Self { kind, message, foreign: None }
    }

    /// The same class and message; for a formula that meets one failed operand twice.
    #[cold]
    pub fn copy(&self) -> Self {
        Self::new(self.kind, self.message.clone())
    }

    /// Wraps an exception of the host language.
    #[cold]
    pub fn foreign(value: Box<dyn Any + Send + Sync>) -> Self {
        Self { kind: Kind::Runtime, message: "an error from a callback".to_owned(), foreign: Some(value) }
    }

    /// Out of memory while an op wanted `bytes`.
    #[cold]
    pub fn memory(bytes: usize) -> Self {
        Self::new(Kind::Memory, format!("allocate: cannot get {bytes} bytes of CPU memory"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Error {}

/// Makes an [`Error`]: `err!(Value, "softmax: dim must be ..., got {dim}")`.
#[macro_export]
macro_rules! err {
    ($kind:ident, $($fmt:tt)+) => { $crate::error::Error::new($crate::error::Kind::$kind, format!($($fmt)+)) };
}

/// Returns an [`Error`].
#[macro_export]
macro_rules! bail {
    ($kind:ident, $($fmt:tt)+) => { return Err($crate::err!($kind, $($fmt)+)) };
}

/// Returns an [`Error`] unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($cond:expr, $kind:ident, $($fmt:tt)+) => { if !$cond { $crate::bail!($kind, $($fmt)+) } };
}
