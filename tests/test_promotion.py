"""dtype promotion, against a table written by hand after torch's."""

from __future__ import annotations

import operator
from typing import Any

import pytest

import pyneuro as pn

SHORT = {
    "u8": "uint8", "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64",
    "f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64", "b": "bool",
}  # fmt: skip
TABLE = """
       u8   i8   i16  i32  i64  f16  bf16 f32  f64  b
 u8    u8   i16  i16  i32  i64  f16  bf16 f32  f64  u8
 i8    i16  i8   i16  i32  i64  f16  bf16 f32  f64  i8
 i16   i16  i16  i16  i32  i64  f16  bf16 f32  f64  i16
 i32   i32  i32  i32  i32  i64  f16  bf16 f32  f64  i32
 i64   i64  i64  i64  i64  i64  f16  bf16 f32  f64  i64
 f16   f16  f16  f16  f16  f16  f16  f32  f32  f64  f16
 bf16  bf16 bf16 bf16 bf16 bf16 f32  bf16 f32  f64  bf16
 f32   f32  f32  f32  f32  f32  f32  f32  f32  f64  f32
 f64   f64  f64  f64  f64  f64  f64  f64  f64  f64  f64
 b     u8   i8   i16  i32  i64  f16  bf16 f32  f64  b
"""


def rows() -> list[tuple[str, str, str]]:
    header, *lines = (line.split() for line in TABLE.strip().splitlines())
    return [
        (SHORT[line[0]], SHORT[column], SHORT[result])
        for line in lines
        for column, result in zip(header, line[1:], strict=True)
    ]


def ones(dtype: str, *shape: int) -> pn.Tensor:
    return pn.ones(shape, dtype=getattr(pn, dtype))


def name(x: pn.Tensor) -> str:
    return str(x.dtype).rsplit(".", 1)[-1]


def kind(dtype: str) -> int:
    return 0 if dtype == "bool" else 1 if "int" in dtype else 2


@pytest.mark.parametrize(("left", "right", "result"), rows())
def test_two_tensors(left: str, right: str, result: str) -> None:
    x, y = ones(left, 2), ones(right, 2)
    assert name(x + y) == result
    assert name(pn.maximum(x, y)) == result
    assert name(x * y) == result
    assert name(x == y) == "bool"
    assert name(pn.where(x == y, x, y)) == result
    assert str(pn.promote_types(getattr(pn, left), getattr(pn, right))).endswith(result)


@pytest.mark.parametrize(("left", "right", "result"), rows())
def test_zero_dim_tensors_are_weak(left: str, right: str, result: str) -> None:
    """A 0-d tensor counts only by its kind (bool < integer < floating): float16 + 0-d float64 is float16."""
    expected = left if kind(right) <= kind(left) else right
    assert name(ones(left, 2) + ones(right)) == expected
    assert name(ones(right) + ones(left, 2)) == expected
    assert name(ones(left) + ones(right)) == result  # between two of them the table holds


@pytest.mark.parametrize("dtype", SHORT.values())
def test_python_numbers_are_weak(dtype: str) -> None:
    x = ones(dtype, 2)
    for y in (x + True, True + x):
        assert name(y) == dtype
    for y in (x + 2, 2 + x):
        assert name(y) == ("int64" if dtype == "bool" else dtype)
    for y in (x + 2.5, 2.5 * x):
        assert name(y) == (dtype if kind(dtype) == 2 else "float32")
    assert (x + 2.5).tolist() == [3.5, 3.5]


@pytest.mark.parametrize(("left", "right", "result"), rows())
def test_true_division_is_floating(left: str, right: str, result: str) -> None:
    assert name(ones(left, 2) / ones(right, 2)) == (result if kind(result) == 2 else "float32")


@pytest.mark.parametrize(("left", "right", "result"), rows())
def test_in_place_keeps_the_dtype(left: str, right: str, result: str) -> None:
    """`x += y` casts within a kind and refuses what would lose one: integer += float."""
    x = ones(left, 2)
    if kind(result) > kind(left):
        with pytest.raises((TypeError, RuntimeError), match=r"^add_?: .*" + left):
            x += ones(right, 2)
    else:
        x += ones(right, 2)
        assert name(x) == left


@pytest.mark.parametrize("dtype", SHORT.values())
def test_reductions(dtype: str) -> None:
    x = ones(dtype, 3)
    assert name(x.sum()) == name(x.prod()) == name(x.cumsum(0)) == (dtype if kind(dtype) == 2 else "int64")
    assert name(x.amax()) == dtype
    assert name(x.argmax() if dtype != "bool" else x.long().argmax()) == "int64"
    assert name(x.any()) == "bool"


@pytest.mark.parametrize("dtype", ["int8", "int64", "bool"])
def test_functions_of_integers_are_float32(dtype: str) -> None:
    for f in (pn.exp, pn.sqrt, pn.tanh, pn.sigmoid):
        assert name(f(ones(dtype, 2))) == "float32"


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1, "int64"),
        (1.5, "float32"),
        (True, "bool"),
        ([1, 2], "int64"),
        ([1, 2.5], "float32"),
        ([True, 2], "int64"),
        ([], "float32"),
    ],
)
def test_default_dtypes(value: Any, dtype: str) -> None:
    assert name(pn.tensor(value)) == dtype


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (operator.add, 9), (operator.sub, 5), (operator.mul, 14), (operator.truediv, 3.5), (operator.floordiv, 3),
        (operator.mod, 1), (operator.pow, 49), (operator.and_, 2), (operator.or_, 7), (operator.xor, 5),
        (operator.eq, False), (operator.ne, True), (operator.lt, False), (operator.le, False), (operator.gt, True),
        (operator.ge, True),
    ],
)  # fmt: skip
def test_operators(op: Any, expected: Any) -> None:
    """Every operator in its three forms: tensor with tensor, with a number, and a number with a tensor."""
    seven, two = pn.tensor([7]), pn.tensor([2])
    assert op(seven, two).tolist() == [expected]
    assert op(seven, 2).tolist() == [expected]
    if op not in (operator.and_, operator.or_, operator.xor):
        assert op(7, two).tolist() == [expected]


def test_unary_operators() -> None:
    x = pn.tensor([2, -3])
    assert (-x).tolist() == [-2, 3]
    assert (+x).tolist() == [2, -3]
    assert abs(x).tolist() == [2, 3]
    assert (~x).tolist() == [-3, 2]
    assert (~pn.tensor([True, False])).tolist() == [False, True]


@pytest.mark.parametrize("symbol", ["+=", "-=", "*=", "/=", "//=", "%=", "**="])
def test_in_place_operators_keep_the_object(symbol: str) -> None:
    x = pn.tensor([7.0, 8.0])
    scope = {"x": x, "y": x}
    exec(f"x {symbol} 2", scope)
    assert scope["x"] is x
    assert x.tolist() == [eval(f"{v} {symbol[:-1]} 2") for v in (7.0, 8.0)]
