"""How the tests run a sample: arrays to tensors in some layout, the call, the reference, the comparison."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest

import pyneuro as pn
from opinfo.core import Array, Draw, OpInfo, Sample
from pyneuro.testing import assert_close, tolerance
from pyneuro.testing.compare import to_numpy

FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")


def function(info: OpInfo) -> Callable[..., Any]:
    """The public function of an op."""
    if callable(info.fn):
        return info.fn
    for place in (pn, pn.nn.functional):
        found = getattr(place, info.fn or info.name, None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    pytest.fail(f"no pn.{info.name} and no pn.nn.functional.{info.name}", pytrace=False)


def draws(info: OpInfo, dtype: str) -> Iterator[Sample]:
    return info.samples(Draw(info.name, dtype))


def map_arrays(f: Callable[[Array], Any], value: Any) -> Any:
    """`value` with `f` applied to every NumPy array in it, however deep in lists, tuples and dicts."""
    if isinstance(value, np.ndarray):
        return f(value)
    if isinstance(value, (list, tuple)):
        return type(value)(map_arrays(f, v) for v in value)
    if isinstance(value, dict):
        return {k: map_arrays(f, v) for k, v in value.items()}
    return value


def tensor(array: Array, dtype: str | None = None, device: str = "cpu", requires_grad: bool = False) -> pn.Tensor:
    """A tensor with its own memory; floating arrays get `dtype`, all others keep theirs."""
    made = pn.tensor(np.ascontiguousarray(array).reshape(array.shape))
    if array.dtype.kind == "f" and dtype in FLOAT_DTYPES:
        made = made.to(getattr(pn, dtype))
    if device != "cpu":
        made = made.to(device)
    return made.requires_grad_() if requires_grad and array.dtype.kind == "f" else made


def tensors(sample: Sample, make: Callable[[Array], Any]) -> tuple[list[Any], dict[str, Any], list[tuple[Array, Any]]]:
    """Arguments with tensors in place of arrays, and all (array, tensor) pairs."""
    pairs: list[tuple[Array, Any]] = []

    def f(array: Array) -> Any:
        pairs.append((array, make(array)))
        return pairs[-1][1]

    args = [map_arrays(f, a) for a in sample.args]
    kwargs = map_arrays(f, sample.kwargs)
    return args, kwargs, pairs


def reference(info: OpInfo, sample: Sample) -> tuple[Array, ...]:
    """What NumPy gives, in float64 and int64."""
    assert info.ref is not None

    def widen(array: Array) -> Array:
        if array.dtype.kind == "b" and info.result != "float":
            return array
        return array.astype(np.float64 if array.dtype.kind == "f" else np.int64)

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "mean of empty slice" is what we ask for
        results = info.ref(*map_arrays(widen, list(sample.args)), **map_arrays(widen, sample.kwargs))
    return tuple(np.asarray(r) for r in as_tuple(results))


def as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def result_dtypes(info: OpInfo, sample: Sample, dtype: str, count: int) -> list[str]:
    """The dtype names that the rule of the op promises."""
    integer = dtype not in FLOAT_DTYPES
    rules = as_tuple(info.result)
    rules = rules[:count] if len(rules) >= count else rules * count
    named = {
        "same": dtype,
        "float": "float32" if integer else dtype,
        "sum": "int64" if integer else dtype,
        "given": sample.args[1] if len(sample.args) > 1 else "",
    }
    return [named.get(rule, rule) for rule in rules]


def name_of(dtype: Any) -> str:
    return str(dtype).rsplit(".", 1)[-1]


def check_results(info: OpInfo, sample: Sample, dtype: str, results: Any) -> None:
    """Count, dtype, shape and values against the reference."""
    got = as_tuple(results)
    if info.ref is None:
        assert info.check is not None
        assert name_of(got[0].dtype) == result_dtypes(info, sample, dtype, 1)[0]
        info.check(*map(to_numpy, got), *sample.args, **sample.kwargs)
        return
    expected = reference(info, sample)
    assert len(got) == len(expected), f"{len(got)} results, expected {len(expected)}"
    for actual, wanted, promised in zip(got, expected, result_dtypes(info, sample, dtype, len(got))):
        assert name_of(actual.dtype) == promised, f"dtype {name_of(actual.dtype)}, expected {promised}"
        with np.errstate(all="ignore"):  # overflow to infinity is the right answer; integers wrap
            carrier = "float32" if promised == "bfloat16" else promised
            wanted = wanted.astype(carrier)
        rtol, atol = tolerance(actual.dtype, actual.device)
        factor = info.slack[0] if info.slack else 1.0
        assert_close(actual, wanted, rtol=rtol * factor, atol=atol * factor, equal_nan=True)


def check_untouched(pairs: Iterable[tuple[Array, Any]]) -> None:
    for array, tensor_ in pairs:
        assert np.array_equal(to_numpy(tensor_), array, equal_nan=array.dtype.kind == "f"), "the op changed an input"


def each(info: OpInfo, samples: Iterable[Sample], run: Callable[[Sample], None]) -> int:
    """Run every sample and report all that fail, not only the first.  Returns how many ran."""
    failures, count = [], 0
    for sample in samples:
        count += 1
        try:
            run(sample)
        except Exception as e:
            failures.append(f"{info.name} {sample}: {type(e).__name__}: {e}")
    if failures:
        pytest.fail(f"{len(failures)} of {count} samples failed\n" + "\n".join(failures), pytrace=False)
    return count


# --- layouts -------------------------------------------------------------------------------------------------------
# Each takes a tensor and gives one with equal values that lies in memory in another way; "expanded" changes the values,
# so its NumPy twin is in `EXPANDED`.


def transposed(x: pn.Tensor) -> pn.Tensor:
    return x.transpose(0, -1).clone().contiguous().transpose(0, -1) if x.ndim > 1 else stepped(x)


def stepped(x: pn.Tensor) -> pn.Tensor:
    """Every second element of a larger tensor along the last dim."""
    if x.ndim == 0:
        return offset(x)
    other = pn.zeros_like(x)
    return pn.stack([x, other], dim=-1).flatten(-2)[..., ::2]


def reversed_(x: pn.Tensor) -> pn.Tensor:
    """Negative strides in every dim."""
    back = (slice(None, None, -1),) * x.ndim
    return x[back].clone().contiguous()[back]


def offset(x: pn.Tensor) -> pn.Tensor:
    """Starts in the middle of its storage, at an address that no vector load is aligned to."""
    flat = x.reshape(-1)
    return pn.cat([flat[:1], flat])[min(1, flat.numel()) :].reshape(x.shape)


LAYOUTS: dict[str, Callable[[pn.Tensor], pn.Tensor]] = {
    "transposed": transposed,
    "stepped": stepped,
    "reversed": reversed_,
    "offset": offset,
}


def expanded_sample(sample: Sample) -> Sample | None:
    """The sample with the first dim of the first array repeated from one row; None where that makes no sense."""
    first = sample.args[0] if sample.args else None
    if not isinstance(first, np.ndarray) or first.ndim == 0 or first.shape[0] < 2 or first.dtype.kind in "iub":
        return None
    rows = np.broadcast_to(first[:1], first.shape)
    return Sample((rows, *sample.args[1:]), sample.kwargs, f"{sample} expanded", False, sample.gpu)
