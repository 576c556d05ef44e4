"""Generators and the random functions that `opinfo/random.py` does not sample: streams, state, in-place, gradients."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from opinfo.random import MANY, moments

import pyneuro as pn
from pyneuro.testing import assert_close
from pyneuro.testing.compare import to_numpy

DRAWS: dict[str, Callable[[pn.Generator], pn.Tensor]] = {
    "rand": lambda g: pn.rand(1001, generator=g),
    "randn": lambda g: pn.randn(1001, generator=g),
    "randint": lambda g: pn.randint(0, 1000, (1001,), generator=g),
    "randperm": lambda g: pn.randperm(1001, generator=g),
    "bernoulli": lambda g: pn.bernoulli(pn.full((1001,), 0.5), generator=g),
    "normal": lambda g: pn.normal(1.0, 2.0, (1001,), generator=g),
    "multinomial": lambda g: pn.multinomial(pn.ones(50), 1001, replacement=True, generator=g),
    "uniform_": lambda g: pn.zeros(1001).uniform_(-1, 1, generator=g),
    "normal_": lambda g: pn.zeros(1001).normal_(1, 2, generator=g),
}


def equal(x: pn.Tensor, y: pn.Tensor) -> bool:
    return np.array_equal(to_numpy(x), to_numpy(y))


@pytest.mark.parametrize("name", DRAWS)
def test_seed_decides(name: str) -> None:
    draw = DRAWS[name]
    first = draw(pn.Generator().manual_seed(1))
    assert equal(first, draw(pn.Generator().manual_seed(1)))
    assert not equal(first, draw(pn.Generator().manual_seed(2)))
    assert not equal(first, draw(pn.Generator().manual_seed(2**63)))


@pytest.mark.parametrize("name", DRAWS)
def test_stream_goes_on(name: str) -> None:
    g = pn.Generator().manual_seed(1)
    assert not equal(DRAWS[name](g), DRAWS[name](g))


@pytest.mark.parametrize("name", DRAWS)
def test_state_can_be_kept(name: str) -> None:
    g = pn.Generator().manual_seed(1)
    DRAWS[name](g)
    state = g.get_state()
    expected = DRAWS[name](g)
    g.set_state(state)
    assert equal(DRAWS[name](g), expected)
    other = pn.Generator()
    other.set_state(state)
    assert equal(DRAWS[name](other), expected)


def test_global_generator() -> None:
    pn.manual_seed(5)
    first = pn.rand(10)
    pn.manual_seed(5)
    assert equal(pn.rand(10), first)
    pn.manual_seed(5)
    pn.rand(10, generator=pn.Generator().manual_seed(9))  # another stream leaves the global one alone
    assert equal(pn.rand(10), first)


@pytest.mark.parametrize("name", ["rand", "randn"])
def test_numbers_belong_to_elements(name: str) -> None:
    """Element i is the same however many follow it, and whatever the shape."""
    draw = getattr(pn, name)
    long = to_numpy(draw(10_007, generator=pn.Generator().manual_seed(3)))
    for n in (1, 2, 3, 5, 255, 4099):
        assert np.array_equal(to_numpy(draw(n, generator=pn.Generator().manual_seed(3))), long[:n])
    grid = to_numpy(draw(7, 11, generator=pn.Generator().manual_seed(3)))
    assert np.array_equal(grid.reshape(-1), long[:77])


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["rand", "randn", "randint", "bernoulli"])
def test_every_device_draws_the_same(name: str, gpu: str) -> None:
    calls: dict[str, Callable[[str, Any], pn.Tensor]] = {
        "rand": lambda d, g: pn.rand(4099, device=d, generator=g),
        "randn": lambda d, g: pn.randn(4099, device=d, generator=g),
        "randint": lambda d, g: pn.randint(-5, 1000, (4099,), device=d, generator=g),
        "bernoulli": lambda d, g: pn.bernoulli(pn.full((4099,), 0.3, device=d), generator=g),
    }
    on_cpu, on_gpu = (calls[name](d, pn.Generator().manual_seed(7)) for d in ("cpu", gpu))
    assert_close(on_gpu, on_cpu, rtol=0, atol=0, check_device=False)


@pytest.mark.parametrize(("variable", "value"), [("PYNEURO_NUM_THREADS", "1"), ("PYNEURO_ISA", "scalar")])
def test_numbers_do_not_depend_on_the_machine(variable: str, value: str) -> None:
    code = """
