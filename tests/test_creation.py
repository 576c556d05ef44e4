"""Tensors from Python and NumPy data, and small helpers about shapes and types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyneuro as pn
from pyneuro.testing import assert_close


def test_tensor_copies() -> None:
    array = np.zeros(3, np.float32)
    x = pn.tensor(array)
    array[0] = 5
    assert x.tolist() == [0, 0, 0]


@pytest.mark.parametrize("make", [pn.as_tensor, pn.asarray, pn.from_numpy])
def test_as_tensor_shares(make: Any) -> None:
    array = np.zeros(3, np.float32)
    x = make(array)
    array[0] = 5
    assert x.tolist() == [5, 0, 0]


def test_as_tensor_returns_tensors_untouched() -> None:
    x = pn.ones(2)
    assert pn.as_tensor(x) is x
    assert pn.as_tensor(x, dtype=pn.float64).dtype == pn.float64


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (3, np.array(3)),
        ([[1, 2], [3, 4]], np.array([[1, 2], [3, 4]])),
        (((1.5, 2.5),), np.array([[1.5, 2.5]], np.float32)),
        ([], np.zeros(0, np.float32)),
        ([[], []], np.zeros((2, 0), np.float32)),
        ([True, False], np.array([True, False])),
        (range(3), np.arange(3)),
        (np.float64(1.5), np.array(1.5)),
        (np.arange(3, dtype=np.int16), np.arange(3, dtype=np.int16)),
        ([np.float32(1), np.float32(2)], np.array([1, 2], np.float32)),
    ],
)
def test_tensor_of(data: Any, expected: Any) -> None:
    x = pn.tensor(data)
    assert x.numpy().dtype == expected.dtype
    assert_close(x, expected)


def test_tensor_of_tensors() -> None:
    assert pn.tensor([pn.tensor(1.0), pn.tensor(2.0)]).tolist() == [1.0, 2.0]


def test_requires_grad_at_birth() -> None:
    for x in (pn.tensor([1.0], requires_grad=True), pn.zeros(1, requires_grad=True), pn.randn(2, requires_grad=True)):
        assert x.requires_grad
        assert x.is_leaf


def test_broadcast_shapes() -> None:
    assert tuple(pn.broadcast_shapes((3, 1), (4,), (2, 1, 1))) == (2, 3, 4)
    assert tuple(pn.broadcast_shapes()) == ()
    with pytest.raises(ValueError, match=r"^broadcast_shapes: .*got"):
        pn.broadcast_shapes((3,), (4,))


def test_type_as() -> None:
    assert pn.ones(2, dtype=pn.int64).type_as(pn.ones(1, dtype=pn.float16)).dtype == pn.float16


def test_tolist_and_item() -> None:
    assert pn.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert isinstance(pn.tensor(True).item(), bool)
    assert isinstance(pn.tensor(1).item(), int)
    assert isinstance(pn.tensor(1.0).item(), float)
    assert pn.tensor(2**62 + 1).item() == 2**62 + 1
    assert float(pn.tensor(0.1, dtype=pn.float64)) == 0.1
    assert int(pn.tensor(3.7)) == 3
    assert [10, 20, 30][pn.tensor(1)] == 20


def test_array_protocols() -> None:
    x = pn.tensor([1.0, 2.0])
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    copied = np.array(x)
    copied[0] = 9
    assert x.tolist() == [1, 2]
    assert memoryview(x.numpy()).nbytes == 8


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (pn.tensor([1.0, 2.5]), "tensor([1.0000, 2.5000])"),
        (pn.tensor([1, -2]), "tensor([ 1, -2])"),
        (pn.tensor([True, False]), "tensor([ True, False])"),
        (pn.tensor(3), "tensor(3)"),
        (pn.zeros(0), "tensor([])"),
        (pn.ones(2, dtype=pn.float64), "tensor([1., 1.], dtype=pyneuro.float64)"),
        (pn.ones(1, requires_grad=True), "tensor([1.], requires_grad=True)"),
    ],
)
def test_repr(x: pn.Tensor, text: str) -> None:
    assert repr(x) == text


def test_repr_of_large_tensors_is_short() -> None:
    for x in (pn.zeros(10**6), pn.zeros(1000, 1000), pn.ones(1).expand(2**40)):
        assert len(repr(x)) < 3000
        assert "..." in repr(x)
