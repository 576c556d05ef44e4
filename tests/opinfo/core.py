"""The records: `OpInfo`, `Sample`, `Error`, and `Draw`, which makes the numbers of a sample."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Exceptions = type[BaseException] | tuple[type[BaseException], ...]

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTS = ("int64", "int32", "int16", "int8", "uint8")
NUMERIC = (*FLOATS, *INTS)
ALL = (*NUMERIC, "bool")
# A function written with other ops may round after every step.  In half precision its error then follows the
# intermediate values, not the result, and no tolerance says anything: its steps are tested one by one.
COMPOSED = ("float32", "float64")
# Copying and moving ops do not look at the values: one dtype of each width and kind tells all.
BY_WIDTH = ("float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool")


@dataclass(frozen=True)
class Sample:
    """Arguments of one call.  NumPy arrays become tensors; floating ones get the dtype under test, others keep theirs."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    label: str = ""
    grad: bool = True  # the op is differentiable at this point, so finite differences make sense
    gpu: bool = True  # False where GPUs promise less than IEEE 754: NaN, infinities, denormals

    def __str__(self) -> str:
        if self.label:
            return self.label
        words = [_describe(a) for a in self.args] + [f"{k}={_describe(v)}" for k, v in self.kwargs.items()]
        return "(" + ", ".join(words) + ")"


def sample(*args: Any, label: str = "", grad: bool = True, gpu: bool = True, **kwargs: Any) -> Sample:
    """A `Sample`, written like the call it stands for."""
    return Sample(args, kwargs, label, grad, gpu)


@dataclass(frozen=True)
class Error:
    """A call that must be refused: the exception type and a regular expression that its message matches."""

    exception: Exceptions
    message: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def error(exception: Exceptions, message: str, *args: Any, **kwargs: Any) -> Error:
    """An `Error`; the arguments are written like the call, NumPy arrays become tensors of their own dtype."""
    return Error(exception, message, args, kwargs)


def floats(*shape: int) -> Array:
    """Float32 zeros, for error samples: there only the shape matters."""
    return np.zeros(shape, np.float32)


def longs(*shape: int) -> Array:
    """Int64 zeros, for error samples."""
    return np.zeros(shape, np.int64)


@dataclass(frozen=True)
class OpInfo:
    """One op as the tests see it.

    `ref` is written with NumPy and gets floats as float64, integers as int64; it never calls pyneuro.
    `result` names the dtype rule: "same" as the inputs, "float" (integers become float32), "sum" (integers become
    int64), or a dtype. An op with several results gives a tuple of rules.
    """

    name: str
    ref: Callable[..., Any] | None
    samples: Callable[[Draw], Iterator[Sample]]
    fn: str | Callable[..., Any] = ""  # where it lives if not at `pn.<name>` or `pn.nn.functional.<name>`
    dtypes: tuple[str, ...] = FLOATS
    result: str | tuple[str, ...] = "same"
    grad: int = 2  # highest order of derivative that is checked; 0: the op has no gradient
    errors: tuple[Error, ...] = ()
    gpu: str | None = None  # None: runs on the GPU; else the reason why it does not
    gpu_dtypes: tuple[str, ...] = ("float32", "int64", "int32", "uint8", "bool")
    inplace: bool = False  # `Tensor.<name>_` exists
    method: bool = True  # `Tensor.<name>` exists
    layouts: bool = True  # takes any layout; `view` does not
    equal_rows: bool = True  # rows may repeat; where they are normalised, a variance of 0 magnifies rounding 300 times
    covers: tuple[str, ...] = ()  # other names in the Rust list that this entry exercises
    slack: tuple[float, str] | None = None  # factor on the tolerance table, and the reason for it
    check: Callable[..., None] | None = None  # in place of `ref` for random results: check(results, *args, **kwargs)
    docs: bool = True  # a public function that the docs list

    def __str__(self) -> str:
        return self.name


def raw(name: str) -> Any:
    """A function of the extension that has no public form."""

    def fn(*args: Any, **kwargs: Any) -> Any:
        import pyneuro as pn

        return getattr(pn._core, name)(*args, **kwargs)

    return fn


class Draw:
    """Random numbers for the samples of one op in one dtype; the same in every run."""

    def __init__(self, name: str, dtype: str) -> None:
        self.dtype = dtype
        self.rng = np.random.default_rng(zlib.crc32(f"{name}/{dtype}".encode()))
        # NumPy has no bfloat16: such values travel as float32 that bfloat16 holds exactly.
        self.carrier = np.dtype("float32" if dtype == "bfloat16" else dtype)

    @property
    def is_float(self) -> bool:
        return self.carrier.kind == "f"

    @property
    def is_bool(self) -> bool:
        return self.carrier.kind == "b"

    def __call__(
        self, *shape: int, low: float = -3.0, high: float = 3.0, away: Sequence[float] = (), gap: float = 0.05
    ) -> Array:
        """Uniform values in [low, high], at least `gap` from every point of `away` (kinks, poles)."""
        if self.is_bool:
            return self.mask(*shape)
        if not self.is_float:
            lowest = 0 if self.carrier.kind == "u" else int(np.ceil(low))
            values = self.rng.integers(lowest, max(int(np.floor(high)), lowest), shape, endpoint=True)
            for point in away:
                values = np.where(values == point, values + 1, values)
            return np.asarray(values, self.carrier)
        values = self.rng.uniform(low, high, shape)
        for point in away:
            offset = values - point
            values = np.where(np.abs(offset) < gap, point + np.where(offset < 0, -gap, gap), values)
        return self.cast(values)

    def distinct(self, *shape: int, scale: float = 0.5) -> Array:
        """Values with no ties and gaps of `scale` (less for many), in random order: for maxima and sorting."""
        size = int(np.prod(shape))
        if not self.is_float:
            return self(*shape, low=-100, high=100)
        scale = min(scale, 40 / max(size, 1))  # finite differences lose their digits on large values
        return self.cast((self.rng.permutation(size) - size // 2).reshape(shape) * scale)

    def cast(self, values: Any) -> Array:
        """The values as an array of the dtype under test (rounded, for bfloat16, to what it can hold)."""
        array = np.asarray(values, dtype=self.carrier)
        return round_to_bfloat16(array) if self.dtype == "bfloat16" else array

    def mask(self, *shape: int) -> Array:
        return np.asarray(self.rng.integers(0, 2, shape).astype(np.bool_))

    def index(self, *shape: int, high: int, low: int = 0) -> Array:
        """Int64 indices in [low, high)."""
        return np.asarray(self.rng.integers(low, high, shape), np.int64)

    def permuted(self, shape: Sequence[int], dim: int, size: int) -> Array:
        """Int64 indices without repetition along `dim`, each in [0, size)."""
        keys = self.rng.random((*shape[:dim], size, *shape[dim + 1 :]))
        return np.asarray(np.take(np.argsort(keys, axis=dim), range(shape[dim]), axis=dim), np.int64)


def round_to_bfloat16(values: Array) -> Array:
    """Float32 values rounded half to even to the nearest bfloat16, as float32."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return np.asarray(np.where(np.isnan(values), np.float32("nan"), rounded.view(np.float32)), np.float32)


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_describe(v) for v in value) + "]"
    return repr(value)
