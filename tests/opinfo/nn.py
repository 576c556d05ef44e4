"""Neural network ops: convolution, pooling, normalisation, softmax, losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from opinfo.core import COMPOSED, FLOATS, Array, Draw, OpInfo, Sample, error, floats, longs, sample

SUMS = (4, "hundreds of products that cancel: the error follows the terms, not the sum")
ROWS = (1, 255, 256, 257, 4097)


# --- convolution and pooling -----------------------------------------------------------------------------------------


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def windows(x: Array, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> Array:
    """All windows of the last two dims: (..., out_h, out_w, kernel_h, kernel_w)."""
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    views = sliding_window_view(x, reach, axis=(-2, -1))
    return views[..., :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    batched = x if x.ndim == 4 else x[None]
    stride, dilation = pair(stride), pair(dilation)
    kernel = weight.shape[2:]
    if padding == "same":
        total = [d * (k - 1) for k, d in zip(kernel, dilation)]
        edges = [(t // 2, t - t // 2) for t in total]
    else:
        edges = [(p, p) for p in pair(0 if padding == "valid" else padding)]
    batched = np.pad(batched, [(0, 0), (0, 0), *edges])
    out_channels = weight.shape[0] // groups
    parts = []
    for g, xs in enumerate(np.split(batched, groups, axis=1)):
        w = weight[g * out_channels : (g + 1) * out_channels]
        parts.append(np.einsum("nchwij,ocij->nohw", windows(xs, kernel, stride, dilation), w, optimize=True))
    out = np.concatenate(parts, axis=1)
    if bias is not None:
        out = out + bias[:, None, None]
    return out if x.ndim == 4 else out[0]


def conv1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    number = lambda v: v if isinstance(v, (int, str)) else v[0]  # noqa: E731
    pad = number(padding)
    out = conv2d(x[..., None, :], weight[..., None, :], bias, (1, number(stride)), pad if isinstance(pad, str) else (0, pad),
                 (1, number(dilation)), groups)  # fmt: skip
    return out[..., 0, :]


def pooled(x: Array, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, fill: float, dilation: Any = 1) -> Array:
    """Windows of the padded input; a window beyond the padding (ceil_mode) is filled up with `fill` too."""
    kernel, padding, dilation = pair(kernel), pair(padding), pair(dilation)
    stride = kernel if stride is None else pair(stride)
    edges = []
    for n, k, s, p, d in zip(x.shape[-2:], kernel, stride, padding, dilation):
        span = n + 2 * p - d * (k - 1) - 1
        count = (-(-span // s) if ceil_mode else span // s) + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1  # a window has to start inside the input or its left padding
        edges.append((p, max(0, (count - 1) * s + d * (k - 1) + 1 - n - p)))
    padded = np.pad(x, [(0, 0)] * (x.ndim - 2) + edges, constant_values=fill)
    return windows(padded, kernel, stride, dilation)


def max_pool2d(
    x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Array:
    return pooled(x, kernel_size, stride, padding, ceil_mode, -np.inf, dilation).max(axis=(-2, -1))


def avg_pool2d(
    x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:  # fmt: skip
    total = pooled(x, kernel_size, stride, padding, ceil_mode, 0.0).sum(axis=(-2, -1))
    p = pair(padding)
    inside = np.ones(x.shape[-2:])
    if count_include_pad:  # the padding counts, what ceil_mode adds beyond it does not
        inside = np.pad(inside, [(p[0], p[0]), (p[1], p[1])], constant_values=1.0)
        count = pooled_count(inside, x.shape[-2:], kernel_size, stride, p, ceil_mode)
    else:
        count = pooled(inside, kernel_size, stride, padding, ceil_mode, 0.0).sum(axis=(-2, -1))
    return total / (count if divisor_override is None else divisor_override)


def pooled_count(ones: Array, size: Any, kernel: Any, stride: Any, padding: tuple[int, int], ceil_mode: bool) -> Array:
    """How many of the (already padded) ones each window covers."""
    kernel = pair(kernel)
    stride = kernel if stride is None else pair(stride)
    counts = pooled(np.ones(size), kernel, stride, padding, ceil_mode, 0.0).shape[:2]
    out = np.empty(counts)
    for i in range(counts[0]):
        for j in range(counts[1]):
            out[i, j] = ones[i * stride[0] : i * stride[0] + kernel[0], j * stride[1] : j * stride[1] + kernel[1]].sum()
    return out


def conv2d_samples(draw: Draw) -> Iterator[Sample]:
    def x(*s: int) -> Array:
        return draw(*s, low=-1, high=1)

    yield sample(x(2, 3, 5, 6), x(4, 3, 3, 3))
    yield sample(x(2, 3, 5, 6), x(4, 3, 3, 3), x(4), padding=1)
    yield sample(x(1, 2, 7, 8), x(3, 2, 3, 2), x(3), stride=2)
    yield sample(x(1, 2, 7, 8), x(3, 2, 3, 2), x(3), stride=(2, 3), padding=(1, 0), dilation=(1, 2))
    yield sample(x(2, 4, 5, 5), x(6, 2, 3, 3), x(6), groups=2, padding=1)
    yield sample(x(2, 4, 5, 5), x(4, 1, 3, 3), None, groups=4, label="depthwise")
    yield sample(x(2, 3, 4, 4), x(5, 3, 1, 1), x(5), label="pointwise")
    yield sample(x(2, 3, 5, 4), x(2, 3, 5, 4), label="kernel as large as the input")
    yield sample(x(1, 1, 5, 5), x(1, 1, 2, 3), padding="same")
    yield sample(x(1, 1, 5, 5), x(1, 1, 2, 3), padding="valid")
    yield sample(x(3, 5, 6), x(4, 3, 3, 3), x(4), label="no batch dim")
    yield sample(x(0, 3, 5, 5), x(4, 3, 3, 3), label="empty batch")
    yield sample(x(2, 1, 28, 28), x(6, 1, 5, 5), x(6), padding=2, label="LeNet's first layer")
    yield sample(x(2, 17, 14, 15), x(33, 17, 3, 3), x(33), padding=1, label="channels off every tile")


def conv1d_samples(draw: Draw) -> Iterator[Sample]:
    def x(*s: int) -> Array:
        return draw(*s, low=-1, high=1)

    yield sample(x(2, 3, 8), x(4, 3, 3))
    yield sample(x(2, 3, 8), x(4, 3, 3), x(4), stride=2, padding=1)
    yield sample(x(2, 4, 9), x(6, 2, 3), x(6), groups=2, dilation=2)
    yield sample(x(3, 8), x(4, 3, 3), label="no batch dim")
    yield sample(x(1, 1, 257), x(3, 1, 4), padding="same")


def max_pool_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw.distinct(2, 3, 6, 8), 2)
    yield sample(draw.distinct(1, 2, 7, 7), 3, stride=2)
    yield sample(draw.distinct(1, 2, 7, 7), 3, stride=2, padding=1)
    yield sample(draw.distinct(1, 2, 7, 8), (2, 3), stride=(2, 1), padding=(1, 0))
    yield sample(draw.distinct(1, 1, 7, 7), 2, stride=1, dilation=2)
    yield sample(draw.distinct(1, 1, 7, 7), 2, ceil_mode=True)
    yield sample(draw.distinct(2, 5, 5), 2, label="no batch dim")
    yield sample(draw.distinct(0, 2, 4, 4), 2, label="empty batch")
    yield sample(draw.cast(-np.ones((1, 1, 4, 4))), 2, padding=1, label="padding is not zero", grad=False)
    values = draw.distinct(1, 1, 4, 4)
    values[0, 0, 1, 1] = np.nan
    values[0, 0, 2:, 2:] = -np.inf
    yield sample(values, 2, label="NaN and a window of -inf", grad=False, gpu=False)


def avg_pool_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(2, 3, 6, 8), 2)
    yield sample(draw(1, 2, 7, 7), 3, stride=2, padding=1)
    yield sample(draw(1, 2, 7, 7), 3, stride=2, padding=1, count_include_pad=False)
    yield sample(draw(1, 2, 7, 8), (2, 3), stride=(2, 1), padding=(1, 0))
    yield sample(draw(1, 1, 7, 7), 2, ceil_mode=True)
    yield sample(draw(1, 1, 8, 8), 3, stride=3, padding=1, ceil_mode=True, label="ceil_mode with padding")
    yield sample(draw(1, 1, 4, 4), 2, divisor_override=3)
    yield sample(draw(2, 5, 5), 2, label="no batch dim")
    yield sample(draw(0, 2, 4, 4), 2, label="empty batch")


def in_two_dims(pool: Callable[..., Array]) -> Callable[..., Array]:
    """A 1-d pooling as the 2-d one over a dim of one."""

    def reference(x: Array, kernel: int, stride: int | None = None, padding: int = 0) -> Array:
        return pool(x[..., None, :], (1, kernel), (1, kernel if stride is None else stride), (0, padding))[..., 0, :]

    return reference


def pool1d_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw.distinct(2, 3, 8), 2)
    yield sample(draw.distinct(2, 3, 9), 3, 2, 1)
    yield sample(draw.distinct(3, 9), 3)


def adaptive(x: Array, size: Any) -> Array:
    rows, columns = pair(size)
    h, w = x.shape[-2:]
    edges = lambda n, parts: [(i * n // parts, -(-(i + 1) * n // parts)) for i in range(parts)]  # noqa: E731
    return np.stack([
        np.stack([x[..., a:b, c:d].mean((-2, -1)) for c, d in edges(w, columns)], -1) for a, b in edges(h, rows)
    ], -2)  # fmt: skip


def adaptive_samples(draw: Draw) -> Iterator[Sample]:
    for size in (1, 2, (3, 2), (5, 7)):
        yield sample(draw(2, 3, 5, 7), size)


def adaptive1d_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(2, 3, 7), 3)
    yield sample(draw(2, 3, 7), 1)


# --- normalisation -----------------------------------------------------------------------------------------------------


def layer_norm(
    x: Array, normalized_shape: Any, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Array:
    axes = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    out = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)
    return out * (1 if weight is None else weight) + (0 if bias is None else bias)


def layer_norm_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(3, 4), [4])
    yield sample(draw(3, 4), [4], draw(4), draw(4))
    yield sample(draw(2, 3, 4), [3, 4], draw(3, 4), draw(3, 4))
    yield sample(draw(2, 3, 4), [4], draw(4), None, eps=0.1)
    yield sample(draw(4), [4], draw(4), draw(4))
    yield sample(draw(0, 4), [4], draw(4), draw(4))
    yield sample(draw(2, 1), [1], draw(1), draw(1), grad=False)  # the variance is 0: differences lose their digits
    for n in (255, 256, 257, 4097):
        yield sample(draw(2, n), [n], draw(n), draw(n))


def channelwise(x: Array, values: Array) -> Array:
    return values.reshape(1, -1, *(1,) * (x.ndim - 2))


def batch_norm(
    x: Array, running_mean: Array | None, running_var: Array | None, weight: Array | None = None, bias: Array | None = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Array:  # fmt: skip
    axes = (0, *range(2, x.ndim))
    mean = x.mean(axes) if training or running_mean is None else running_mean
    var = x.var(axes) if training or running_var is None else running_var
    out = (x - channelwise(x, mean)) / np.sqrt(channelwise(x, var) + eps)
    if weight is not None:
        out = out * channelwise(x, weight)
    return out if bias is None else out + channelwise(x, bias)


def batch_norm_samples(draw: Draw) -> Iterator[Sample]:
    for shape in ((4, 3), (2, 3, 5), (2, 3, 4, 5), (3, 2, 17, 16), (257, 2)):
        c = shape[1]
        yield sample(draw(*shape), None, None, draw(c), draw(c), training=True)
        yield sample(draw(*shape), None, None, training=True)
        # Running statistics are buffers: constants in evaluation.
        yield sample(draw(*shape), draw(c), draw(c, low=0.5, high=2), draw(c), draw(c), grad=False)
        yield sample(draw(*shape), draw(c), draw(c, low=0.5, high=2), training=False, eps=0.1, grad=False)


def rms_norm(x: Array, normalized_shape: Any, weight: Array | None = None, eps: float | None = None) -> Array:
    axes = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    return x / np.sqrt((x * x).mean(axes, keepdims=True) + (eps or 0)) * (1 if weight is None else weight)


def rms_norm_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(3, 4), [4], eps=1e-5)
    yield sample(draw(3, 4), [4], draw(4), eps=1e-5)
    yield sample(draw(2, 3, 4), [3, 4], draw(3, 4), eps=0.1)
    yield sample(draw(2, 257), [257], draw(257), eps=1e-5)


def group_norm(
    x: Array, groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Array:
    grouped = x.reshape(x.shape[0], groups, -1)
    out = layer_norm(grouped, grouped.shape[-1:], eps=eps).reshape(x.shape)
    out = out if weight is None else out * channelwise(x, weight)
    return out if bias is None else out + channelwise(x, bias)


def group_norm_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(2, 6, 5), 3, draw(6), draw(6))
    yield sample(draw(2, 4, 3, 3), 2)
    yield sample(draw(2, 4, 3), 4, eps=0.1)


def normalize(x: Array, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Array:
    size = (np.abs(x) ** p).sum(dim, keepdims=True) ** (1 / p)
    return x / np.maximum(size, eps)


def normalize_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(3, 4))
    yield sample(draw(3, 4, away=(0,)), p=1.0, dim=0)
    yield sample(draw(3, 4), p=3.0, dim=-1)
    yield sample(draw.cast(np.zeros((2, 3))), label="zero vectors", grad=False)


def cosine_similarity(x: Array, y: Array, dim: int = 1, eps: float = 1e-8) -> Array:
    size = lambda v: np.maximum(np.sqrt((v * v).sum(dim)), eps)  # noqa: E731
    return (x * y).sum(dim) / (size(x) * size(y))


def cosine_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(3, 4, low=0.5), draw(3, 4, low=0.5))
    yield sample(draw(2, 3, 5, low=0.5), draw(2, 3, 5, low=0.5), dim=-1)


# --- softmax family ------------------------------------------------------------------------------------------------------


def softmax(x: Array, dim: int) -> Array:
    if x.size == 0:
        return x
    e = np.exp(x - x.max(axis=dim, keepdims=True))
    return e / e.sum(axis=dim, keepdims=True)


def log_softmax(x: Array, dim: int) -> Array:
    if x.size == 0:
        return x
    shifted = x - x.max(axis=dim, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))


def softmax_samples(draw: Draw) -> Iterator[Sample]:
    for shape, dim in (
        ((3, 4), 1),
        ((3, 4), 0),
        ((3, 4), -1),
        ((2, 3, 4), 1),
        ((4,), 0),
        ((), 0),
        ((0, 3), 1),
        ((3, 0), 1),
    ):
        yield sample(draw(*shape), dim)
    for n in ROWS:
        yield sample(draw(3, n), 1)
        yield sample(draw(n, 3), 0)
    yield sample(draw.cast([[1e4, 1e4 - 8, 0.0], [-1e4, -1e4, -1e4]]), 1, label="large values")
    row = draw.cast([[0.5, -np.inf, 1.5], [-np.inf, -np.inf, 0.0]])
    yield sample(row, 1, label="some -inf", grad=False)
    yield sample(
        draw.cast([[-np.inf] * 3, [0, np.nan, 1], [np.inf, 0, 1]]), 1, label="-inf row, NaN, inf", grad=False, gpu=False
    )


def glu(x: Array, dim: int = -1) -> Array:
    a, b = np.split(x, 2, axis=dim)
    return a / (1 + np.exp(-b))


def glu_samples(draw: Draw) -> Iterator[Sample]:
    yield sample(draw(3, 4))
    yield sample(draw(4, 3, 5), 0)


# --- losses ----------------------------------------------------------------------------------------------------------------


def reduced(loss: Array, reduction: str, total: Any = None) -> Any:
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.sum() / (loss.size if total is None else total)


def elementwise_loss(f: Callable[..., Array]) -> Callable[..., Any]:
    return lambda x, y, reduction="mean", **kwargs: reduced(f(x, y, **kwargs), reduction)


def bce(x: Array, y: Array, weight: Array | None = None, reduction: str = "mean") -> Any:
    loss = -(y * np.maximum(np.log(x), -100) + (1 - y) * np.maximum(np.log1p(-x), -100))
    return reduced(loss if weight is None else loss * weight, reduction)


def bce_with_logits(
    x: Array, y: Array, weight: Array | None = None, reduction: str = "mean", pos_weight: Array | None = None
) -> Any:
    positive = 1 if pos_weight is None else pos_weight
    loss = positive * y * np.logaddexp(0, -x) + (1 - y) * np.logaddexp(0, x)
    return reduced(loss if weight is None else loss * weight, reduction)


def nll(
    log_p: Array, target: Array, weight: Array | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    classes = log_p.shape[-1] if log_p.ndim == 1 else log_p.shape[1]
    rows = log_p[None] if log_p.ndim == 1 else log_p
    labels = target[None] if log_p.ndim == 1 else target
    kept = labels != ignore_index
    safe = np.where(kept, labels, 0)
    w = (np.ones(classes) if weight is None else weight)[safe] * kept
    picked = np.take_along_axis(rows, np.expand_dims(safe, 1), 1).squeeze(1)
    loss = np.where(kept, -picked * w, 0.0)
    return reduced(loss[0] if log_p.ndim == 1 else loss, reduction, w.sum())


def cross_entropy(
    x: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    class_dim = 0 if x.ndim == 1 else 1
    log_p = log_softmax(x, class_dim)
    classes = x.shape[class_dim]
    w = np.ones(classes) if weight is None else weight
    shape = [1] * x.ndim
    shape[class_dim] = classes
    per_class = -(log_p * w.reshape(shape))
    if target.dtype.kind == "f":
        target = target * (1 - label_smoothing) + label_smoothing / classes
        loss = (per_class * target).sum(class_dim)
        return reduced(loss, reduction, loss.size if x.ndim > 1 else 1)
    hard = nll(log_p, target, weight, ignore_index, "none")
    kept = target != ignore_index
    smooth = np.where(kept, per_class.sum(class_dim) / classes, 0.0)
    loss = (1 - label_smoothing) * hard + label_smoothing * smooth
    return reduced(np.asarray(loss), reduction, (w[np.where(kept, target, 0)] * kept).sum())


REDUCTIONS = ("mean", "sum", "none")


def pair_loss_samples(draw: Draw, kinks: bool = False) -> Iterator[Sample]:
    for shape in ((3, 4), (5,), (), (257,), (3, 4097)):
        x, y = draw(*shape), draw(*shape)
        if kinks:  # stay away from x == y
            y = draw.cast(np.where(np.abs(x - y) < 0.1, x + 0.25, y))
        for reduction in REDUCTIONS:
            yield sample(x, y, reduction=reduction)
    yield sample(draw(0, 3), draw(0, 3), reduction="sum")
    yield sample(draw(0, 3), draw(0, 3), label="mean of nothing is NaN", grad=False, gpu=False)


def l1_samples(draw: Draw) -> Iterator[Sample]:
    return pair_loss_samples(draw, kinks=True)


def bce_samples(draw: Draw) -> Iterator[Sample]:
    for shape in ((3, 4), (5,), (257,)):
        for reduction in REDUCTIONS:
            yield sample(draw(*shape, low=0.05, high=0.95), draw(*shape, low=0, high=1), reduction=reduction)
    yield sample(draw(3, 4, low=0.05, high=0.95), draw(3, 4, low=0, high=1), weight=draw(3, 4, low=0, high=1))
    yield sample(draw.cast([0, 1, 0, 1]), draw.cast([0, 1, 1, 0]), reduction="none", label="certain", grad=False)


def bce_logits_samples(draw: Draw) -> Iterator[Sample]:
    for shape in ((3, 4), (5,), (257,)):
        for reduction in REDUCTIONS:
            yield sample(draw(*shape), draw(*shape, low=0, high=1), reduction=reduction)
    yield sample(draw(3, 4), draw(3, 4, low=0, high=1), pos_weight=draw(4, low=0.5, high=2), reduction="sum")
    yield sample(draw(3, 4), draw(3, 4, low=0, high=1), weight=draw(3, 4, low=0, high=1))
    yield sample(draw.cast([-200, 200, -200, 200]), draw.cast([0, 1, 1, 0]), reduction="none", label="huge logits")


def class_samples(draw: Draw, make: Callable[[Array], Array]) -> Iterator[Sample]:
    for shape in ((5, 4), (1, 3), (64, 10), (3, 257), (2, 4097), (2, 3, 4), (2, 3, 4, 5)):
        x = draw.cast(make(draw(*shape)))
        target = draw.index(shape[0], *shape[2:], high=shape[1])
        for reduction in REDUCTIONS:
            yield sample(x, target, reduction=reduction)
    x, target = draw.cast(make(draw(6, 4))), np.array([0, 3, 1, 1, 2, 0])
    yield sample(x, target, ignore_index=1, label="ignore_index")
    yield sample(x, target, ignore_index=1, reduction="none", label="ignore_index, none")
    yield sample(x, np.array([0, -100, 1, 1, -100, 2]), label="default ignore_index")
    yield sample(x, target, weight=draw(4, low=0.5, high=2), label="weight", grad=False)
    yield sample(
        x, target, weight=draw(4, low=0.5, high=2), reduction="sum", ignore_index=3, label="weight, sum", grad=False
    )
    yield sample(x, np.full(6, -100), label="all ignored: NaN", grad=False, gpu=False)
    yield sample(x[0], np.asarray(target[0]), label="no batch dim")


def nll_samples(draw: Draw) -> Iterator[Sample]:
    return class_samples(draw, lambda x: log_softmax(x.astype(np.float64), 0 if x.ndim == 1 else 1))


def cross_entropy_samples(draw: Draw) -> Iterator[Sample]:
    yield from class_samples(draw, lambda x: x)
    x, target = draw(6, 4), np.array([0, 3, 1, 1, 2, 0])
    yield sample(x, target, label_smoothing=0.1, label="label_smoothing")
    yield sample(
        x, target, label_smoothing=0.1, ignore_index=1, weight=draw(4, low=0.5, high=2), label="all options", grad=False
    )
    probabilities = draw.cast(softmax(draw(6, 4).astype(np.float64), 1))
    for reduction in REDUCTIONS:
        yield sample(x, probabilities, reduction=reduction, label=f"probabilities, {reduction}")
    yield sample(x, probabilities, label_smoothing=0.2, label="probabilities, smoothed")
    yield sample(draw.cast([[1e4, 0, -1e4]]), np.array([2]), label="huge logits", grad=False)


def smooth_l1(x: Array, y: Array, beta: float = 1.0) -> Array:
    d = np.abs(x - y)
    return np.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta)


def kl_div(x: Array, y: Array, reduction: str = "mean", log_target: bool = False) -> Any:
    loss = np.exp(y) * (y - x) if log_target else np.where(y > 0, y * (np.log(np.maximum(y, 1e-300)) - x), 0.0)
    return loss.sum() / x.shape[0] if reduction == "batchmean" else reduced(loss, reduction)


def kl_div_samples(draw: Draw) -> Iterator[Sample]:
    log_p = draw.cast(log_softmax(draw(3, 4).astype(np.float64), 1))
    q = draw.cast(softmax(draw(3, 4).astype(np.float64), 1))
    for reduction in ("batchmean", "sum", "none"):
        yield sample(log_p, q, reduction=reduction)
    yield sample(log_p, draw.cast(np.log(q)), reduction="sum", log_target=True)
    yield sample(
        log_p, draw.cast([1.0, 0, 0, 0]) * draw.cast(np.ones((3, 1))), reduction="sum", label="one-hot", grad=False
    )


def loss(name: str, ref: Callable[..., Any], samples: Any, **info: Any) -> OpInfo:
    errors = (
        error(ValueError, r"^\w+: .*reduction.*got", floats(3, 4), floats(3, 4), reduction="average"),
        error((ValueError, UserWarning), r"^\w+: ", floats(3, 4), floats(2, 4)),
    )  # fmt: skip
    return OpInfo(name, ref, samples, method=False, dtypes=COMPOSED, errors=errors, **info)


CLASS_ERRORS = (
    error((IndexError, ValueError), r"^\w+: .*got 4", floats(2, 4), np.array([0, 4])),
    error((IndexError, ValueError), r"^\w+: .*got -1", floats(2, 4), np.array([0, -1])),
    error(ValueError, r"^\w+: ", floats(2, 4), longs(3)),
    error(ValueError, r"^\w+: .*reduction.*got", floats(2, 4), longs(2), reduction="average"),
    error(ValueError, r"^\w+: .*weight", floats(2, 4), longs(2), weight=floats(3)),
)
OUT_OF_RANGE = lambda name: error(IndexError, rf"^{name}: .*dim.*got 2", floats(2, 3), 2)  # noqa: E731
NOT_FLOAT = lambda name: error(TypeError, rf"^{name}: .*float", longs(2, 3), 1)  # noqa: E731

OPS: tuple[OpInfo, ...] = (
    OpInfo("conv2d", conv2d, conv2d_samples, method=False, slack=SUMS, covers=("conv2d_input_grad", "conv2d_weight_grad"), errors=(
        error(ValueError, r"^conv2d: .*channels", floats(1, 3, 5, 5), floats(2, 4, 3, 3)),
        error(ValueError, r"^conv2d: ", floats(5, 5), floats(2, 4, 3, 3)),
        error(ValueError, r"^conv2d: ", floats(1, 3, 5, 5), floats(2, 3, 6, 6)),
        error(ValueError, r"^conv2d: .*stride", floats(1, 3, 5, 5), floats(2, 3, 3, 3), stride=0),
        error(ValueError, r"^conv2d: .*padding", floats(1, 3, 5, 5), floats(2, 3, 3, 3), padding=-1),
        error(ValueError, r"^conv2d: .*dilation", floats(1, 3, 5, 5), floats(2, 3, 3, 3), dilation=0),
        error(ValueError, r"^conv2d: .*groups", floats(1, 3, 5, 5), floats(2, 3, 3, 3), groups=2),
        error(ValueError, r"^conv2d: .*groups", floats(1, 3, 5, 5), floats(2, 3, 3, 3), groups=0),
        error(ValueError, r"^conv2d: .*bias", floats(1, 3, 5, 5), floats(2, 3, 3, 3), floats(3)),
    )),
    OpInfo("conv1d", conv1d, conv1d_samples, method=False, errors=(
        error(ValueError, r"^conv1d: .*channels", floats(1, 3, 5), floats(2, 4, 3)),
        error(ValueError, r"^conv1d: ", floats(1, 3, 5), floats(2, 3, 6)),
    )),
    OpInfo("max_pool2d", max_pool2d, max_pool_samples, method=False, covers=("max_pool2d_backward",), errors=(
        error(ValueError, r"^max_pool2d: .*kernel", floats(1, 1, 4, 4), 0),
        error(ValueError, r"^max_pool2d: .*padding", floats(1, 1, 4, 4), 2, padding=2),
        error(ValueError, r"^max_pool2d: ", floats(1, 1, 4, 4), 5),
        error(ValueError, r"^max_pool2d: .*stride", floats(1, 1, 4, 4), 2, stride=-1),
        error(ValueError, r"^max_pool2d: ", floats(4, 4), 2),
    )),
    OpInfo("avg_pool2d", avg_pool2d, avg_pool_samples, method=False, covers=("avg_pool2d_backward",), errors=(
        error(ValueError, r"^avg_pool2d: .*kernel", floats(1, 1, 4, 4), -2),
        error(ValueError, r"^avg_pool2d: .*padding", floats(1, 1, 4, 4), 2, padding=2),
        error(ValueError, r"^avg_pool2d: ", floats(1, 1, 4, 4), 5),
        error(ValueError, r"^avg_pool2d: .*divisor", floats(1, 1, 4, 4), 2, divisor_override=0),
    )),
    OpInfo("layer_norm", layer_norm, layer_norm_samples, method=False, covers=("layer_norm_backward",), errors=(
        error(ValueError, r"^layer_norm: .*normalized_shape", floats(3, 4), [3]),
        error(ValueError, r"^layer_norm: .*weight", floats(3, 4), [4], floats(3)),
        error(ValueError, r"^layer_norm: .*bias", floats(3, 4), [4], None, floats(3)),
    )),
    OpInfo("batch_norm", batch_norm, batch_norm_samples, method=False, equal_rows=False, covers=("batch_norm_backward",), errors=(
        error(ValueError, r"^batch_norm: .*running", floats(3, 4), None, None),
        error(ValueError, r"^batch_norm: .*per channel.*\[4\], got \[3\]", floats(3, 4), floats(3), floats(4)),
        error(ValueError, r"^batch_norm: .*per channel.*\[4\], got \[3\]", floats(3, 4), floats(4), floats(4), floats(3)),
        error(ValueError, r"^batch_norm: ", floats(1, 4), None, None, training=True),
        error(ValueError, r"^batch_norm: ", floats(4), None, None, training=True),
    )),
    OpInfo("softmax", softmax, softmax_samples, covers=("softmax_backward",), errors=(OUT_OF_RANGE("softmax"), NOT_FLOAT("softmax"))),
    OpInfo("log_softmax", log_softmax, softmax_samples, covers=("log_softmax_backward",), errors=(OUT_OF_RANGE("log_softmax"), NOT_FLOAT("log_softmax"))),
    OpInfo("softmin", lambda x, dim: softmax(-x, dim), softmax_samples, method=False, dtypes=FLOATS),
    OpInfo("glu", glu, glu_samples, method=False, dtypes=FLOATS, errors=(error(ValueError, r"^glu: .*got 3", floats(2, 3), 1),)),
    OpInfo("rms_norm", rms_norm, rms_norm_samples, method=False, dtypes=COMPOSED, errors=(
        error(ValueError, r"^rms_norm: ", floats(3, 4), [3]),)),
    OpInfo("group_norm", group_norm, group_norm_samples, method=False, dtypes=FLOATS, errors=(
        error(ValueError, r"^group_norm: .*got", floats(2, 5, 3), 2),)),
    OpInfo("normalize", normalize, normalize_samples, method=False, dtypes=COMPOSED),
    OpInfo("cosine_similarity", cosine_similarity, cosine_samples, method=False, dtypes=COMPOSED),
    OpInfo("max_pool1d", in_two_dims(max_pool2d), pool1d_samples, method=False),
    OpInfo("avg_pool1d", in_two_dims(avg_pool2d), pool1d_samples, method=False),
    OpInfo("adaptive_avg_pool2d", adaptive, adaptive_samples, method=False, dtypes=COMPOSED),
    OpInfo("adaptive_avg_pool1d", lambda x, n: adaptive(x[..., None, :], (1, n))[..., 0, :], adaptive1d_samples, method=False, dtypes=COMPOSED),
    loss("mse_loss", elementwise_loss(lambda x, y: (x - y) ** 2), pair_loss_samples),
    loss("l1_loss", elementwise_loss(lambda x, y: np.abs(x - y)), l1_samples),
    loss("smooth_l1_loss", elementwise_loss(smooth_l1), l1_samples),
    loss("huber_loss", elementwise_loss(lambda x, y, delta=1.0: smooth_l1(x, y, delta) * delta), l1_samples),
    OpInfo("kl_div", kl_div, kl_div_samples, method=False, dtypes=COMPOSED),
    loss("binary_cross_entropy", bce, bce_samples),
    loss("binary_cross_entropy_with_logits", bce_with_logits, bce_logits_samples),
    OpInfo("nll_loss", nll, nll_samples, method=False, errors=CLASS_ERRORS),
    OpInfo("cross_entropy", cross_entropy, cross_entropy_samples, method=False, covers=("cross_entropy_backward",), errors=(
        *CLASS_ERRORS,
        error(ValueError, r"^cross_entropy: .*label_smoothing", floats(2, 4), longs(2), label_smoothing=1.5),
        error(TypeError, r"^cross_entropy: .*float", longs(2, 4), longs(2)),
    )),
)  # fmt: skip
