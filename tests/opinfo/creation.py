"""Ops that make tensors from sizes.  There is no input dtype; `dtype` in the samples is the one asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from opinfo.core import ALL, NUMERIC, Array, Draw, OpInfo, Sample, error, floats, sample


def made(name: str, ref: Callable[..., Any], *calls: tuple[Any, ...], **info: Any) -> OpInfo:
    """Samples `pn.<name>(*call, dtype=<under test>)`."""

    def fn(*args: Any, dtype: str, **kwargs: Any) -> Any:
        import pyneuro as pn

        return getattr(pn, name)(*args, dtype=getattr(pn, dtype), **kwargs)

    def samples(draw: Draw) -> Iterator[Sample]:
        for call in calls:
            yield sample(*call, dtype=draw.dtype)

    info.setdefault("dtypes", ALL)
    return OpInfo(name, lambda *args, dtype: ref(*args), samples, fn=fn, grad=0, method=False, **info)


def like(name: str, ref: Callable[..., Any], *args: Any) -> OpInfo:
    def samples(draw: Draw) -> Iterator[Sample]:
        for shape in ((3, 4), (), (2, 0)):
            yield sample(draw(*shape), *args)

    return OpInfo(name, ref, samples, dtypes=ALL, grad=0, method=False)


def sizes(name: str) -> Any:
    return (error((ValueError, TypeError), rf"^({name}|full): .*got", (-1, 2), dtype="float32"),)


def full_like(x: Array, value: Any) -> Array:
    return np.full(x.shape, value)


def meshgrid(*tensors: Any) -> Any:
    import pyneuro as pn

    return pn.meshgrid(*tensors, indexing="ij")


OPS: tuple[OpInfo, ...] = (
    made("zeros", np.zeros, ((3, 4),), ((),), ((2, 0),), (5,), errors=sizes("zeros")),
    made("ones", np.ones, ((3, 4),), ((),), ((2, 0),), (5,), errors=sizes("ones")),
    made("full", np.full, ((3, 4), 1), ((), 0), ((2, 0), 1), errors=(
        error((ValueError, TypeError), r"^full: ", (-1,), 1, dtype="float32"),)),
    made("eye", np.eye, (3,), (3, 4), (4, 2), (0,), errors=(error(ValueError, r"^eye: .*got .*-1", -1, dtype="float32"),)),
    made("arange", np.arange, (5,), (1, 5), (0, 10, 3), (5, 0, -2), (3, 3), (0,), dtypes=NUMERIC, errors=(
        error(ValueError, r"^arange: .*step", 0, 5, 0, dtype="float32"),
        error(ValueError, r"^arange: ", 0, 5, -1, dtype="float32"))),
    made("arange", np.arange, (0.5, 3.0, 0.75), (1.0, 0.0, -0.25), dtypes=("float32", "float64")),
    made("linspace", np.linspace, (0, 1, 5), (-1, 1, 2), (3, -3, 7), (2, 3, 1), (0, 1, 0), dtypes=("float32", "float64"),
         errors=(error(ValueError, r"^linspace: .*steps", 0, 1, -1, dtype="float32"),)),
    made("logspace", np.logspace, (0, 2, 5), (-1, 1, 3), dtypes=("float32", "float64")),
    OpInfo("meshgrid", lambda *xs: tuple(np.meshgrid(*xs, indexing="ij")), lambda d: iter([sample(d(3), d(4)), sample(d(2), d(3), d(1))]),
           fn=meshgrid, dtypes=("float32", "float64"), method=False),
    like("zeros_like", np.zeros_like),
    like("ones_like", np.ones_like),
    like("full_like", full_like, 1),
    OpInfo("empty", None, lambda d: iter([sample((3, 4)), sample(()), sample((2, 0))]), dtypes=("float32",), grad=0,
           method=False, check=lambda x, shape: _has_shape(x, shape),
           errors=(error((ValueError, TypeError), r"^empty: ", (-1,)),)),
    OpInfo("empty_like", None, lambda d: iter([sample(floats(3, 4))]), dtypes=("float32",), grad=0, method=False,
           check=lambda x, other: _has_shape(x, other.shape)),
)  # fmt: skip


def _has_shape(x: Array, shape: Any) -> None:
    assert x.shape == tuple(shape), f"shape {x.shape}, expected {tuple(shape)}"
