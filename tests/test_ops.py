"""Every op of `opinfo` x dtype x device, over all its samples: values, dtypes, shapes, layouts, errors, variants."""

from __future__ import annotations

from typing import Any

import pytest
from opinfo import OPS, OpInfo, Sample
from opinfo.harness import (
    LAYOUTS,
    as_tuple,
    check_results,
    check_untouched,
    draws,
    each,
    expanded_sample,
    function,
    map_arrays,
    tensor,
    tensors,
)

import pyneuro as pn
from pyneuro.testing import assert_close
from pyneuro.testing.compare import to_numpy


def ops(chosen: Any) -> Any:
    """pytest parameters (op)."""
    return pytest.mark.parametrize("info", [pytest.param(i, id=i.name) for i in chosen])


@pytest.mark.parametrize(("info", "dtype"), [pytest.param(i, d, id=f"{i.name}-{d}") for i in OPS for d in i.dtypes])
def test_value(info: OpInfo, dtype: str) -> None:
    """Values against NumPy in float64, dtype and shape rules; inputs stay as they were."""

    def run(sample: Sample) -> None:
        args, kwargs, pairs = tensors(sample, lambda a: tensor(a, dtype))
        check_results(info, sample, dtype, function(info)(*args, **kwargs))
        check_untouched(pairs)

    assert each(info, draws(info, dtype), run) > 0, "no samples"


@ops([i for i in OPS if i.ref is not None and i.layouts])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout(info: OpInfo, layout: str) -> None:
    """The same values in another layout give the same result; so do inputs with stride 0."""
    dtype = info.dtypes[0]

    def run(sample: Sample) -> None:
        args, kwargs, pairs = tensors(sample, lambda a: LAYOUTS[layout](tensor(a, dtype)))
        check_untouched(pairs)  # the layout itself keeps the values
        check_results(info, sample, dtype, function(info)(*args, **kwargs))
        check_untouched(pairs)

    each(info, draws(info, dtype), run)


@ops([i for i in OPS if i.ref is not None and i.layouts and i.equal_rows and "float32" in i.dtypes])
def test_expanded(info: OpInfo) -> None:
    """A first operand of stride 0 along its first dim."""

    def run(sample: Sample) -> None:
        args, kwargs, _ = tensors(Sample((sample.args[0][:1], *sample.args[1:]), sample.kwargs), tensor)
        args[0] = args[0].expand(*sample.args[0].shape)
        check_results(info, sample, "float32", function(info)(*args, **kwargs))

    each(info, filter(None, map(expanded_sample, draws(info, "float32"))), run)


@ops([i for i in OPS if i.method])
def test_method(info: OpInfo) -> None:
    """`x.op(...)` is `pn.op(x, ...)`."""

    def run(sample: Sample) -> None:
        args, kwargs, _ = tensors(sample, lambda a: tensor(a, info.dtypes[0]))
        expected = as_tuple(function(info)(*args, **kwargs))
        got = as_tuple(getattr(args[0], info.name)(*args[1:], **kwargs))
        assert_close(got, expected, equal_nan=True, rtol=0, atol=0)

    each(info, list(draws(info, info.dtypes[0]))[:4], run)


@ops([i for i in OPS if i.inplace])
def test_inplace(info: OpInfo) -> None:
    """`x.op_(...)` writes what `x.op(...)` gives into x, returns x and bumps its version."""

    def run(sample: Sample) -> None:
        args, kwargs, pairs = tensors(sample, lambda a: tensor(a, info.dtypes[0]))
        expected = function(info)(*args, **kwargs)
        if expected.shape != args[0].shape:
            return  # broadcasting would enlarge x; that error is tested in test_hostile.py
        x = args[0].clone()
        base = pn.zeros(2, *x.shape, dtype=x.dtype)
        view = base[1]
        for target in (x, view):
            target.copy_(args[0])
            version = target._version
            returned = getattr(target, f"{info.name}_")(*args[1:], **kwargs)
            assert returned is target, "an in-place op returns its tensor"
            assert target._version > version, "the version counter did not move"
            assert_close(target, expected, equal_nan=True, rtol=0, atol=0)
        assert_close(base[1], expected, equal_nan=True, rtol=0, atol=0)
        assert (to_numpy(base[0]) == 0).all(), "wrote outside of the view"
        check_untouched(pairs)

    each(info, draws(info, info.dtypes[0]), run)


@pytest.mark.parametrize(
    ("info", "number"), [pytest.param(i, n, id=f"{i.name}-{n}") for i in OPS for n in range(len(i.errors))]
)
def test_error(info: OpInfo, number: int) -> None:
    """A call outside of the domain raises the right exception with a message that names the op."""
    error = info.errors[number]
    args, kwargs = map_arrays(tensor, list(error.args)), map_arrays(tensor, error.kwargs)
    with pytest.raises(error.exception, match=error.message):
        function(info)(*args, **kwargs)
