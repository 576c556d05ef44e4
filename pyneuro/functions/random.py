"""Random tensors: Philox4x32-10, addressed by (seed, offset, element index).

The same seed gives the same numbers on every device and with any number of threads. Each function draws
from `generator`, or from the global one that `manual_seed` seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyneuro import _core
from pyneuro._core import Generator, Tensor, ops
from pyneuro._typing import Device, DType
from pyneuro.functions._common import shape_of, tensor_method, tracked
from pyneuro.functions.creation import broadcast_shapes

__all__ = [
    "manual_seed", "rand", "rand_like", "randn", "randn_like", "randint", "randint_like",
    "randperm", "normal", "bernoulli", "multinomial",
]  # fmt: skip


def manual_seed(seed: int) -> Generator:
    """Seed the global generator, for every device.

    >>> _ = pn.manual_seed(0)
    >>> first = pn.rand(2)
    >>> _ = pn.manual_seed(0)
    >>> pn.equal(first, pn.rand(2))
    True
    """
    return _core.manual_seed(seed)


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform in [0, 1).

    >>> pn.rand(2, 3).shape
    (2, 3)
    """
    made = _core.rand(shape_of("rand", size), dtype, device, generator)
    return tracked(made, requires_grad)


def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform in [0, 1), with the shape, dtype and device of another tensor.

    >>> pn.rand_like(pn.zeros(3)).shape
    (3,)
    """
    made = _core.rand(list(input.shape), dtype or input.dtype, device or input.device, generator)
    return tracked(made, requires_grad)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal with mean 0 and variance 1.

    >>> pn.randn(2, 3).shape
    (2, 3)
    """
    made = _core.randn(shape_of("randn", size), dtype, device, generator)
    return tracked(made, requires_grad)


def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal with mean 0 and variance 1, with the shape, dtype and device of another tensor.

    >>> pn.randn_like(pn.zeros(3)).shape
    (3,)
    """
    made = _core.randn(list(input.shape), dtype or input.dtype, device or input.device, generator)
    return tracked(made, requires_grad)


def randint(
    low: int,
    high: int | Sequence[int] | None = None,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers, uniform in [low, high); `randint(high, size)` starts at 0.

    >>> x = pn.randint(3, 7, (100,))
    >>> x.min().item() >= 3 and x.max().item() < 7
    True
    """
    if size is None:
        low, high, size = 0, low, high  # type: ignore[assignment]
    if not isinstance(high, int) or size is None:
        raise TypeError(f"randint: high (an integer) and size are required, got {high!r}, {size!r}")
    shape = shape_of("randint", (size,))
    made = _core.randint(low, high, shape, dtype, device, generator)
    return tracked(made, requires_grad)


def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Device = None,
) -> Tensor:
    """Integers, uniform in [low, high), with the shape, dtype and device of another tensor.

    >>> pn.randint_like(pn.zeros(3), 10).dtype
    pyneuro.float32
    """
    if high is None:
        low, high = 0, low
    dtype, device = dtype or input.dtype, device or input.device
    return _core.randint(low, high, list(input.shape), dtype, device, generator)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """The integers 0 ... n-1 in random order.

    >>> pn.sort(pn.randperm(4)).values
    tensor([0, 1, 2, 3])
    """
    return tracked(_core.randperm(n, dtype, device, generator), requires_grad)


def normal(
    mean: float | Tensor = 0.0,
    std: float | Tensor = 1.0,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal with the given mean and standard deviation.

    Args:
        mean: a number, or a tensor with one mean per element.
        std: a number, or a tensor with one deviation per element.
        size: required where both are numbers.
        generator: to draw from.
        dtype: of the result, where both are numbers.
        device: of the result, where both are numbers.
        requires_grad: record ops on it.

    >>> pn.normal(10.0, 0.0, (2,))
    tensor([10., 10.])
    """
    if isinstance(std, Tensor):
        lowest = float(_core.amin(std).item()) if std.numel() else 0.0
    else:
        lowest = std
    if not lowest >= 0:
        raise ValueError(f"normal: std must not be negative, got {lowest}")
    like = mean if isinstance(mean, Tensor) else std
    if isinstance(like, Tensor):
        shape = broadcast_shapes(*(x.shape for x in (mean, std) if isinstance(x, Tensor)))
        noise = _core.randn(list(shape), like.dtype, like.device, generator)
    elif size is None:
        raise TypeError("normal: size is required where mean and std are numbers")
    else:
        noise = _core.randn(shape_of("normal", (size,)), dtype, device, generator)
    return tracked(ops["add"](ops["mul"](noise, std), mean), requires_grad)


@tensor_method
def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that stands in the element (or with `p` in each), else 0.

    A probability outside [0, 1] is a ValueError; those in a GPU tensor are not looked at, which would wait for it.

    >>> pn.bernoulli(pn.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    if p is not None:
        low = high = float(p)
    elif input.is_cpu and input.numel():
        low, high = float(_core.amin(input).item()), float(_core.amax(input).item())
    else:
        low = high = 0.0
    if not (low >= 0 and high <= 1):
        raise ValueError(f"bernoulli: probabilities must be in [0, 1], got {high if low >= 0 else low}")
    draw = _core.rand(list(input.shape), input.dtype, input.device, generator)
    return ops["lt"](draw, input.detach() if p is None else p).to(input.dtype)


@tensor_method
def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Draw indices (int64) with probabilities proportional to the weights of each row.

    Args:
        input: (n) or (rows, n), weights >= 0 with a positive sum per row.
        num_samples: how many per row.
        replacement: whether an index may be drawn again; without, at most as many as have a positive weight.
        generator: to draw from.

    >>> pn.multinomial(pn.tensor([0.0, 1.0, 0.0]), 2, replacement=True)
    tensor([1, 1])
    """
    if not 1 <= len(input.shape) <= 2 or not input.is_floating_point():
        raise ValueError(
            f"multinomial: floating-point weights of 1 or 2 dims are required, got {input.dtype} {tuple(input.shape)}"
        )
    weights = input.detach()
    positive = ops["gt"](weights, 0)
    available = int(_core.amin(_core.sum(positive, [-1])).item())
    valid = ops["logical_and"](ops["ge"](weights, 0), ops["isfinite"](weights))
    if not available or not bool(_core.all(valid).item()):
        raise ValueError("multinomial: finite weights >= 0 with a positive sum are required")
    if num_samples < 1 or (not replacement and num_samples > available):
        raise ValueError(f"multinomial: num_samples must be in [1, {available}] without replacement, got {num_samples}")
    # The largest of log w + Gumbel noise is an index drawn with probability w / Σ w; the k largest are k draws
    # without replacement.
    copies = [num_samples] if replacement else []
    logits = ops["log"](weights)
    if replacement:
        logits = _core.reshape(logits, [*weights.shape[:-1], 1, weights.shape[-1]])
    shape = [*weights.shape[:-1], *copies, weights.shape[-1]]
    uniform = _core.rand(shape, input.dtype, input.device, generator)
    noise = ops["neg"](ops["log"](ops["neg"](ops["log1p"](ops["neg"](uniform)))))
    scores = ops["add"](logits, noise)
    if replacement:
        return _core.argmax(scores, -1, False)
    indices: Tensor = _core.topk(scores, num_samples, -1, True, True)[1]
    return indices
