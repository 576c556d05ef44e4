"""Checks of constructor arguments; errors read `Layer: requirement, got value`."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TypeAlias

from pyneuro._core import Tensor

__all__ = ["Ints", "check_choice", "check_positive", "check_probability", "check_tensor", "pair", "single"]


#: One number for all dimensions, or one for each.
Ints: TypeAlias = int | Sequence[int]


def _integer(owner: str, name: str, value: object) -> int:
    if isinstance(value, bool):
        raise TypeError(f"{owner}: {name} must be an integer, got {value!r}")
    try:
        return operator.index(value)  # type: ignore[arg-type]  # whatever it is, index() decides
    except TypeError:
        raise TypeError(f"{owner}: {name} must be an integer, got {value!r}") from None


def check_positive(owner: str, name: str, value: object, minimum: int = 1) -> int:
    """`value` as an int of at least `minimum`."""
    number = _integer(owner, name, value)
    if number < minimum:
        requirement = "positive" if minimum == 1 else f"at least {minimum}"
        raise ValueError(f"{owner}: {name} must be {requirement}, got {number}")
    return number


def check_tensor(owner: str, name: str, value: object) -> None:
    """Raise unless `value` is a tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{owner}: {name} must be a Tensor, got {type(value).__name__}")


def check_probability(owner: str, value: float) -> float:
    """`value` as a probability."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"{owner}: p must be a number, got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{owner}: p must be between 0 and 1, got {value}")
    return value


def check_choice(owner: str, name: str, value: str, choices: Sequence[str]) -> str:
    """`value`, which must be one of `choices`."""
    if value not in choices:
        raise ValueError(f"{owner}: {name} must be one of {', '.join(choices)}, got {value!r}")
    return value


def pair(owner: str, name: str, value: object, minimum: int = 1) -> tuple[int, int]:
    """An int for both dimensions, or one for each, as (height, width)."""
    if type(value) is int and value >= minimum:  # nearly always: the general way costs as much as a small op
        return value, value
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{owner}: {name} must be an int or 2 ints, got {value!r}")
        first, second = value
        if type(first) is int and type(second) is int and first >= minimum and second >= minimum:
            return first, second
    else:
        first = second = value
    return check_positive(owner, name, first, minimum), check_positive(owner, name, second, minimum)


def single(owner: str, name: str, value: object, minimum: int = 1) -> tuple[int]:
    """An int, or a sequence of one, as a 1-tuple."""
    if isinstance(value, (tuple, list)):
        if len(value) != 1:
            raise ValueError(f"{owner}: {name} must be an int or 1 int, got {value!r}")
        (value,) = value
    return (check_positive(owner, name, value, minimum),)
