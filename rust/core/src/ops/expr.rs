//! Arithmetic on tensors that may have failed, so that gradient rules read like their formulas.
//!
//! `g * (1.0 - &y * &y)` is the gradient of tanh; the first error on the way is what comes out.

use super::elementwise as e;
use crate::error::Result;
use crate::op::{Attrs, OpDef, call1};
use crate::tensor::Tensor;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A tensor, or the error met while computing it.
pub struct Expr(pub Result<Tensor>);

impl From<&Tensor> for Expr {
    fn from(t: &Tensor) -> Self {
        Self(Ok(t.clone()))
    }
}

fn apply(def: &'static OpDef, attrs: Attrs, args: &[&Expr]) -> Expr {
    let mut inputs: smallvec::SmallVec<[&Tensor; 3]> = smallvec::SmallVec::new();
    for a in args {
        match &a.0 {
            Ok(t) => inputs.push(t),
            Err(e) => return Expr(Err(e.copy())),
        }
    }
    Expr(call1(def, attrs, &inputs))
}

/// A number that takes the dtype of the tensor beside it.
fn number(c: f64, beside: &Expr) -> Expr {
    match &beside.0 {
        Ok(t) => Expr(Tensor::scalar(c, t.dtype().to_float())),
        Err(e) => Expr(Err(e.copy())),
    }
}

macro_rules! operators { ($($trait:ident $method:ident $def:ident),*) => { $(
    impl $trait<&Expr> for &Expr {
        type Output = Expr;
        fn $method(self, other: &Expr) -> Expr { apply(&e::$def, Attrs::None, &[self, other]) }
    }
    impl $trait<Expr> for Expr {
        type Output = Expr;
        fn $method(self, other: Expr) -> Expr { (&self).$method(&other) }
    }
    impl $trait<&Expr> for Expr {
        type Output = Expr;
        fn $method(self, other: &Expr) -> Expr { (&self).$method(other) }
    }
    impl $trait<Expr> for &Expr {
        type Output = Expr;
        fn $method(self, other: Expr) -> Expr { self.$method(&other) }
    }
    impl $trait<f64> for Expr {
        type Output = Expr;
        fn $method(self, other: f64) -> Expr { (&self).$method(other) }
    }
    impl $trait<f64> for &Expr {
        type Output = Expr;
        fn $method(self, other: f64) -> Expr { self.$method(&number(other, self)) }
    }
    impl $trait<Expr> for f64 {
        type Output = Expr;
        fn $method(self, other: Expr) -> Expr { self.$method(&other) }
    }
    impl $trait<&Expr> for f64 {
        type Output = Expr;
        fn $method(self, other: &Expr) -> Expr { (&number(self, other)).$method(other) }
    }
)* } }
operators!(Add add ADD, Sub sub SUB, Mul mul MUL, Div div DIV);

impl Neg for &Expr {
    type Output = Expr;
    fn neg(self) -> Expr {
        self.op(&e::NEG)
    }
}

impl Neg for Expr {
    type Output = Expr;
    fn neg(self) -> Expr {
        -&self
    }
}

impl Expr {
    /// A saved tensor, if it was saved; a formula that uses it although it was not is a defect and fails.
    pub(crate) fn saved(tensors: &[Option<Tensor>], i: usize) -> Self {
        match &tensors[i] {
            Some(t) => Self::from(t),
            None => Self(Err(crate::err!(Runtime, "a gradient uses input {i}, which was not saved"))),
        }
    }

    /// Itself.
    pub fn same(&self) -> Self {
        self.map(|t| Ok(t.clone()))
    }

    /// Any op with one input and no attributes.
    pub fn op(&self, def: &'static OpDef) -> Self {
        apply(def, Attrs::None, &[self])
    }

    /// Any op with two inputs and no attributes.
    pub fn op2(&self, def: &'static OpDef, other: &Self) -> Self {
        apply(def, Attrs::None, &[self, other])
    }

    /// Any op with one input.
    pub fn op_attrs(&self, def: &'static OpDef, attrs: Attrs) -> Self {
        apply(def, attrs, &[self])
    }

    /// What `f` makes of it.
    pub fn map(&self, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Self {
        match &self.0 {
            Ok(t) => Self(f(t)),
            Err(e) => Self(Err(e.copy())),
        }
    }

    /// An elementwise op with numbers as attributes.
    pub fn op_with(&self, def: &'static OpDef, scalars: [f64; 2]) -> Self {
        apply(def, Attrs::Scalars(scalars), &[self])
    }

    /// A comparison with a number, as bool.
    pub fn compare(&self, def: &'static OpDef, c: f64) -> Self {
        apply(def, Attrs::None, &[self, &number(c, self)])
    }

    /// A comparison of integers with an integer, as bool.
    pub fn compare_int(&self, def: &'static OpDef, c: i64) -> Self {
        apply(def, Attrs::None, &[self, &Self(Tensor::scalar_int(c))])
    }

    /// Itself where `mask` holds, zero elsewhere: drops even NaN and infinity there.
    pub fn masked(&self, mask: &Self) -> Self {
        apply(&e::WHERE, Attrs::None, &[mask, self, &number(0.0, self)])
    }

    /// `self` where `mask` holds, else `other`.
    pub fn or(&self, mask: &Self, other: &Self) -> Self {
        apply(&e::WHERE, Attrs::None, &[mask, self, other])
    }
}
