"""Shapes, strides and values drawn by Hypothesis, compared with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st
from hypothesis.extra import numpy as hnp

import pyneuro as pn
from pyneuro.testing import assert_close

Array = np.ndarray[Any, Any]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
FULL = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5)


def numbered(shape: tuple[int, ...]) -> Array:
    """1, 2, 3, ...: every element tells where it came from."""
    return np.arange(1, int(np.prod(shape)) + 1, dtype=np.float32).reshape(shape)


def pair(shape: tuple[int, ...], device: str = "cpu") -> tuple[Array, pn.Tensor]:
    """The same numbers twice, in separate memory."""
    array = numbered(shape)
    return array, pn.tensor(array, device=device)


# The same examples on both devices.
on_devices = pytest.mark.parametrize("device", ["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])


@st.composite
def strided(draw: st.DrawFn, device: str = "cpu", min_dims: int = 0) -> tuple[Array, pn.Tensor]:
    """A NumPy view and a tensor view, made from equal bases by the same steps."""
    shape = draw(hnp.array_shapes(min_dims=max(min_dims, 1), max_dims=4, min_side=0, max_side=7))
    array, tensor = pair(shape, device)
    for step in draw(st.lists(st.sampled_from(["permute", "slice", "unsqueeze", "expand", "select"]), max_size=4)):
        n = array.ndim
        if step == "permute":
            order = draw(st.permutations(range(n)))
            array, tensor = array.transpose(order), tensor.permute(order)
        elif step == "slice":
            key = draw(hnp.basic_indices(array.shape, allow_ellipsis=True))
            if array[key].ndim >= min_dims:
                array, tensor = array[key], tensor[key]
        elif step == "unsqueeze" and n < 4:
            dim = draw(st.integers(0, n))
            array, tensor = np.expand_dims(array, dim), tensor.unsqueeze(dim)
        elif step == "expand":
            size = tuple(draw(st.integers(1, 4)) if s == 1 else s for s in array.shape)
            array, tensor = np.broadcast_to(array, size), tensor.expand(*size)
        elif step == "select" and n > min_dims and array.shape[0]:
            i = draw(st.integers(-array.shape[0], array.shape[0] - 1))
            array, tensor = array[i], tensor[i]
    return np.asarray(array), tensor


# --- layouts -------------------------------------------------------------------------------------


@on_devices
@given(st.data())
def test_views_hold_what_numpy_holds(device: str, data: st.DataObject) -> None:
    array, x = data.draw(strided(device))
    assert tuple(x.shape) == array.shape
    assert x.numel() == array.size
    assert_close(x, array)
    assert x.tolist() == array.tolist()
    assert_close(x.contiguous(), array)
    assert x.contiguous().is_contiguous()


@on_devices
@given(st.data())
def test_binary_ops_on_views(device: str, data: st.DataObject) -> None:
    (a, x), (b, y) = data.draw(strided(device)), data.draw(strided(device))
    try:
        expected = a + b * 2
    except ValueError:
        with pytest.raises(ValueError, match=r"^(mul|add): "):
            x + y * 2
        return
    assert_close(x + y * 2, expected)
    assert_close(pn.maximum(x, y), np.maximum(a, b))
    assert_close(x < y, a < b)
    assert_close(pn.where(x < y, x, y), np.where(a < b, a, b))


@on_devices
@given(st.data())
def test_reductions_on_views(device: str, data: st.DataObject) -> None:
    array, x = data.draw(strided(device, min_dims=1))
    axes = data.draw(hnp.valid_tuple_axes(array.ndim, min_size=1))
    keepdim = data.draw(st.booleans())
    assert_close(x.sum(dim=axes, keepdim=keepdim), array.sum(axis=axes, keepdims=keepdim))
    assert_close(x.any(dim=axes[0]), array.any(axis=axes[0]))
    assert_close(x.cumsum(axes[0]), array.cumsum(axis=axes[0]))
    if array.size:
        mean = array.astype(np.float64).mean(axis=axes, keepdims=keepdim)
        assert_close(x.mean(dim=axes, keepdim=keepdim), mean.astype(np.float32))
        assert_close(x.amax(dim=axes, keepdim=keepdim), array.max(axis=axes, keepdims=keepdim))
        assert_close(x.argmax(dim=axes[0]), array.argmax(axis=axes[0]))


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=2, max_side=40), elements=st.floats(width=32)))
def test_exact_arithmetic(array: Array) -> None:
    """IEEE 754 leaves no choice for these: all bits equal NumPy's, for any float32 whatever."""
    x = pn.tensor(array)
    with np.errstate(all="ignore"):
        assert_close(x + x, array + array, rtol=0, atol=0, equal_nan=True)
        assert_close(x * x, array * array, rtol=0, atol=0, equal_nan=True)
        assert_close(1 / x, 1 / array, rtol=0, atol=0, equal_nan=True)
        assert_close(x.sqrt(), np.sqrt(array), rtol=0, atol=0, equal_nan=True)
        assert_close(x.floor(), np.floor(array), rtol=0, atol=0, equal_nan=True)
        assert_close(x.round(), np.round(array), rtol=0, atol=0, equal_nan=True)
        assert_close(x.abs(), np.abs(array), rtol=0, atol=0, equal_nan=True)
        assert_close(x.double(), array.astype(np.float64), rtol=0, atol=0, equal_nan=True)
        assert_close(x.half().float(), array.astype(np.float16).astype(np.float32), equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_integer_arithmetic_wraps(dtype: str) -> None:
    @given(hnp.arrays(dtype, 8), hnp.arrays(dtype, 8))
    def run(a: Array, b: Array) -> None:
        x, y = pn.tensor(a), pn.tensor(b)
        with np.errstate(all="ignore"):
            assert_close(x + y, a + b)
            assert_close(x - y, a - b)
            assert_close(x * y, a * b)
            assert_close(-x, (0 - a).astype(dtype))
            assert_close(x & y, a & b)
            assert_close(x == y, a == b)
            divisible = (b != 0) & ~((b == -1) & (a == np.iinfo(dtype).min))
            a, b = a[divisible], b[divisible]
            assert_close(pn.tensor(a) // pn.tensor(b), a // b)
            assert_close(pn.tensor(a) % pn.tensor(b), a % b)

    run()


# --- broadcasting and matmul ---------------------------------------------------------------------


@given(hnp.mutually_broadcastable_shapes(num_shapes=3, min_side=0, max_side=4, max_dims=4))
def test_broadcasting(shapes: hnp.BroadcastableShapes) -> None:
    (a, x), (b, y), (c, z) = map(pair, shapes.input_shapes)
    assert tuple((x + y + z).shape) == shapes.result_shape
    assert_close(x + y * z, a + b * c)
    assert_close(pn.where(x > y, z, x), np.where(a > b, c, a))


@given(SHAPES, SHAPES)
def test_broadcasting_is_refused_where_numpy_refuses(left: Any, right: Any) -> None:
    (a, x), (b, y) = pair(left), pair(right)
    try:
        expected = np.broadcast_shapes(left, right)
    except ValueError:
        with pytest.raises(ValueError, match=r"^add: .*got"):
            x + y
        with pytest.raises(ValueError, match=r"^add_?: "):
            x += y
        return
    assert tuple((x + y).shape) == expected
    if expected == left:
        x += y
        assert_close(x, a + b)
    else:
        with pytest.raises(ValueError, match=r"^add_?: "):
            x += y


@on_devices
@given(shapes=hnp.mutually_broadcastable_shapes(signature="(m?,k),(k,n?)->(m?,n?)", min_side=0, max_side=5, max_dims=2))
def test_matmul_broadcasting(device: str, shapes: hnp.BroadcastableShapes) -> None:
    (a, x), (b, y) = (pair(s, device) for s in shapes.input_shapes)
    assume(a.ndim and b.ndim)
    assert_close(x @ y, a @ b)


# --- indexing ------------------------------------------------------------------------------------


@st.composite
def basic(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6))
    return shape, draw(hnp.basic_indices(shape, allow_newaxis=True, max_dims=6))


@st.composite
def advanced(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    """Integer arrays, masks, slices, numbers and `...` together."""
    shape = draw(FULL)
    index_shape = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=4))
    key: list[Any] = []
    dim = 0
    while dim < len(shape):
        kind = draw(st.sampled_from(["slice", "array", "int", "mask", "stop"]))
        n = shape[dim]
        if kind == "stop":
            break
        if kind == "slice":
            key.append(draw(st.slices(n)))
        elif kind == "int":
            key.append(draw(st.integers(-n, n - 1)))
        elif kind == "array":
            key.append(draw(hnp.arrays(np.int64, index_shape, elements=st.integers(-n, n - 1))))
        else:
            key.append(draw(hnp.arrays(np.bool_, n)))
        dim += 1
    return shape, tuple(key)


