//! Convolution and pooling.

use crate::convert::{opt_tensor, pair, single, tensor};
use crate::error::run;
use crate::tensor::{PyTensor, heavy, wrap};
use pyneuro_core::Tensor;
use pyneuro_core::ops::{conv, pooling};
use pyo3::prelude::*;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;
type Arg<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// Whether a convolution takes longer than handing the GIL over and back: each element meets a filter per channel.
fn long(x: &Tensor, w: &Tensor) -> bool {
    heavy([x, w]) || x.numel().saturating_mul(w.numel()) >= 1 << 20
}

/// A cross-correlation of signals (n, c, length).
#[pyfunction]
fn conv1d<'py>(
    x: &Bound<'py, PyAny>,
    w: &Bound<'py, PyAny>,
    b: Arg<'_, 'py>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    groups: usize,
) -> Out<'py> {
    let (t, weight, bias) = (tensor("conv1d", x)?, tensor("conv1d", w)?, opt_tensor("conv1d", b)?);
    let (s, p, d) = (single("conv1d", stride)?, single("conv1d", padding)?, single("conv1d", dilation)?);
    let made = run(x.py(), long(&t, &weight), || conv::conv1d(&t, &weight, bias.as_ref(), s, p, d, groups))?;
    wrap(x.py(), made)
}

/// A cross-correlation of images (n, c, height, width).
#[pyfunction]
fn conv2d<'py>(
    x: &Bound<'py, PyAny>,
    w: &Bound<'py, PyAny>,
    b: Arg<'_, 'py>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    groups: usize,
) -> Out<'py> {
    let (t, weight, bias) = (tensor("conv2d", x)?, tensor("conv2d", w)?, opt_tensor("conv2d", b)?);
    let (s, p, d) = (pair("conv2d", stride)?, pair("conv2d", padding)?, pair("conv2d", dilation)?);
    let made = run(x.py(), long(&t, &weight), || conv::conv2d(&t, &weight, bias.as_ref(), s, p, d, groups))?;
    wrap(x.py(), made)
}

/// The convolution of which `conv2d` is the input gradient.
#[pyfunction]
fn conv_transpose2d<'py>(
    x: &Bound<'py, PyAny>,
    w: &Bound<'py, PyAny>,
    b: Arg<'_, 'py>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    output_padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    groups: usize,
) -> Out<'py> {
    const OP: &str = "conv_transpose2d";
    let (t, weight, bias) = (tensor(OP, x)?, tensor(OP, w)?, opt_tensor(OP, b)?);
    let (s, p, o, d) = (pair(OP, stride)?, pair(OP, padding)?, pair(OP, output_padding)?, pair(OP, dilation)?);
    let made =
        run(x.py(), long(&t, &weight), || conv::conv_transpose2d(&t, &weight, bias.as_ref(), s, p, o, d, groups))?;
    wrap(x.py(), made)
}

/// The greatest element of each window, and its flat index in its plane.
#[pyfunction]
fn max_pool2d<'py>(
    x: &Bound<'py, PyAny>,
    kernel: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    ceil_mode: bool,
) -> PyResult<(Bound<'py, PyTensor>, Bound<'py, PyTensor>)> {
    const OP: &str = "max_pool2d";
    let t = tensor(OP, x)?;
    let (k, s, p, d) = (pair(OP, kernel)?, pair(OP, stride)?, pair(OP, padding)?, pair(OP, dilation)?);
    let (values, indices) = run(x.py(), heavy([&t]), || pooling::max_pool2d(&t, k, s, p, d, ceil_mode))?;
    Ok((wrap(x.py(), values)?, wrap(x.py(), indices)?))
}

/// The mean of each window.
#[pyfunction]
#[pyo3(signature = (x, kernel, stride, padding, ceil_mode, count_include_pad, divisor=None))]
fn avg_pool2d<'py>(
    x: &Bound<'py, PyAny>,
    kernel: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: Option<usize>,
) -> Out<'py> {
    const OP: &str = "avg_pool2d";
    let t = tensor(OP, x)?;
    let (k, s, p) = (pair(OP, kernel)?, pair(OP, stride)?, pair(OP, padding)?);
    let made = run(x.py(), heavy([&t]), || pooling::avg_pool2d(&t, k, s, p, ceil_mode, count_include_pad, divisor))?;
    wrap(x.py(), made)
}

crate::register!(conv1d, conv2d, conv_transpose2d, max_pool2d, avg_pool2d);
