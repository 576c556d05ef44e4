"""Every differentiable op of `opinfo` over its samples: first and second derivatives against float64 differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from opinfo import OPS, OpInfo, Sample
from opinfo.core import Array
from opinfo.harness import LAYOUTS, as_tuple, draws, each, function, map_arrays, tensor

import pyneuro as pn
from pyneuro.testing import gradcheck, gradgradcheck

FIRST = [i for i in OPS if i.grad >= 1 and "float64" in i.dtypes]
SECOND = [i for i in FIRST if i.grad >= 2]
NONE = [i for i in OPS if i.grad == 0 and i.ref is not None and "float32" in i.dtypes]

# Finite differences of every element of a Jacobian cost two calls per element of the input; above this many entries,
# random projections stand in.
FULL = 400


def bound(info: OpInfo, sample: Sample, layout: str | None = None) -> tuple[Callable[..., Any], list[pn.Tensor]]:
    """`(fn, inputs)`: the op as a function of its floating point arrays alone."""
    inputs: list[pn.Tensor] = []

    def take(array: Array) -> Any:
        if array.dtype.kind != "f":
            return tensor(array)
        x = tensor(array, "float64")
        inputs.append((x if layout is None else LAYOUTS[layout](x)).detach().requires_grad_())
        return Slot(len(inputs) - 1)

    args, kwargs = map_arrays(take, list(sample.args)), map_arrays(take, sample.kwargs)
    fn = function(info)

    def call(*values: pn.Tensor) -> Any:
        return fn(*fill(args, values), **fill(kwargs, values))

    return call, inputs


class Slot:
    """Where an input belongs among the arguments."""

    def __init__(self, position: int) -> None:
        self.position = position


def fill(value: Any, values: Sequence[pn.Tensor]) -> Any:
    """`value` with tensors in place of the slots."""
    if isinstance(value, Slot):
        return values[value.position]
    if isinstance(value, (list, tuple)):
        return type(value)(fill(v, values) for v in value)
    if isinstance(value, dict):
        return {k: fill(v, values) for k, v in value.items()}
    return value


def smooth(info: OpInfo, largest: int) -> list[Sample]:
    """The samples at which derivatives exist, up to a size."""

    def size(sample: Sample) -> int:
        total = 0

        def add(array: Array) -> None:
            nonlocal total
            total += array.size if array.dtype.kind == "f" else 0

        map_arrays(add, [*sample.args, *sample.kwargs.values()])
        return total

    return [s for s in draws(info, "float64") if s.grad and size(s) <= largest]


@pytest.mark.parametrize("info", [pytest.param(i, id=i.name) for i in FIRST])
def test_gradcheck(info: OpInfo) -> None:
    def run(sample: Sample) -> None:
        fn, inputs = bound(info, sample)
        outputs = [o for o in as_tuple(fn(*inputs)) if o.is_floating_point()]
        assert all(o.requires_grad for o in outputs), "the op lost the gradient"
        entries = sum(x.numel() for x in inputs) * sum(o.numel() for o in outputs)
        gradcheck(fn, inputs, fast=entries > FULL, name=info.name)

    assert each(info, smooth(info, 20_000), run) > 0, "no samples with a gradient"


@pytest.mark.parametrize("layout", ["transposed", "reversed"])
@pytest.mark.parametrize("info", [pytest.param(i, id=i.name) for i in FIRST if i.layouts])
def test_gradcheck_layout(info: OpInfo, layout: str) -> None:
    """Gradients do not depend on how the inputs lie in memory."""

    def run(sample: Sample) -> None:
        fn, inputs = bound(info, sample, layout)
        gradcheck(fn, inputs, fast=True, name=info.name)

    each(info, smooth(info, 1000), run)


@pytest.mark.parametrize("info", [pytest.param(i, id=i.name) for i in SECOND])
def test_gradgradcheck(info: OpInfo) -> None:
    def run(sample: Sample) -> None:
        fn, inputs = bound(info, sample)
        gradgradcheck(fn, inputs, fast=sum(x.numel() for x in inputs) > 6, name=info.name)

    assert each(info, smooth(info, 1000), run) > 0, "no samples with a gradient"


@pytest.mark.parametrize("info", [pytest.param(i, id=i.name) for i in NONE])
def test_no_gradient(info: OpInfo) -> None:
    """An op without gradient gives results that do not require one, or refuses and names itself."""

    def run(sample: Sample) -> None:
        args = map_arrays(lambda a: tensor(a, "float32", requires_grad=True), list(sample.args))
        for output in as_tuple(function(info)(*args, **sample.kwargs)):
            if output.requires_grad:
                with pytest.raises(RuntimeError, match=info.name):
                    output.sum().backward()

    each(info, list(draws(info, "float32"))[:3], run)
