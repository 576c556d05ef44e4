"""`pyneuro.testing` itself: what is wrong has to be found, and named."""

from __future__ import annotations

from typing import Any

import pytest

import pyneuro as pn
from pyneuro.testing import GradcheckError, assert_close, gradcheck, gradgradcheck


def leaf(*values: float) -> pn.Tensor:
    return pn.tensor(values, dtype=pn.float64, requires_grad=True)


# --- gradcheck itself ----------------------------------------------------------------------------


class WrongTanh(pn.autograd.Function):
    """Right in all elements but the last, and only there wrong."""

    @staticmethod
    def forward(ctx: Any, x: pn.Tensor) -> pn.Tensor:
        y = x.tanh()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: pn.Tensor) -> pn.Tensor:
        (y,) = ctx.saved_tensors
        wrong = grad * (1 - y * y)
        return pn.cat([wrong[:-1], wrong[-1:] * 1.001])


@pytest.mark.parametrize("fast", [False, True])
def test_gradcheck_finds_a_wrong_gradient(fast: bool) -> None:
    with pytest.raises(GradcheckError, match=r"apply: gradient of output 0"):
        gradcheck(WrongTanh.apply, leaf(0.1, 0.2, 0.3), fast=fast)


def test_gradcheck_names_argument_and_element() -> None:
    with pytest.raises(GradcheckError, match=r"broken: .*output 0 element \[1, 2\].*input 1 element \[2\]: got"):
        gradcheck(
            lambda x, y: pn.cat([x[:1] * 1, (x + WrongTanh.apply(y))[1:]]),
            (pn.zeros(2, 3, dtype=pn.float64, requires_grad=True), leaf(0.1, 0.2, 0.3)),
            name="broken",
        )


class OnceOnly(pn.autograd.Function):
    """A right first derivative that forgets its own dependence on x."""

    @staticmethod
    def forward(ctx: Any, x: pn.Tensor) -> pn.Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, grad: pn.Tensor) -> pn.Tensor:
        (x,) = ctx.saved_tensors
        return grad * 2 * x.detach()


def test_gradgradcheck_finds_a_wrong_second_derivative() -> None:
    gradcheck(OnceOnly.apply, leaf(0.5, 2.0))
    with pytest.raises(GradcheckError, match=r"backward of "):
        gradgradcheck(OnceOnly.apply, leaf(0.5, 2.0))


def test_gradcheck_refuses_float32() -> None:
    with pytest.raises(ValueError, match=r"^gradcheck: .*float64"):
        gradcheck(pn.tanh, pn.ones(2, requires_grad=True))
    with pytest.raises(ValueError, match=r"^gradcheck: .*require"):
        gradcheck(pn.tanh, pn.ones(2, dtype=pn.float64))


def test_gradcheck_finds_a_dropped_gradient() -> None:
    with pytest.raises((GradcheckError, ValueError)):
        gradcheck(lambda x: x.detach() * 2 + 0 * x, leaf(1, 2))


# --- assert_close itself -------------------------------------------------------------------------


def test_assert_close_fails_where_it_should() -> None:
    one = pn.ones(2)
    assert_close(one, one + 1e-6)
    for bad, message in (
        (one + 1e-3, "2 of 2 elements differ"),
        (pn.ones(3), "shapes differ"),
        (pn.ones(2, dtype=pn.float64), "dtypes differ"),
        (pn.tensor([1.0, float("nan")]), r"worst at \[1\]"),
        (pn.tensor([1.0, float("inf")]), r"worst at \[1\]"),
    ):
        with pytest.raises(AssertionError, match=message):
            assert_close(bad, one)
        with pytest.raises(AssertionError, match=message):
            assert_close(one, bad)
    nan = pn.tensor([float("nan")])
    with pytest.raises(AssertionError, match="nan"):
        assert_close(nan, nan)
    assert_close(nan, nan, equal_nan=True)
    with pytest.raises(AssertionError, match=r"item \[1\].*worst at \[\]"):
        assert_close([1, 2], [1, 3])
    with pytest.raises(AssertionError, match="lengths differ"):
        assert_close([1, 2], [1])
    with pytest.raises(AssertionError, match="keys differ"):
        assert_close({"a": 1}, {"b": 1})
    assert_close(pn.tensor([2**53 + 1]), pn.tensor([2**53 + 1]))
    with pytest.raises(AssertionError):  # integers compare as integers, not as floats
        assert_close(pn.tensor([2**53 + 1]), pn.tensor([2**53]))