import pyneuro as pn
pn.manual_seed(1)
print(pn.rand(300_000).sum().item(), pn.randn(300_001)[-5:].tolist(), pn.randperm(9).tolist())
"""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYNEURO_")}
    runs = [
        subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
        for env in (clean, {**clean, variable: value})
    ]
    assert runs[0].split()[1:] == runs[1].split()[1:]
    assert abs(float(runs[0].split()[0]) - float(runs[1].split()[0])) < 0.1


def test_normal() -> None:
    moments(to_numpy(pn.normal(3.0, 2.0, (MANY,))), 3.0, 4.0)
    means = pn.tensor([0.0, 100.0])
    assert_close(pn.normal(means, 0.0), means)
    assert pn.normal(means, pn.ones(3, 2)).shape == (3, 2)
    with pytest.raises(ValueError, match=r"^normal: .*got -1"):
        pn.normal(0.0, -1.0, (2,))


def test_randint_like() -> None:
    x = pn.randint_like(pn.zeros(1000, dtype=pn.int16), -3, 3)
    assert x.dtype == pn.int16
    assert set(x.tolist()) == {-3, -2, -1, 0, 1, 2}


def test_multinomial() -> None:
    weights = pn.tensor([1.0, 0.0, 3.0])
    drawn = to_numpy(pn.multinomial(weights, MANY, replacement=True))
    assert drawn.dtype == np.int64
    moments((drawn == 2).astype(np.float64), 0.75, 0.1875)
    assert not (drawn == 1).any()
    rows = pn.multinomial(pn.ones(5, 4), 4)
    assert_close(rows.sort()[0], np.tile(np.arange(4), (5, 1)))
    for bad, message in (
        (lambda: pn.multinomial(weights, 3), r"got 3"),
        (lambda: pn.multinomial(-weights, 1), r">= 0"),
        (lambda: pn.multinomial(weights * 0, 1), r"positive"),
        (lambda: pn.multinomial(weights * float("nan"), 1), r"finite"),
    ):
        with pytest.raises(ValueError, match=rf"^multinomial: .*{message}"):
            bad()


def test_in_place() -> None:
    x = pn.empty(MANY)
    moments(to_numpy(x.uniform_(2, 6)), 4.0, 16 / 12)
    moments(to_numpy(x.normal_(1, 3)), 1.0, 9.0)
    moments(to_numpy(x.bernoulli_(0.25)), 0.25, 0.1875)
    drawn = to_numpy(x.random_(0, 4))
    assert set(drawn) == {0, 1, 2, 3}
    moments(drawn, 1.5, 1.25)
    y = pn.zeros(4, 6)
    y[:, ::2].normal_()
    assert (y[:, 1::2] == 0).all()
    assert (y[:, ::2] != 0).all()


def test_dropout_gradient() -> None:
    """Backward uses the mask of forward."""
    x = pn.ones(1000, requires_grad=True)
    y = pn.nn.functional.dropout(x, 0.25)
    y.sum().backward()
    assert_close(x.grad, y.detach())
    kept = to_numpy(y) != 0
    assert 650 < kept.sum() < 850
    assert_close(y[pn.tensor(kept)].detach(), np.full(int(kept.sum()), 4 / 3, np.float32))


@pytest.mark.parametrize("dims", [1, 2])
def test_dropout_of_channels(dims: int) -> None:
    """`dropout1d` and `dropout2d` drop whole channels."""
    x = pn.ones(200, 10, *(3,) * dims)
    y = to_numpy(getattr(pn.nn.functional, f"dropout{dims}d")(x, 0.5)).reshape(2000, -1)
    assert ((y == 0).all(axis=1) | (y == 2).all(axis=1)).all()
    assert 850 < (y[:, 0] == 0).sum() < 1150
    assert_close(getattr(pn.nn.functional, f"dropout{dims}d")(x, 0.5, training=False), x)
