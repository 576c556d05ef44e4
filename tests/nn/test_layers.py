"""Layers: shapes, formulas against NumPy, constructor checks, torch's defaults."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyneuro as pn
import pyneuro.nn.functional as F
from pyneuro import nn

Array = npt.NDArray[Any]


def array(tensor: pn.Tensor) -> Array:
    return np.asarray(tensor.detach().numpy())


def random(*shape: int, seed: int = 0) -> pn.Tensor:
    return pn.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def close(actual: pn.Tensor, expected: Any) -> None:
    np.testing.assert_allclose(array(actual), expected, rtol=1e-10, atol=1e-12)


# ---- linear ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias: bool) -> None:
    layer, x = nn.Linear(4, 3, bias=bias, dtype=pn.float64), random(2, 5, 4)
    expected = array(x) @ array(layer.weight).T + (array(layer.bias) if bias else 0)
    close(layer(x), expected)
    assert list(layer.state_dict()) == (["weight", "bias"] if bias else ["weight"])


def test_linear_starts_as_torch_does() -> None:
    layer = nn.Linear(100, 200)
    for parameter in layer.parameters():
        values = array(parameter)
        assert np.abs(values).max() <= 0.1
    weight = array(layer.weight)
    assert np.abs(weight).max() > 0.099
    assert abs(weight.std() - 0.1 / math.sqrt(3)) < 1e-3


def test_bilinear() -> None:
    layer = nn.Bilinear(3, 4, 5, dtype=pn.float64)
    x, y = random(2, 6, 3), random(2, 6, 4, seed=1)
    expected = np.einsum("...i,oij,...j->...o", array(x), array(layer.weight), array(y)) + array(layer.bias)
    close(layer(x, y), expected)
    with pytest.raises(ValueError, match=r"bilinear: weight must have shape \(out, 4, 4\), got \(5, 3, 4\)"):
        layer(y, y)


def test_identity_and_shapes() -> None:
    x = random(2, 3, 4)
    assert nn.Identity(1, a=2)(x) is x
    assert nn.Flatten()(x).shape == (2, 12)
    assert nn.Flatten(0, 1)(x).shape == (6, 4)
    assert nn.Unflatten(1, (3, 1))(x).shape == (2, 3, 1, 4)
    assert nn.Unflatten(-1, (2, -1))(x).shape == (2, 3, 2, 2)
    with pytest.raises(IndexError, match=r"Unflatten: dim must be in \[-3, 3\), got 3"):
        nn.Unflatten(3, (1,))(x)


# ---- convolution -----------------------------------------------------------------------------


def correlate(x: Array, w: Array, stride: tuple[int, int], dilation: tuple[int, int], groups: int) -> Array:
    """2d cross-correlation by its definition, without padding."""
    n, _, h, wd = x.shape
    out, cin, kh, kw = w.shape
    oh = (h - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (wd - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    result = np.zeros((n, out, oh, ow))
    for o in range(out):
        first = o // (out // groups) * cin
        for i in range(oh):
            for j in range(ow):
                rows = i * stride[0] + dilation[0] * np.arange(kh)
                columns = j * stride[1] + dilation[1] * np.arange(kw)
                window = x[:, first : first + cin][:, :, rows[:, None], columns]
                result[:, o, i, j] = (window * w[o]).sum((1, 2, 3))
    return result


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3},
        {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 2)},
        {"kernel_size": 3, "dilation": 2, "padding": 2, "bias": False},
        {"kernel_size": 3, "groups": 2, "stride": 2},
        {"kernel_size": 3, "padding": "same"},
        {"kernel_size": (2, 4), "padding": "same", "dilation": (1, 2)},
        {"kernel_size": 3, "padding": "valid"},
        {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
        {"kernel_size": 3, "padding": (2, 1), "padding_mode": "replicate"},
        {"kernel_size": 4, "padding": "same", "padding_mode": "circular"},
    ],
)
def test_conv2d(settings: dict[str, Any]) -> None:
    layer = nn.Conv2d(4, 6, dtype=pn.float64, **settings)
    x = random(2, 4, 7, 8)
    if layer.padding == "same":
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        pads = [(total // 2, total - total // 2) for total in totals]
    elif layer.padding == "valid":
        pads = [(0, 0), (0, 0)]
    else:
        pads = [(p, p) for p in layer.padding]
    mode = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}[layer.padding_mode]
    padded = np.pad(array(x), [(0, 0), (0, 0), *pads], mode=mode)  # type: ignore[call-overload]
    expected = correlate(padded, array(layer.weight), layer.stride, layer.dilation, layer.groups)
    if layer.bias is not None:
        expected += array(layer.bias)[:, None, None]
    close(layer(x), expected)
    close(layer(x[0]), expected[0])


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3},
        {"kernel_size": 4, "stride": 3, "padding": 2, "dilation": 2, "groups": 2},
        {"kernel_size": 4, "padding": "same"},
        {"kernel_size": 3, "padding": 2, "padding_mode": "circular"},
    ],
)
def test_conv1d(settings: dict[str, Any]) -> None:
    layer = nn.Conv1d(4, 6, dtype=pn.float64, **settings)
    x = random(2, 4, 11)
    if layer.padding == "same":
        pads = (1, 2)
    else:
        pads = (layer.padding[0], layer.padding[0])
    mode = {"zeros": "constant", "circular": "wrap"}[layer.padding_mode]
    padded = np.pad(array(x), [(0, 0), (0, 0), pads], mode=mode)  # type: ignore[call-overload]
    expected = correlate(
        padded[:, :, None],
        array(layer.weight)[:, :, None],
        (1, *layer.stride),
        (1, *layer.dilation),
        layer.groups,
    )[:, :, 0]
    close(layer(x), expected + array(layer.bias)[:, None])
    close(layer(x[1]), expected[1] + array(layer.bias)[:, None])


def test_conv_starts_as_torch_does() -> None:
    layer = nn.Conv2d(8, 16, 3, groups=2)
    bound = 1 / math.sqrt(4 * 9)
    assert layer.weight.shape == (16, 4, 3, 3)
    assert 0.9 * bound < np.abs(array(layer.weight)).max() <= bound
    assert np.abs(array(layer.bias)).max() <= bound


def test_conv_repr() -> None:
    assert repr(nn.Conv2d(3, 8, 3)) == "Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))"
    layer = nn.Conv1d(4, 8, 3, padding="same", dilation=2, groups=2, bias=False, padding_mode="reflect")
    assert repr(layer) == (
        "Conv1d(4, 8, kernel_size=(3,), stride=(1,), padding=same, dilation=(2,), groups=2, bias=False, "
        "padding_mode=reflect)"
    )


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular", "constant"])
@pytest.mark.parametrize("pads", [(2, 1), (0, 3, 1, 2), (-1, 2)])
def test_pad(mode: str, pads: tuple[int, ...]) -> None:
    x = random(2, 4, 5)
    widths = [(0, 0), (0, 0), (0, 0)]
    for i in range(len(pads) // 2):
        widths[-1 - i] = (pads[2 * i], pads[2 * i + 1])
    cut = tuple(slice(-min(a, 0), n + min(b, 0)) for (a, b), n in zip(widths, x.shape, strict=True))
    numpy_mode: Any = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    if min(pads) < 0 and mode != "constant":
        # Border modes look at the whole dimension, also at what they cut.
        expected = np.pad(array(x), [(max(a, 0), max(b, 0)) for a, b in widths], mode=numpy_mode)
        expected = expected[cut[0], cut[1], 1:]
    else:
        expected = np.pad(array(x)[cut], [(max(a, 0), max(b, 0)) for a, b in widths], mode=numpy_mode)
    close(F.pad(x, pads, mode), expected)


def test_pad_errors() -> None:
    x = random(2, 3)
    with pytest.raises(
        ValueError,
        match="mode must be 'constant', 'reflect', 'replicate' or 'circular', got 'wrap'",
    ):
        F.pad(x, (1, 1), "wrap")
    with pytest.raises(ValueError, match="'reflect' can add less than the length 3, got 3"):
        F.pad(x, (3, 0), "reflect")
    with pytest.raises(ValueError, match="'circular' can add at most the length 3, got 4"):
        F.pad(x, (0, 4), "circular")
    with pytest.raises(ValueError, match="a pair for each of at most 2 dimensions, got 3 numbers"):
        F.pad(x, (1, 2, 3))


# ---- pooling ---------------------------------------------------------------------------------


def windows(x: Array, kernel: int, stride: int) -> Array:
    view = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(-2, -1))
    return view[..., ::stride, ::stride, :, :]


def test_pooling_2d() -> None:
    x = random(2, 3, 7, 8)
    w = windows(array(x), 3, 2)
    close(nn.MaxPool2d(3, 2)(x), w.max((-2, -1)))
    close(nn.AvgPool2d(3, 2)(x), w.mean((-2, -1)))
    close(nn.AvgPool2d(3, 2)(x[0]), w[0].mean((-2, -1)))
    padded = np.pad(array(x), [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=-np.inf)
    close(nn.MaxPool2d(3, stride=1, padding=1)(x), windows(padded, 3, 1).max((-2, -1)))
    counted = np.pad(array(x), [(0, 0), (0, 0), (1, 1), (1, 1)])
    close(nn.AvgPool2d(3, 1, 1)(x), windows(counted, 3, 1).mean((-2, -1)))
    ones = np.pad(np.ones((7, 8)), 1)
    expected = windows(counted, 3, 1).sum((-2, -1)) / windows(ones, 3, 1).sum((-2, -1))
    close(nn.AvgPool2d(3, 1, 1, count_include_pad=False)(x), expected)
    close(nn.AvgPool2d(2, divisor_override=1)(x), windows(array(x), 2, 2).sum((-2, -1)))
    assert nn.MaxPool2d(2, ceil_mode=True)(x).shape == (2, 3, 4, 4)


def test_max_pool_indices() -> None:
    x = random(2, 3, 6, 6)
    values, indices = nn.MaxPool2d(2, return_indices=True)(x)
    flat = array(x).reshape(2, 3, 36)
    np.testing.assert_array_equal(
        np.take_along_axis(flat, array(indices).reshape(2, 3, 9), 2).reshape(2, 3, 3, 3),
        array(values),
    )
    unbatched, _ = F.max_pool2d(x[0], 2, return_indices=True)
    close(unbatched, array(values)[0])


def test_pooling_1d() -> None:
    x = random(2, 3, 8)
    w = np.lib.stride_tricks.sliding_window_view(array(x), 2, axis=-1)[..., ::2, :]
    close(nn.MaxPool1d(2)(x), w.max(-1))
    close(nn.AvgPool1d(2)(x), w.mean(-1))
    close(nn.AvgPool1d(2)(x[0]), w[0].mean(-1))
    _, indices = nn.MaxPool1d(2, return_indices=True)(x)
    np.testing.assert_array_equal(array(indices), w.argmax(-1) + np.arange(0, 8, 2))


@pytest.mark.parametrize("size", [1, 2, (3, 5), (None, 2), (7, 1), (9, 10)])
def test_adaptive_avg_pool(size: Any) -> None:
    x = random(2, 3, 7, 8)
    height, width = size if isinstance(size, tuple) else (size, size)
    height, width = height or 7, width or 8
    expected = np.empty((2, 3, height, width))
    for i in range(height):
        for j in range(width):
            rows = slice(i * 7 // height, -(-(i + 1) * 7 // height))
            columns = slice(j * 8 // width, -(-(j + 1) * 8 // width))
            expected[:, :, i, j] = array(x)[:, :, rows, columns].mean((-2, -1))
    close(nn.AdaptiveAvgPool2d(size)(x), expected)
    close(nn.AdaptiveAvgPool1d(width)(x[0]), nn.AdaptiveAvgPool2d((None, width))(x[0]).numpy())


# ---- normalisation ---------------------------------------------------------------------------


def test_batch_norm_trains_and_evaluates() -> None:
    layer = nn.BatchNorm2d(3, dtype=pn.float64)
    with pn.no_grad():
        layer.weight.copy_(pn.tensor([1.0, 2.0, 3.0]))
        layer.bias.copy_(pn.tensor([0.5, 0.0, -0.5]))
    scale, shift = array(layer.weight)[:, None, None], array(layer.bias)[:, None, None]
    x = random(4, 3, 5, 6)
    mean, var = array(x).mean((0, 2, 3)), array(x).var((0, 2, 3))
    normal = (array(x) - mean[:, None, None]) / np.sqrt(var[:, None, None] + 1e-5)
    close(layer(x), normal * scale + shift)
    close(layer.running_mean, 0.1 * mean)
    close(layer.running_var, 0.9 + 0.1 * array(x).var((0, 2, 3), ddof=1))
    assert layer.num_batches_tracked.item() == 1
    running_mean, running_var = array(layer.running_mean).copy(), array(layer.running_var).copy()
    layer.eval()
    expected = (array(x) - running_mean[:, None, None]) / np.sqrt(running_var[:, None, None] + 1e-5)
    close(layer(x), expected * scale + shift)
    close(layer.running_mean, running_mean)
    assert layer.num_batches_tracked.item() == 1
    layer.reset_parameters()
    assert layer.running_var.tolist() == [1.0] * 3 and layer.weight.tolist() == [1.0] * 3


def test_batch_norm_cumulative_average() -> None:
    layer = nn.BatchNorm1d(2, momentum=None, dtype=pn.float64)
    batches = [random(5, 2, seed=seed) for seed in range(3)]
    for batch in batches:
        layer(batch)
    close(layer.running_mean, np.mean([array(batch).mean(0) for batch in batches], axis=0))


def test_batch_norm_without_extras() -> None:
    layer = nn.BatchNorm1d(2, affine=False, track_running_stats=False, dtype=pn.float64).eval()
    x = random(4, 2, 3)
    mean, var = array(x).mean((0, 2), keepdims=True), array(x).var((0, 2), keepdims=True)
    close(layer(x), (array(x) - mean) / np.sqrt(var + 1e-5))
    assert list(layer.state_dict()) == []


def test_batch_norm_errors() -> None:
    with pytest.raises(ValueError, match="BatchNorm2d: input must have 4 dimensions, got 3"):
        nn.BatchNorm2d(3)(pn.zeros(1, 3, 2))
    with pytest.raises(ValueError, match="BatchNorm1d: input must have 2 or 3 dimensions, got 4"):
        nn.BatchNorm1d(3)(pn.zeros(1, 3, 2, 2))
    with pytest.raises(ValueError, match="more than one value per channel"):
        nn.BatchNorm1d(3)(pn.zeros(1, 3))
    with pytest.raises(ValueError, match="BatchNorm1d: num_features must be positive, got 0"):
        nn.BatchNorm1d(0)


def test_layer_norm() -> None:
    layer = nn.LayerNorm((3, 4), dtype=pn.float64)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x = random(5, 3, 4)
    mean, var = array(x).mean((1, 2), keepdims=True), array(x).var((1, 2), keepdims=True)
    close(layer(x), (array(x) - mean) / np.sqrt(var + 1e-5) * array(layer.weight) + array(layer.bias))
    assert nn.LayerNorm(4, bias=False).bias is None
    assert list(nn.LayerNorm(4, elementwise_affine=False).parameters()) == []


def test_rms_norm() -> None:
    layer = nn.RMSNorm(4, eps=1e-3, dtype=pn.float64)
    nn.init.normal_(layer.weight)
    x = random(5, 3, 4)
    root = np.sqrt((array(x) ** 2).mean(-1, keepdims=True) + 1e-3)
    close(layer(x), array(x) / root * array(layer.weight))
    zero = nn.RMSNorm(4)(pn.zeros(2, 4))
    assert np.isfinite(array(zero)).all(), "the dtype's epsilon stands in for eps=None"
    with pytest.raises(ValueError, match=r"rms_norm: input must end in shape \(4,\), got \(2, 3\)"):
        layer(pn.zeros(2, 3))


def test_group_norm() -> None:
    layer = nn.GroupNorm(2, 6, dtype=pn.float64)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x = random(3, 6, 4, 5)
    grouped = array(x).reshape(3, 2, -1)
    normal = (grouped - grouped.mean(-1, keepdims=True)) / np.sqrt(grouped.var(-1, keepdims=True) + 1e-5)
    expected = normal.reshape(3, 6, 4, 5) * array(layer.weight)[:, None, None] + array(layer.bias)[:, None, None]
    close(layer(x), expected)
    with pytest.raises(ValueError, match="num_channels must be divisible by num_groups 4, got 6"):
        nn.GroupNorm(4, 6)
    with pytest.raises(ValueError, match="GroupNorm: input must have 6 channels, got 4"):
        layer(pn.zeros(1, 4, 2))


# ---- dropout, embedding ----------------------------------------------------------------------


@pytest.mark.parametrize("inplace", [False, True])
def test_dropout(inplace: bool) -> None:
    pn.manual_seed(0)
    layer, x = nn.Dropout(0.25, inplace=inplace), pn.ones(10_000)
    y = layer(x)
    values = array(y)
    assert set(np.unique(values)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((values == 0).mean() - 0.25) < 0.02
    assert (x.tolist() == y.tolist()) is inplace
    assert layer.eval()(x) is x
    assert nn.Dropout(1.0)(pn.ones(4)).tolist() == [0.0] * 4
    with pytest.raises(ValueError, match=r"Dropout: p must be between 0 and 1, got 1.5"):
        nn.Dropout(1.5)


def test_channel_dropout() -> None:
    pn.manual_seed(0)
    values = array(nn.Dropout2d(0.5)(pn.ones(50, 20, 3, 3)))
    per_channel = values.reshape(50, 20, 9)
    assert (per_channel == per_channel[..., :1]).all()
    assert 0.4 < (per_channel[..., 0] == 0).mean() < 0.6
    assert nn.Dropout1d(0.5)(pn.ones(4, 7)).shape == (4, 7)
    with pytest.raises(ValueError, match="dropout2d: input must have 3 or 4 dimensions, got 2"):
        nn.Dropout2d()(pn.ones(2, 2))


def test_embedding() -> None:
    layer = nn.Embedding(5, 3, padding_idx=-2)
    assert layer.padding_idx == 3
    assert layer.weight[3].tolist() == [0.0] * 3
    index = pn.tensor([[0, 3], [4, 0]])
    np.testing.assert_array_equal(array(layer(index)), array(layer.weight)[array(index)])
    layer(index).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad[:, 0].tolist() == [2.0, 0.0, 0.0, 0.0, 1.0]
    assert repr(layer) == "Embedding(5, 3, padding_idx=3)"


def test_embedding_variants() -> None:
    rows = pn.arange(6.0).reshape(3, 2)
    layer = nn.Embedding.from_pretrained(rows)
    assert layer(pn.tensor([2])).tolist() == [[4.0, 5.0]]
    assert not layer.weight.requires_grad
    with pytest.raises(ValueError, match=r"padding_idx must be in \[-3, 3\), got 3"):
        nn.Embedding(3, 2, padding_idx=3)
    with pytest.raises(NotImplementedError, match="max_norm is not supported"):
        nn.Embedding(3, 2, max_norm=1.0)


# ---- constructor checks ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Dropout("half"), TypeError, "Dropout: p must be a number, got 'half'"),
        (lambda: F.conv2d(1, 2), TypeError, "conv2d: input must be a Tensor, got int"),
        (lambda: F.avg_pool2d([1], 2), TypeError, "avg_pool2d: input must be a Tensor, got list"),
        (lambda: F.adaptive_avg_pool2d(pn.zeros(1, 2, 2), (1, 2, 3)), ValueError, "an int or 2 ints, got"),
        (lambda: nn.Linear(-1, 2), ValueError, "Linear: in_features must be positive, got -1"),
        (lambda: nn.Linear(2, 2.5), TypeError, "Linear: out_features must be an integer, got 2.5"),
        (
            lambda: nn.Conv2d(3, 8, (1, 2, 3)),
            ValueError,
            r"Conv2d: kernel_size must be an int or 2 ints, got \(1, 2, 3\)",
        ),
        (
            lambda: nn.Conv2d(3, 8, 3, groups=2),
            ValueError,
            "Conv2d: in_channels must be divisible by groups 2, got 3",
        ),
        (
            lambda: nn.Conv2d(4, 9, 3, groups=2),
            ValueError,
            "Conv2d: out_channels must be divisible by groups 2, got 9",
        ),
        (
            lambda: nn.Conv2d(3, 8, 3, padding=-1),
            ValueError,
            "Conv2d: padding must be at least 0, got -1",
        ),
        (
            lambda: nn.Conv2d(3, 8, 3, padding="full"),
            ValueError,
            "padding must be one of same, valid, got 'full'",
        ),
        (
            lambda: nn.Conv2d(3, 8, 3, 2, "same"),
            ValueError,
            r"padding='same' needs stride 1, got \(2, 2\)",
        ),
        (
            lambda: nn.Conv1d(3, 8, 3, padding_mode="mirror"),
            ValueError,
            "padding_mode must be one of zeros, reflect",
        ),
        (
            lambda: nn.Embedding(0, 3),
            ValueError,
            "Embedding: num_embeddings must be positive, got 0",
        ),
        (
            lambda: nn.LayerNorm(()),
            ValueError,
            r"normalized_shape must have at least 1 dimension, got \(\)",
        ),
        (
            lambda: nn.Hardtanh(1.0, -1.0),
            ValueError,
            "Hardtanh: max_val must be above min_val 1.0, got -1.0",
        ),
        (
            lambda: nn.MSELoss("average"),
            ValueError,
            "MSELoss: reduction must be one of mean, sum, none, got 'average'",
        ),
    ],
)
def test_constructor_errors(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
