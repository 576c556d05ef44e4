//! Matrix products.

use crate::convert::{opt_tensor, tensor};
use crate::error::run;
use crate::tensor::{PyTensor, heavy, wrap};
use pyneuro_core::Tensor;
use pyneuro_core::ops::linalg;
use pyo3::prelude::*;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;

/// Multiplications from which on a product takes longer than handing the GIL over and back.
const HEAVY_PRODUCT: usize = 1 << 20;

/// Whether a product of these operands is long work: every element of one meets a row or column of the other.
fn heavy_product(a: &Tensor, b: &Tensor) -> bool {
    let columns = b.shape().last().copied().unwrap_or(1);
    a.numel().saturating_mul(columns).max(b.numel()) >= HEAVY_PRODUCT
}

/// `a @ b`.
pub fn product(py: Python<'_>, a: &Tensor, b: &Tensor) -> PyResult<Tensor> {
    run(py, heavy_product(a, b) || heavy([a, b]), || linalg::matmul(a, b))
}

/// The product of vectors, matrices or stacks of matrices.
#[pyfunction]
fn matmul<'py>(a: &Bound<'py, PyAny>, b: &Bound<'py, PyAny>) -> Out<'py> {
    let (x, y) = (tensor("matmul", a)?, tensor("matmul", b)?);
    wrap(a.py(), product(a.py(), &x, &y)?)
}

/// `x w^T + b`.
#[pyfunction]
#[pyo3(signature = (x, w, b=None))]
fn linear<'py>(x: &Bound<'py, PyAny>, w: &Bound<'py, PyAny>, b: Option<&Bound<'py, PyAny>>) -> Out<'py> {
    let (t, weight, bias) = (tensor("linear", x)?, tensor("linear", w)?, opt_tensor("linear", b)?);
    let work = t.numel().saturating_mul(weight.shape().first().copied().unwrap_or(1));
    wrap(
        x.py(),
        run(x.py(), work >= HEAVY_PRODUCT || heavy([&t, &weight]), || linalg::linear(&t, &weight, bias.as_ref()))?,
    )
}

crate::register!(matmul, linear);
