"""`assert_close` and the one table of tolerances, by dtype and device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import pyneuro as pn

# (rtol, atol) by (dtype, device type).  Everything that is not listed compares exactly.
#
# CPU: a correctly rounded float32 is within 6e-8 of the truth; the table leaves room for the few ulp of a vectorised
# `exp` and for sums of some thousand terms.  float16 and bfloat16 accumulate in float32, so one final rounding is left
# (half a unit in the last place: 5e-4 and 4e-3) and at most a second one in a composite op.
# GPU: WGSL promises less than IEEE 754: division within 2.5 ulp, `exp` within 3 + 2|x| ulp, `sin` by absolute error.
TOLERANCES: dict[tuple[str, str], tuple[float, float]] = {
    ("float64", "cpu"): (1e-12, 1e-12),
    ("float32", "cpu"): (2e-6, 2e-6),
    ("float16", "cpu"): (1e-3, 1e-5),
    ("bfloat16", "cpu"): (8e-3, 1e-5),
    ("float32", "gpu"): (2e-5, 1e-5),
}


def tolerance(dtype: Any, device: Any = "cpu") -> tuple[float, float]:
    """The `(rtol, atol)` that `assert_close` uses for a dtype on a device; `(0.0, 0.0)` for integers and bool.

    Args:
        dtype: a `pyneuro.dtype` or its name.
        device: a `pyneuro.device` or its name; an index (`"gpu:1"`) makes no difference.

    >>> tolerance("float64")
    (1e-12, 1e-12)
    >>> tolerance(pn.int32)
    (0.0, 0.0)
    """
    key = (str(dtype).rsplit(".", 1)[-1], str(device).split(":", 1)[0])
    return TOLERANCES.get(key, (0.0, 0.0))


def to_numpy(value: Any) -> npt.NDArray[Any]:
    """A NumPy array with the values of a tensor of any device, an array or a number; bfloat16 comes as float32."""
    if isinstance(value, pn.Tensor):
        value = value.detach().to("cpu")
        return np.asarray((value.float() if value.dtype == pn.bfloat16 else value).numpy())
    return np.asarray(value)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_dtype: bool = True,
    check_device: bool = True,
    msg: str = "",
) -> None:
    """Raise `AssertionError` unless `|actual - expected| <= atol + rtol * |expected|` for every element.

    Args:
        actual: a tensor, array or number, or a sequence or mapping of them.
        expected: the same structure. Shapes have to be equal: nothing is broadcast.
        rtol: relative tolerance. Without it, the table `TOLERANCES` decides by the dtype and device of `actual`.
        atol: absolute tolerance, likewise.
        equal_nan: whether NaN equals NaN.
        check_dtype: whether two tensors have to have one dtype.
        check_device: whether two tensors have to be on one device.
        msg: words to put before the message.

    Raises:
        AssertionError: says how many elements differ, the worst one, its index and both values.

    >>> assert_close(pn.tensor([1.0, 2.0]), pn.tensor([1.0, 2.0 + 1e-7]))
    >>> assert_close(pn.tensor([1.0, 2.0]), pn.tensor([1.0, 2.5]))
    Traceback (most recent call last):
    ...
    AssertionError: assert_close: 1 of 2 elements differ by more than rtol=2e-06, atol=2e-06; worst at [1]: got 2.0, \
expected 2.5, difference 0.5
    """
    head = f"{msg}: " if msg else "assert_close: "
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if actual.keys() != expected.keys():
            raise AssertionError(f"{head}keys differ: got {sorted(actual)}, expected {sorted(expected)}")
        pairs = [(f"[{key!r}]", actual[key], expected[key]) for key in expected]
    elif _is_sequence(actual) and _is_sequence(expected):
        if len(actual) != len(expected):
            raise AssertionError(f"{head}lengths differ: got {len(actual)}, expected {len(expected)}")
        pairs = [(f"[{i}]", a, e) for i, (a, e) in enumerate(zip(actual, expected))]
    else:
        _assert_close_leaf(actual, expected, rtol, atol, equal_nan, check_dtype, check_device, head)
        return
    for where, a, e in pairs:
        assert_close(
            a,
            e,
            rtol=rtol,
            atol=atol,
            equal_nan=equal_nan,
            check_dtype=check_dtype,
            check_device=check_device,
            msg=f"{head}item {where}",
        )


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _assert_close_leaf(
    actual: Any,
    expected: Any,
    rtol: float | None,
    atol: float | None,
    equal_nan: bool,
    check_dtype: bool,
    check_device: bool,
    head: str,
) -> None:
    if isinstance(actual, pn.Tensor) and isinstance(expected, pn.Tensor):
        if check_dtype and actual.dtype != expected.dtype:
            raise AssertionError(f"{head}dtypes differ: got {actual.dtype}, expected {expected.dtype}")
        if check_device and actual.device != expected.device:
            raise AssertionError(f"{head}devices differ: got {actual.device}, expected {expected.device}")
    default_rtol, default_atol = _default_tolerance(actual, expected)
    rtol = default_rtol if rtol is None else rtol
    atol = default_atol if atol is None else atol

    got, want = to_numpy(actual), to_numpy(expected)
    if got.shape != want.shape:
        raise AssertionError(f"{head}shapes differ: got {got.shape}, expected {want.shape}")
    close = _is_close(got, want, rtol, atol, equal_nan)
    if close.all():
        return
    with np.errstate(all="ignore"):
        # The worst element; infinite or NaN differences first.
        difference = np.abs(got.astype(np.float64) - want.astype(np.float64))
        rank = np.where(close, -1.0, np.where(np.isfinite(difference), difference, np.inf))
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(rank)), rank.shape))
    raise AssertionError(
        f"{head}{int((~close).sum())} of {close.size} elements differ by more than rtol={rtol:g}, atol={atol:g}; "
        f"worst at {list(index)}: got {got[index].item()}, expected {want[index].item()}, "
        f"difference {float(difference[index]):.6g}"
    )


def _default_tolerance(actual: Any, expected: Any) -> tuple[float, float]:
    for value in (actual, expected):
        if isinstance(value, pn.Tensor):
            return tolerance(value.dtype, value.device)
    dtype = to_numpy(actual).dtype
    return tolerance(dtype)


def _is_close(
    got: npt.NDArray[Any], want: npt.NDArray[Any], rtol: float, atol: float, equal_nan: bool
) -> npt.NDArray[np.bool_]:
    if got.dtype.kind not in "fc" and want.dtype.kind not in "fc":
        return np.asarray(got == want)
    got, want = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(all="ignore"):
        near = np.abs(got - want) <= atol + rtol * np.abs(want)
    near = (near & np.isfinite(want)) | (got == want)  # infinities have to be equal, not near
    if equal_nan:
        near |= np.isnan(got) & np.isnan(want)
    return np.asarray(near)