def as_tensors(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(as_tensors(k) for k in key)
    return pn.tensor(key) if isinstance(key, np.ndarray) else key


@on_devices
@given(case=basic())
def test_basic_indexing(device: str, case: tuple[tuple[int, ...], Any]) -> None:
    shape, key = case
    array, x = pair(shape, device)
    assert_close(x[key], array[key])


@on_devices
@given(case=basic())
def test_basic_assignment(device: str, case: tuple[tuple[int, ...], Any]) -> None:
    shape, key = case
    array, x = pair(shape, device)
    array[key] = -1
    x[key] = -1
    assert_close(x, array)
    values = -numbered(array[key].shape)
    array[key] = values
    x[key] = pn.tensor(values, device=device)
    assert_close(x, array)


@given(advanced())
def test_advanced_indexing(case: tuple[tuple[int, ...], Any]) -> None:
    shape, key = case
    array, x = pair(shape)
    try:
        expected = array[key]
    except IndexError:  # masks and arrays of different lengths do not broadcast
        with pytest.raises((IndexError, ValueError), match=r"^\w+: "):
            x[as_tensors(key)]
        return
    assert_close(x[as_tensors(key)], expected)


@given(advanced())
def test_advanced_assignment(case: tuple[tuple[int, ...], Any]) -> None:
    shape, key = case
    array, x = pair(shape)
    try:
        array[key] = -1
    except IndexError:
        with pytest.raises((IndexError, ValueError), match=r"^\w+: "):
            x[as_tensors(key)] = -1
        return
    x[as_tensors(key)] = -1
    assert_close(x, array)


@given(basic())
def test_views_alias(case: tuple[tuple[int, ...], Any]) -> None:
    """Writing through a view is seen in the base and in every other view, as in NumPy."""
    shape, key = case
    array, x = pair(shape)
    other = x.reshape(-1)
    array[key] += 100
    tensor_view = x[key]
    tensor_view += 100
    assert_close(x, array)
    assert_close(other, array.reshape(-1))
    assert x._version == tensor_view._version


# --- shapes --------------------------------------------------------------------------------------


@on_devices
@given(shape=FULL, data=st.data())
def test_permute_round_trip(device: str, shape: tuple[int, ...], data: st.DataObject) -> None:
    array, x = pair(shape, device)
    order = data.draw(st.permutations(range(len(shape))))
    assert_close(x.permute(order), array.transpose(order))
    assert_close(x.permute(order).permute([int(i) for i in np.argsort(order)]), array)


@given(SHAPES, st.data())
def test_reshape_round_trip(shape: tuple[int, ...], data: st.DataObject) -> None:
    array, x = pair(shape)
    flat = x.reshape(-1) if array.size else x.reshape(0)
    assert_close(flat, array.reshape(-1))
    assert_close(flat.reshape(shape), array)
    view = x.transpose(0, -1) if x.ndim > 1 else x
    assert_close(view.reshape(array.size), (array.swapaxes(0, -1) if x.ndim > 1 else array).reshape(-1))


@on_devices
@given(shape=FULL, size=st.integers(1, 7), data=st.data())
def test_split_and_cat(device: str, shape: tuple[int, ...], size: int, data: st.DataObject) -> None:
    array, x = pair(shape, device)
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    parts = x.split(size, dim)
    assert [p.shape[dim] for p in parts[:-1]] == [size] * (len(parts) - 1)
    assert_close(pn.cat(parts, dim), array)
    assert_close(pn.stack(x.unbind(dim), dim), array)


@given(SHAPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
def test_expand_and_its_gradient(shape: tuple[int, ...], front: tuple[int, ...]) -> None:
    x = pn.ones(shape, requires_grad=True)
    x.expand((*front, *shape)).sum().backward()
    assert_close(x.grad, np.full(shape, float(np.prod(front)), np.float32))


# --- exchange with NumPy -------------------------------------------------------------------------


@given(
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5),
    st.sampled_from(["float32", "float64", "float16", "int8", "uint8", "int16", "int32", "int64", "bool"]),
    st.data(),
)
def test_numpy_memory_is_shared(shape: tuple[int, ...], dtype: str, data: st.DataObject) -> None:
    """`from_numpy` and `numpy()` alias, whatever the strides."""
    base = np.ones(shape, dtype)
    key = data.draw(hnp.basic_indices(shape))
    array = base[key]
    assume(isinstance(array, np.ndarray) and array.ndim)
    x = pn.from_numpy(array)
    assert_close(x, array)
    x.fill_(0)
    assert not array.any()
    array[...] = 1
    assert_close(x, array)
    back = x.numpy()
    assert back.dtype == array.dtype
    assert back.size == 0 or np.shares_memory(back, array)


@given(strided())
def test_dlpack_memory_is_shared(views: tuple[Array, pn.Tensor]) -> None:
    array, x = views
    assume(all(s >= 0 for s in x.stride()))
    exported = np.from_dlpack(x)
    assert np.array_equal(exported, array)
    assert exported.size == 0 or np.shares_memory(exported, x.numpy())
    assert_close(pn.from_dlpack(exported), array)
