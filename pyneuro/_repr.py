"""How a tensor is printed: `tensor([[1.0000, 2.5000]], requires_grad=True)`, as torch prints it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pyneuro._core import Tensor

__all__ = ["format_tensor", "set_printoptions"]

_options: dict[str, Any] = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}


def set_printoptions(
    precision: int | None = None,
    threshold: int | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors are printed.

    Args:
        precision: digits after the point (4 at first).
        threshold: tensors with more elements are abbreviated (1000).
        edgeitems: how many elements an abbreviation shows at each end of a dimension (3).
        linewidth: characters of a line (80).
        sci_mode: True or False for always or never 1.0000e+00; None (at first) for where the values ask for it.
    """
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    _options.update({name: value for name, value in given.items() if value is not None})
    _options["sci_mode"] = sci_mode


def format_tensor(x: Tensor) -> str:
    """The text that `repr(x)` gives."""
    suffixes = []
    if x.device.type != "cpu":
        suffixes.append(f"device='{x.device}'")
    values = _values(x)
    default = {"float32", "int64", "bool"}
    if x.dtype.name not in default or (values.size == 0 and x.dtype.name != "float32"):
        suffixes.append(f"dtype={x.dtype}")
    if x.numel() == 0 and x.ndim != 1:
        suffixes.insert(0, f"size={tuple(x.shape)}")
    if x.grad_fn is not None:
        suffixes.append(f"grad_fn=<{x.grad_fn.name()}>")
    elif x.requires_grad:
        suffixes.append("requires_grad=True")
    body = _body(values, x.numel())
    return f"tensor({', '.join([body, *suffixes])})"


def _values(x: Tensor) -> np.ndarray[Any, Any]:
    """The elements to print as an array: all of them, or where there are many only the outermost."""
    x = x.detach()
    if x.numel() > _options["threshold"]:
        # One more than is shown at each end keeps NumPy abbreviating; a large GPU tensor is not fetched whole.
        edge = _options["edgeitems"] + 1
        for dim, length in enumerate(x.shape):
            if length > 2 * edge:
                x = _ends(x, dim, edge)
    x = x.cpu()
    return (x.float() if x.dtype.name in ("float16", "bfloat16") else x).numpy()


def _ends(x: Tensor, dim: int, edge: int) -> Tensor:
    from pyneuro import _core

    return _core.cat([x.narrow(dim, 0, edge), x.narrow(dim, x.shape[dim] - edge, edge)], dim)


def _body(values: np.ndarray[Any, Any], numel: int) -> str:
    abbreviate = numel > _options["threshold"]
    element = _formatter(values)
    if values.ndim == 0:
        return element(values[()])
    return np.array2string(
        values,
        separator=", ",
        prefix="tensor(",
        max_line_width=_options["linewidth"],
        threshold=0 if abbreviate else values.size + 1,
        edgeitems=_options["edgeitems"],
        formatter={"all": element},
    )


def _formatter(values: np.ndarray[Any, Any]) -> Callable[[Any], str]:
    """A function from an element to text of one width for all."""
    text: Callable[[Any], str]
    if values.dtype.kind == "f":
        text = _float_text(values)
    elif values.dtype.kind == "b":

        def text(value: Any) -> str:
            return str(bool(value))
    else:

        def text(value: Any) -> str:
            return str(int(value))

    width = max((len(text(v)) for v in values.flat), default=0) if values.ndim else 0
    return lambda value: text(value).rjust(width)


def _float_text(values: np.ndarray[Any, Any]) -> Callable[[Any], str]:
    precision: int = _options["precision"]
    finite = np.abs(values[np.isfinite(values)].astype(np.float64))
    nonzero = finite[finite != 0]
    integral = bool(np.all(finite == np.floor(finite)))
    low, high = (float(nonzero.min()), float(nonzero.max())) if nonzero.size else (1.0, 1.0)
    scientific = _options["sci_mode"]
    if scientific is None:
        # Plain decimals would hide small values or fill the line with digits.
        scientific = high / low > 1000.0 or high > 1e8 or (not integral and low < 1e-4)

    def text(value: Any) -> str:
        number = float(value)
        if not math.isfinite(number):
            return str(number)
        if scientific:
            return f"{number:.{precision}e}"
        return f"{number:.0f}." if integral else f"{number:.{precision}f}"

    return text
