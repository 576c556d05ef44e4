"""How public functions are written: which become Tensor methods, and how `dim`/`axis` are read.

A function decorated with `tensor_method` becomes `Tensor.<name>`; with `elementwise` also the in-place
`Tensor.<name>_`. `attach_methods` does the attaching once every family is imported, under each name in
the module's `__all__`, so an alias (`absolute = abs`) is an assignment and one more name in that list.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypeVar, cast

from pyneuro import _core
from pyneuro._core import Tensor

#: How many operands each elementwise op takes, of those that take no numbers besides.
_OPERANDS = {op["name"]: op["operands"] for op in _core.op_list() if op["elementwise"] and not op["numbers"]}

F = TypeVar("F", bound=Callable[..., Any])

#: Methods attached from Python: method name -> function. tools/generate.py writes their stubs.
METHODS: dict[str, Callable[..., Any]] = {}

_METHOD = "_pyneuro_method"
_INPLACE = "_pyneuro_inplace"


class Default(int):
    """An integer default that can be told from the same number passed by the caller."""


def tensor_method(function: F) -> F:
    """Make `function(input, ...)` also the method `input.function(...)`."""
    setattr(function, _METHOD, True)
    return function


def elementwise(function: F) -> F:
    """`tensor_method`, and the in-place `input.function_(...)`, which writes the result into `input`."""
    setattr(function, _METHOD, True)
    setattr(function, _INPLACE, True)
    return function


def composed(function: F) -> F:
    """For a function written with other ops: it behaves as one.

    An error of an inner op is raised under the function's own name, and float16 and bfloat16 are computed in
    float32 and rounded once, at the end.
    """
    name = function.__name__

    @functools.wraps(function)
    def behaving(*args: Any, **kwargs: Any) -> Any:
        try:
            half = [x.dtype for x in (*args, *kwargs.values()) if isinstance(x, Tensor) and x.dtype in _HALF]
            if not half:
                return function(*args, **kwargs)
            args, kwargs = tuple(map(_widened, args)), {k: _widened(v) for k, v in kwargs.items()}
            return _narrowed(function(*args, **kwargs), functools.reduce(_core.promote_types, half))
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            op, colon, rest = str(error).partition(": ")
            if not colon or op == name or not op.isidentifier():
                raise
            raise type(error)(f"{name}: {rest}") from error

    return cast(F, behaving)


_HALF = (_core.float16, _core.bfloat16)


def _widened(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype in _HALF else value


def _narrowed(value: Any, dtype: _core.dtype) -> Any:
    if isinstance(value, tuple):
        return tuple(_narrowed(v, dtype) for v in value)
    return value.to(dtype) if isinstance(value, Tensor) and value.dtype == _core.float32 else value


def attach_methods(*families: ModuleType) -> None:
    """Attach the decorated functions of the modules to Tensor.

    A name that the Rust class already defines stays Rust: hot methods skip the Python frame.
    """
    for family in families:
        for name, function in vars(family).items():
            if not hasattr(function, _METHOD) or function.__module__ != family.__name__:
                continue
            if name not in family.__all__:
                raise ImportError(f"{family.__name__}.{name} is missing from __all__")
            _attach(name, function)
            if hasattr(function, _INPLACE):
                _attach(name + "_", _inplace(name + "_", function))


def _attach(name: str, function: Callable[..., Any]) -> None:
    if name not in vars(Tensor):
        setattr(Tensor, name, function)
        METHODS[name] = function


def _kind(tensor: Tensor) -> int:
    """bool < integers < floats: what may be stored in what."""
    return 2 if tensor.is_floating_point() else int(tensor.dtype != _core.bool)


def _inplace(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    row = _core.ops_.get(function.__name__)
    operands = _OPERANDS.get(function.__name__)

    @functools.wraps(function)
    def inplace(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if row is not None and len(args) + 1 == operands and not kwargs:
            return row(input, *args)  # the op writes over its first operand
        result = function(input, *args, **kwargs)
        if result.shape != input.shape:
            raise ValueError(
                f"{name}: an in-place result must keep the shape {tuple(input.shape)}, got {tuple(result.shape)}"
            )
        if _kind(result) > _kind(input):
            raise TypeError(f"{name}: a {result.dtype} result cannot be stored in a {input.dtype} tensor")
        return input.copy_(result)

    inplace.__name__ = name
    inplace.__qualname__ = f"Tensor.{name}"
    inplace.__doc__ = f"In-place `{function.__name__}`: writes the result into this tensor."
    return inplace


def pick_dim(op: str, dim: Any, axis: Any) -> Any:
    """Read `dim` and its NumPy name `axis`: one of them, never both."""
    if axis is None:
        return dim
    if dim is not None and not isinstance(dim, Default):
        raise TypeError(f"{op}: dim and axis name one argument, got both dim={dim!r} and axis={axis!r}")
    return axis


def pick_dims(op: str, dim: Any, axis: Any) -> list[int] | None:
    """`pick_dim` for ops over several dims: None (all of them) or a list. As in torch, `()` is all."""
    dim = pick_dim(op, dim, axis)
    if dim is None:
        return None
    if type(dim) is not int and isinstance(dim, Sequence):  # the second question is slow
        return list(dim) or None
    return [dim]


def pick_keepdim(op: str, keepdim: bool, keepdims: bool | None) -> bool:
    """Read `keepdim` and its NumPy name `keepdims`."""
    if keepdims is None:
        return keepdim
    if keepdim:
        raise TypeError(f"{op}: keepdim and keepdims name one argument, got both")
    return keepdims


def shape_of(op: str, size: tuple[Any, ...]) -> list[int]:
    """Read a shape given as `op(2, 3)` or `op((2, 3))`."""
    if len(size) == 1 and type(size[0]) is not int and isinstance(size[0], Sequence):
        size = tuple(size[0])
    for n in size:
        if type(n) is int:
            continue
        if isinstance(n, bool) or not hasattr(n, "__index__"):
            raise TypeError(f"{op}: size must be integers, got {n!r}")
    return [n.__index__() for n in size]


def wrap_dim(op: str, dim: int, ndim: int) -> int:
    """Count a dim from the front; one outside is an IndexError."""
    reach = max(ndim, 1)
    if not -reach <= dim < reach:
        raise IndexError(f"{op}: dim must be in [{-reach}, {reach - 1}], got {dim}")
    return int(dim) % reach


def tracked(tensor: Tensor, requires_grad: bool) -> Tensor:
    """The end of every function that makes a tensor."""
    return tensor.requires_grad_() if requires_grad else tensor
