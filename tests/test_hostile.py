"""Hostile calls: each ends in an exception that names the op and the value, or in the right answer.

`refused` rows say which exception and what its message matches; `answered` rows say the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pyneuro as pn
from pyneuro.testing.compare import to_numpy

F = pn.nn.functional
NAN, INF = math.nan, math.inf
HUGE = 2**40  # elements: more than any memory, less than any integer overflow
MEMORY = (MemoryError, ValueError)
NUMPY_BOOL = np.array([True, False, True])


def t(*shape: int, dtype: Any = None) -> pn.Tensor:
    return pn.ones(shape, dtype=dtype or pn.float32)


def ints(*values: int) -> pn.Tensor:
    return pn.tensor(values, dtype=pn.int64)


def leaf(*shape: int) -> pn.Tensor:
    return pn.ones(shape, requires_grad=True)


class Weird:
    """Claims to be an index, and is not."""

    def __index__(self) -> int:
        raise ZeroDivisionError("from __index__")


class Raising:
    """A sequence whose items raise."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, i: int) -> float:
        raise KeyError("from __getitem__")


def refused(name: str, call: Callable[[], Any], kinds: Any, message: str = r"^[\w.]+: ") -> Any:
    return pytest.param(call, kinds, message, id=name)


def answered(name: str, call: Callable[[], Any], expected: Any) -> Any:
    return pytest.param(call, expected, id=name)


SHAPES = [
    refused("add of 3 and 4", lambda: t(3) + t(4), ValueError, r"^add: .*got .*3.*4"),
    refused("add_ that would grow", lambda: t(1).add_(t(3)), ValueError, r"^add_?: "),
    refused("add of equal ranks", lambda: t(2, 3) + t(3, 2), ValueError, r"^add: "),
    refused("where, three shapes", lambda: pn.where(t(2) > 0, t(3), t(4)), ValueError, r"^where: "),
    refused("matmul inner dims", lambda: t(2, 3) @ t(4, 5), ValueError, r"^matmul: .*got"),
    refused("matmul of scalars", lambda: t() @ t(), ValueError, r"^matmul: "),
    refused("matmul batch dims", lambda: t(2, 3, 4) @ t(3, 4, 5), ValueError, r"^matmul: "),
    refused("bmm of matrices", lambda: pn.bmm(t(2, 3), t(3, 2)), ValueError, r"^bmm: "),
    refused("dot of matrices", lambda: pn.dot(t(2, 2), t(2, 2)), ValueError, r"^dot: "),
    refused("linear features", lambda: F.linear(t(2, 3), t(5, 4)), ValueError, r"^linear: "),
    refused("linear bias", lambda: F.linear(t(2, 3), t(5, 3), t(4)), ValueError, r"^linear: .*bias"),
    refused("reshape count", lambda: t(6).reshape(4), ValueError, r"^reshape: .*4.*6"),
    refused("reshape two -1", lambda: t(6).reshape(-1, -1), ValueError, r"^reshape: "),
    refused("reshape -2", lambda: t(6).reshape(-2, 3), ValueError, r"^reshape: "),
    refused("reshape of nothing by -1", lambda: t(0).reshape(0, -1), ValueError, r"^reshape: "),
    refused("reshape that overflows", lambda: t(4).reshape(2**32, 2**32), MEMORY, r"^reshape: "),
    refused("reshape to a float", lambda: t(4).reshape(2.0, 2), TypeError),
    refused("reshape to a string", lambda: t(4).reshape("4"), TypeError),
    refused("reshape beyond int64", lambda: t(4).reshape(2**70), (ValueError, OverflowError), r"."),
    refused("view of a transposed", lambda: t(2, 3).t().view(6), ValueError, r"^view: "),
    refused("expand of 3 to 4", lambda: t(3).expand(4), ValueError, r"^expand: "),
    refused("expand to fewer dims", lambda: t(2, 3).expand(3), ValueError, r"^expand: "),
    refused("expand by -2", lambda: t(3).expand(-2), ValueError, r"^expand: "),
    refused("permute repeated", lambda: t(2, 3).permute(0, 0), ValueError, r"^permute: "),
    refused("permute too few", lambda: t(2, 3).permute(0), ValueError, r"^permute: "),
    refused("permute out of range", lambda: t(2, 3).permute(0, 5), IndexError, r"^permute: .*got 5"),
    refused("transpose out of range", lambda: t(2, 3).transpose(0, -3), IndexError, r"^transpose: .*got -3"),
    refused("transpose of a string", lambda: t(2, 3).transpose("a", 0), TypeError, r"."),
    refused("squeeze out of range", lambda: t(1).squeeze(3), IndexError, r"^squeeze: .*got 3"),
    refused("unsqueeze out of range", lambda: t(1).unsqueeze(-4), IndexError, r"^unsqueeze: .*got -4"),
    refused("flatten backwards", lambda: t(2, 3).flatten(1, 0), ValueError, r"^flatten: "),
    refused("unflatten", lambda: t(6).unflatten(0, [4, 2]), ValueError, r"^unflatten: "),
    refused("T of three dims", lambda: t(2, 3, 4).T, ValueError, r"^T: "),
    refused("t of three dims", lambda: t(2, 3, 4).t(), ValueError, r"^t: "),
    refused("cat of ranks", lambda: pn.cat([t(2), t(2, 2)]), ValueError, r"^cat: "),
    refused("cat of sizes", lambda: pn.cat([t(2, 3), t(2, 4)]), ValueError, r"^cat: "),
    refused("cat of nothing", lambda: pn.cat([]), ValueError, r"^cat: "),
    refused("cat of numbers", lambda: pn.cat([1, 2]), TypeError, r"."),
    refused("cat of a tensor", lambda: pn.cat(5), TypeError, r"."),
    refused("cat of scalars", lambda: pn.cat([t(), t()]), ValueError, r"^cat: "),
    refused("stack of shapes", lambda: pn.stack([t(2), t(3)]), ValueError, r"^stack: "),
    refused("split by 0", lambda: t(4).split(0), ValueError, r"^split: "),
    refused("split sizes", lambda: t(4).split([1, 1]), ValueError, r"^split: "),
    refused("split negative", lambda: t(4).split([5, -1]), ValueError, r"^split: "),
    refused("chunk by 0", lambda: t(4).chunk(0), ValueError, r"^chunk: .*got 0"),
    refused("narrow beyond", lambda: t(4).narrow(0, 3, 2), (ValueError, IndexError), r"^narrow: "),
    refused("roll dims", lambda: t(2, 3).roll((1, 2), (0,)), ValueError, r"^roll: "),
    refused("flip twice", lambda: t(2, 3).flip(1, 1), ValueError, r"^flip: "),
    refused("tile negative", lambda: pn.tile(t(3), (-1,)), ValueError, r"^(tile|repeat): "),
    refused("repeat too few", lambda: t(2, 3).repeat(2), ValueError, r"^repeat: "),
    refused("pad odd", lambda: F.pad(t(3), [1]), ValueError, r"^pad: "),
    refused("pad too many", lambda: F.pad(t(3), [1, 1, 1, 1]), ValueError, r"^pad: "),
    refused("pad below zero", lambda: F.pad(t(3), [-2, -2]), ValueError, r"^pad: "),
    refused("tril of a vector", lambda: pn.tril(t(3)), ValueError, r"^tril: "),
    refused("sum over dim 2", lambda: t(2, 3).sum(2), IndexError, r"^sum: .*got 2"),
    refused("sum over a dim twice", lambda: t(2, 3).sum((0, 0)), ValueError, r"^sum: "),
    refused("sum over dim and -dim", lambda: t(2, 3).sum((1, -1)), ValueError, r"^sum: "),
    refused("sum over 1.5", lambda: t(2, 3).sum(1.5), TypeError, r"."),
    refused("sum with dim and axis", lambda: pn.sum(t(2), dim=0, axis=0), TypeError, r"^sum: .*axis"),
    refused("amax of nothing", lambda: t(0).amax(), IndexError, r"^amax: .*empty"),
    refused("max of nothing", lambda: t(0).max(), IndexError, r"^a?max: .*empty"),
    refused("argmax of an empty dim", lambda: t(2, 0).argmax(1), (ValueError, IndexError), r"^argmax: "),
    refused("softmax dim", lambda: F.softmax(t(2, 3), dim=2), IndexError, r"^softmax: .*got 2"),
    refused("cumsum dim", lambda: t(2).cumsum(1), IndexError, r"^cumsum: .*got 1"),
    refused("sort dim", lambda: t(2).sort(1), IndexError, r"^sort: .*got 1"),
    refused("topk too many", lambda: t(3).topk(4), ValueError, r"^topk: .*got 4"),
    refused("topk negative", lambda: t(3).topk(-1), ValueError, r"^topk: .*got -1"),
    refused("conv2d channels", lambda: F.conv2d(t(1, 3, 5, 5), t(2, 4, 3, 3)), ValueError, r"^conv2d: "),
    refused("conv2d kernel too large", lambda: F.conv2d(t(1, 3, 2, 2), t(2, 3, 3, 3)), ValueError, r"^conv2d: "),
    refused("conv2d kernel of zero", lambda: F.conv2d(t(1, 3, 5, 5), t(2, 3, 0, 3)), ValueError, r"^conv2d: "),
    refused("conv2d stride 0", lambda: F.conv2d(t(1, 3, 5, 5), t(2, 3, 3, 3), stride=0), ValueError, r"^conv2d: .*stride"),
    refused("conv2d groups 0", lambda: F.conv2d(t(1, 3, 5, 5), t(2, 3, 3, 3), groups=0), ValueError, r"^conv2d: .*groups"),
    refused("conv2d stride of three", lambda: F.conv2d(t(1, 3, 5, 5), t(2, 3, 3, 3), stride=(1, 1, 1)), (ValueError, TypeError)),
    refused("conv2d padding word", lambda: F.conv2d(t(1, 3, 5, 5), t(2, 3, 3, 3), padding="most"), ValueError, r"^conv2d: .*padding"),
    refused("max_pool2d kernel 0", lambda: F.max_pool2d(t(1, 1, 4, 4), 0), ValueError, r"^max_pool2d: "),
    refused("max_pool2d padding", lambda: F.max_pool2d(t(1, 1, 4, 4), 2, padding=3), ValueError, r"^max_pool2d: .*padding"),
    refused("avg_pool2d too large", lambda: F.avg_pool2d(t(1, 1, 4, 4), 9), ValueError, r"^avg_pool2d: "),
    refused("layer_norm shape", lambda: F.layer_norm(t(2, 3), (2,)), ValueError, r"^layer_norm: "),
    refused("batch_norm one value", lambda: F.batch_norm(t(1, 3), None, None, training=True), ValueError, r"^batch_norm: "),
    refused("batch_norm buffers", lambda: F.batch_norm(t(2, 3), t(4), t(4)), ValueError, r"^batch_norm: "),
    refused("cross_entropy batch", lambda: F.cross_entropy(t(2, 3), ints(0)), ValueError, r"^cross_entropy: "),
    refused("mse_loss shapes", lambda: F.mse_loss(t(3, 1), t(4)), UserWarning, r"^mse_loss: .*same shape"),
    refused("bce shapes", lambda: F.binary_cross_entropy(t(3), t(4)), ValueError, r"^\w+: "),
    refused("masked_fill mask", lambda: t(3).masked_fill(t(4) > 0, 0), ValueError, r"^(masked_fill|where): .*got"),
    refused("gather rank", lambda: t(2, 3).gather(1, ints(0)), ValueError, r"^gather: "),
    refused("scatter source", lambda: t(3, 4).scatter(1, ints(0, 1).view(1, 2), t(1, 1)), ValueError, r"^scatter: "),
    refused("ragged list", lambda: pn.tensor([[1, 2], [3]]), ValueError, r"^tensor: "),
    refused("ragged depth", lambda: pn.tensor([1, [2]]), (ValueError, TypeError), r"^tensor: "),
    refused("item of two", lambda: t(2).item(), (ValueError, RuntimeError), r"^item: .*got"),
    refused("bool of two", lambda: bool(t(2)), (ValueError, RuntimeError), r"^\w+: "),
    refused("float of two", lambda: float(t(2)), (ValueError, RuntimeError, TypeError), r"^\w+: "),
    refused("len of a scalar", lambda: len(t()), TypeError, r"0-d"),
    refused("iteration over a scalar", lambda: list(t()), TypeError, r"0-d"),
    refused("linspace steps", lambda: pn.linspace(0, 1, -3), ValueError, r"^linspace: .*got -3"),
    refused("arange step 0", lambda: pn.arange(0, 3, 0), ValueError, r"^arange: .*step"),
    refused("arange wrong way", lambda: pn.arange(0, 3, -1), ValueError, r"^arange: "),
    refused("arange to NaN", lambda: pn.arange(0, NAN), ValueError, r"^arange: "),
    refused("arange to infinity", lambda: pn.arange(0, INF), ValueError, r"^arange: "),
    refused("randint empty range", lambda: pn.randint(3, 3, (2,)), ValueError, r"^randint: .*got"),
    refused("randperm of -1", lambda: pn.randperm(-1), ValueError, r"^randperm: .*got -1"),
    refused("eye of -1", lambda: pn.eye(-1), ValueError, r"^eye: .*got .*-1"),
    refused("zeros of -1", lambda: pn.zeros(-1), ValueError, r"^(zeros|full): .*got"),
    refused("full of -1", lambda: pn.full((2, -1), 0), ValueError, r"^full: .*got"),
    refused("dropout p", lambda: F.dropout(t(3), 1.5), ValueError, r"^dropout: .*got 1.5"),
    refused("dropout NaN", lambda: F.dropout(t(3), NAN), ValueError, r"^dropout: .*got"),
    refused("one_hot negative", lambda: F.one_hot(ints(-1), 3), (ValueError, IndexError), r"^one_hot: .*got -1"),
    refused("one_hot too large", lambda: F.one_hot(ints(3), 3), (ValueError, IndexError), r"^one_hot: .*got 3"),
    refused("one_hot of nothing", lambda: F.one_hot(pn.zeros(0, dtype=pn.int64)), ValueError, r"^one_hot: "),
]  # fmt: skip

TYPES = [
    refused("add of a string", lambda: t(3) + "a", TypeError, r"."),
    refused("add of None", lambda: t(3) + None, TypeError, r"."),
    refused("add of a list", lambda: pn.add(t(3), [1, 2, 3]), TypeError, r"."),
    refused("matmul with a number", lambda: t(3) @ 2, TypeError, r"."),
    answered("exp of a number", lambda: pn.exp(1.0), math.e),
    refused("bitwise of floats", lambda: t(3) & t(3), TypeError, r"^bitwise_and: .*got float32"),
    refused("invert of floats", lambda: ~t(3), TypeError, r"^bitwise_not: .*got float32"),
    refused("neg of bool", lambda: -(t(3) > 0), TypeError, r"^neg: .*bool"),
    refused("sub of bools", lambda: (t(3) > 0) - (t(3) > 0), TypeError, r"^sub: .*bool"),
    refused("mean of integers", lambda: ints(1, 2).mean(), TypeError, r"^mean: .*float.*got int64"),
    refused("var of integers", lambda: ints(1, 2).var(), TypeError, r"^var: .*got int64"),
    refused("softmax of integers", lambda: F.softmax(ints(1, 2), 0), TypeError, r"^softmax: .*got int64"),
    refused("matmul of two dtypes", lambda: t(2, 2) @ t(2, 2, dtype=pn.float64), (TypeError, ValueError), r"^matmul: .*float32.*float64"),
    refused("conv2d of two dtypes", lambda: F.conv2d(t(1, 1, 3, 3), t(1, 1, 3, 3, dtype=pn.float64)), (TypeError, ValueError), r"^conv2d: .*float64"),
    refused("conv2d of integers", lambda: F.conv2d(t(1, 1, 3, 3).long(), t(1, 1, 3, 3).long()), TypeError, r"^conv2d: .*int64"),
    refused("float index", lambda: t(3).index_select(0, t(2)), TypeError, r"^index_select: .*got float32"),
    refused("float labels", lambda: F.nll_loss(t(2, 3), t(2)), TypeError, r"^nll_loss: "),
    refused("embedding by floats", lambda: F.embedding(t(2), t(4, 3)), TypeError, r"^embedding: "),
    refused("masked_fill by numbers", lambda: t(3).masked_fill(t(3), 0), TypeError, r"^masked_fill: .*bool"),
    refused("where on numbers", lambda: pn.where(t(3), t(3), t(3)), TypeError, r"^where: .*bool"),
    refused("integer += float", lambda: ints(1).add_(0.5), (TypeError, RuntimeError), r"^add_?: .*int64"),
    refused("integer tensor with gradient", lambda: pn.ones(2, dtype=pn.int32, requires_grad=True), (TypeError, RuntimeError), r"float"),
    refused("dtype as a word", lambda: pn.zeros(2, dtype="float33"), (TypeError, ValueError), r"float33"),
    refused("dtype of NumPy strings", lambda: pn.tensor(np.array(["a"])), TypeError, r"^\w+: "),
    refused("dtype of NumPy objects", lambda: pn.tensor(np.array([object()])), TypeError, r"^\w+: "),
    refused("complex NumPy array", lambda: pn.from_numpy(np.zeros(2, complex)), TypeError, r"^from_numpy: .*complex128"),
    refused("structured NumPy array", lambda: pn.from_numpy(np.zeros(2, "i4,f4")), TypeError, r"^from_numpy: "),
    refused("byte-swapped NumPy array", lambda: pn.from_numpy(np.zeros(2, ">f4")), (TypeError, ValueError), r"^from_numpy: "),
    refused("from_numpy of a list", lambda: pn.from_numpy([1, 2]), TypeError, r"."),
    refused("tensor of a dict", lambda: pn.tensor({"a": 1}), TypeError, r"^\w+: "),
    refused("tensor of a string", lambda: pn.tensor("abc"), TypeError, r"^\w+: "),
    refused("tensor of None", lambda: pn.tensor([None]), TypeError, r"^\w+: "),
    refused("tensor of a complex number", lambda: pn.tensor(1j), TypeError, r"^\w+: .*complex"),
    refused("tensor of a raising sequence", lambda: pn.tensor(Raising()), (KeyError, TypeError), r"."),
    refused("size that raises", lambda: pn.zeros(Weird()), ZeroDivisionError, "from __index__"),
    refused("size of True", lambda: pn.zeros(1.5), TypeError, r"."),
    refused("device as nonsense", lambda: pn.zeros(2, device="tpu"), (ValueError, TypeError, RuntimeError), r"tpu"),
    refused("device cuda", lambda: pn.zeros(2, device="cuda"), (ValueError, TypeError, RuntimeError), r"cuda.*gpu"),
    refused("to of a number", lambda: t(2).to(3), TypeError, r"."),
    refused("unknown keyword", lambda: pn.zeros(2, colour="red"), TypeError, r"colour"),
    refused("missing argument", lambda: pn.add(t(2)), TypeError, r"."),
    refused("overflowing value", lambda: pn.tensor([2**63]), (OverflowError, ValueError, TypeError), r"."),
    refused("uint8 of 300", lambda: pn.tensor([300], dtype=pn.uint8), (OverflowError, ValueError), r"300|uint8"),
    refused("fill of uint8 by 300", lambda: pn.full((2,), 300, dtype=pn.uint8), (OverflowError, ValueError), r"300"),
    refused("shift as attribute", lambda: t(2).no_such_method(), AttributeError, r"no_such_method"),
    refused("hash of a set of lists", lambda: pn.manual_seed("a"), TypeError, r"."),
]  # fmt: skip

SIZES = [
    refused("zeros of 2**40", lambda: pn.zeros(HUGE), MEMORY, r"^\w+: "),
    refused("ones of 2**40 x 2**40", lambda: pn.ones(HUGE, HUGE), MEMORY, r"^\w+: "),
    refused("full of 2**62", lambda: pn.full((2**62,), 1.0), MEMORY, r"^\w+: "),
    refused("empty of 2**63 - 1", lambda: pn.empty(2**63 - 1), MEMORY, r"^\w+: "),
    refused("zeros of 2**64", lambda: pn.zeros(2**64), (*MEMORY, OverflowError), r"."),
    answered("zero times huge", lambda: pn.zeros(0, 2**40, 2**40).numel(), 0),
    refused("arange of 2**40", lambda: pn.arange(HUGE), MEMORY, r"^\w+: "),
    refused("arange of tiny steps", lambda: pn.arange(0, 1, 1e-300), MEMORY, r"^arange: "),
    refused("linspace of 2**40", lambda: pn.linspace(0, 1, HUGE), MEMORY, r"^\w+: "),
    refused("eye of 2**21", lambda: pn.eye(2**21), MEMORY, r"^\w+: "),
    refused("randn of 2**40", lambda: pn.randn(HUGE), MEMORY, r"^\w+: "),
    refused("randperm of 2**40", lambda: pn.randperm(HUGE), MEMORY, r"^\w+: "),
    refused("expanded then copied", lambda: t(1).expand(HUGE).contiguous(), MEMORY, r"^\w+: "),
    refused("expanded then added", lambda: t(1).expand(HUGE) + 1, MEMORY, r"^\w+: "),
    refused("broadcast to 2**40", lambda: t(2**20, 1) * t(1, 2**20), MEMORY, r"^\w+: "),
    refused("outer to 2**40", lambda: pn.outer(t(2**20), t(2**20)), MEMORY, r"^\w+: "),
    refused("matmul to 2**40", lambda: t(2**20, 1) @ t(1, 2**20), MEMORY, r"^\w+: "),
    refused("cat to 2**40", lambda: pn.cat([t(1).expand(HUGE)] * 2), MEMORY, r"^\w+: "),
    refused("repeat to 2**40", lambda: t(2).repeat(HUGE), MEMORY, r"^\w+: "),
    refused("repeat that overflows", lambda: t(2).repeat(2**62, 2**62), MEMORY, r"^\w+: "),
    refused("tile that overflows", lambda: pn.tile(t(4), (2**62,)), MEMORY, r"^\w+: "),
    refused("pad to 2**40", lambda: F.pad(t(2), [HUGE, 0]), MEMORY, r"^\w+: "),
    refused("pad that overflows", lambda: F.pad(t(2), [2**62, 2**62]), MEMORY, r"^\w+: "),
    refused("one_hot of 2**40", lambda: F.one_hot(ints(0, 1), HUGE), MEMORY, r"^\w+: "),
    refused("conv2d padded by 2**40", lambda: F.conv2d(t(1, 1, 3, 3), t(1, 1, 3, 3), padding=HUGE), MEMORY, r"^\w+: "),
    refused("conv2d dilated by 2**62", lambda: F.conv2d(t(1, 1, 3, 3), t(1, 1, 3, 3), dilation=2**62), MEMORY, r"^conv2d: "),
    refused("max_pool2d by 2**62", lambda: F.max_pool2d(t(1, 1, 3, 3), 2**62), MEMORY, r"^max_pool2d: "),
    refused("expand that overflows", lambda: t(1, 1).expand(2**40, 2**40), MEMORY, r"^expand: "),
    refused("unflatten that overflows", lambda: t(4).unflatten(0, [2**40, 2**40]), ValueError, r"^unflatten: "),
    refused("thousand dims", lambda: t(1).reshape((1,) * 1000), ValueError, r"^reshape: "),
    answered("expanded to 2**40 and read", lambda: t(1).expand(HUGE)[HUGE - 1], 1.0),
    answered("shape of 2**40", lambda: t(1).expand(HUGE).numel(), HUGE),
    answered("sum of nothing", lambda: t(0).sum(), 0.0),
    answered("prod of nothing", lambda: t(0).prod(), 1.0),
    answered("all of nothing", lambda: (t(0) > 0).all(), True),
    answered("mean of nothing", lambda: t(0).mean(), NAN),
    answered("matmul over an empty dim", lambda: t(2, 0) @ t(0, 3), np.zeros((2, 3))),
    answered("conv2d of an empty batch", lambda: F.conv2d(t(0, 1, 3, 3), t(2, 1, 3, 3)).shape, (0, 2, 1, 1)),
    answered("softmax of an empty row", lambda: F.softmax(t(2, 0), 1).shape, (2, 0)),
    answered("cat with an empty tensor", lambda: pn.cat([t(2), t(0)]), [1.0, 1.0]),
    answered("sort of nothing", lambda: t(0).sort()[1].shape, (0,)),
    answered("cross_entropy of nothing", lambda: F.cross_entropy(t(0, 3), pn.zeros(0, dtype=pn.int64), reduction="sum"), 0.0),
    answered("slice far outside", lambda: t(3)[HUGE : 2 * HUGE].shape, (0,)),
    answered("slice with huge steps", lambda: pn.arange(5)[:: 2**62], [0]),
    answered("slice with huge negative steps", lambda: pn.arange(5)[:: -(2**62)], [4]),
]  # fmt: skip

INDICES = [
    refused("index 3 of 3", lambda: t(3)[3], IndexError, r"^\w+: .*got 3"),
    refused("index -4 of 3", lambda: t(3)[-4], IndexError, r"^\w+: .*got -4"),
    refused("index 2**70", lambda: t(3)[2**70], (IndexError, OverflowError), r"."),
    refused("two indices of a vector", lambda: t(3)[0, 0], IndexError, r"^\w+: "),
    refused("index of a scalar", lambda: t()[0], IndexError, r"^\w+: "),
    refused("two ellipses", lambda: t(2, 3)[..., ...], IndexError, r"^\w+: "),
    refused("index 1.5", lambda: t(3)[1.5], (TypeError, IndexError), r"^index: .*got 1.5"),
    refused("index by a word", lambda: t(3)["a"], TypeError, r"^\w+: "),
    refused("index by a dict", lambda: t(3)[{}], TypeError, r"^\w+: "),
    refused("step 0", lambda: t(3)[::0], ValueError, r"^\w+: .*step"),
    refused("index tensor out of range", lambda: t(3)[ints(0, 3)], IndexError, r"^\w+: .*got 3"),
    refused("index tensor below range", lambda: t(3)[ints(-4)], IndexError, r"^\w+: .*got -4"),
    refused("index by floats", lambda: t(3)[t(2)], (IndexError, TypeError), r"^\w+: "),
    refused("mask of the wrong length", lambda: t(3)[t(4) > 0], IndexError, r"^\w+: "),
    refused("mask of too many dims", lambda: t(3)[t(3, 3) > 0], IndexError, r"^\w+: "),
    refused("index tensors that do not broadcast", lambda: t(3, 3)[ints(0, 1), ints(0, 1, 2)], (IndexError, ValueError), r"^\w+: "),
    refused("index of an empty dim", lambda: t(0)[ints(0)], IndexError, r"^\w+: "),
    refused("gather out of range", lambda: t(3).gather(0, ints(5)), IndexError, r"^gather: .*got 5"),
    refused("gather by -1", lambda: t(3).gather(0, ints(-1)), IndexError, r"^gather: .*got -1"),
    refused("scatter out of range", lambda: t(3).scatter(0, ints(3), t(1)), IndexError, r"^scatter: .*got 3"),
    refused("scatter_add out of range", lambda: t(3).scatter_add(0, ints(-7), t(1)), IndexError, r"^scatter_add: .*got -7"),
    refused("index_select out of range", lambda: t(3).index_select(0, ints(2**40)), IndexError, r"^index_select: .*got 1099511627776"),
    refused("embedding out of range", lambda: F.embedding(ints(4), t(4, 2)), IndexError, r"^embedding: .*got 4"),
    refused("embedding by -1", lambda: F.embedding(ints(-1), t(4, 2)), IndexError, r"^embedding: .*got -1"),
    refused("cross_entropy class", lambda: F.cross_entropy(t(2, 3), ints(0, 3)), (IndexError, ValueError), r"^cross_entropy: .*got 3"),
    refused("nll_loss class", lambda: F.nll_loss(t(2, 3), ints(0, -1)), (IndexError, ValueError), r"^nll_loss: .*got -1"),
    refused("assign the wrong shape", lambda: t(3, 4).__setitem__(0, t(3)), ValueError, r"^\w+: "),
    refused("assign out of range", lambda: t(3).__setitem__(3, 1.0), IndexError, r"^\w+: .*got 3"),
    refused("assign a word", lambda: t(3).__setitem__(0, "a"), (TypeError, ValueError), r"."),
    refused("assign by an index out of range", lambda: t(3).__setitem__(ints(9), 1.0), IndexError, r"^\w+: .*got 9"),
    refused("delete", lambda: t(3).__delitem__(0), (TypeError, AttributeError), r"."),
    answered("index -1", lambda: pn.arange(3)[-1], 2),
    answered("index by True", lambda: pn.arange(3)[True], [[0, 1, 2]]),
    answered("index by False", lambda: pn.arange(3)[False].shape, (0, 3)),
    answered("index by None", lambda: pn.arange(3)[None], [[0, 1, 2]]),
    answered("index by NumPy integers", lambda: pn.arange(3)[np.int8(-1)], 2),
    answered("index by a NumPy mask", lambda: pn.arange(3)[NUMPY_BOOL], [0, 2]),
    answered("index by a list", lambda: pn.arange(3)[[2, 0]], [2, 0]),
    answered("index by an empty list", lambda: pn.arange(3)[[]].shape, (0,)),
    answered("index by a 0-d tensor", lambda: pn.arange(3)[pn.tensor(1)], 1),
    answered("index by uint8 counts", lambda: pn.arange(3)[pn.tensor([2, 2], dtype=pn.uint8)], [2, 2]),
    answered("index with repeats, assigned", lambda: assigned(pn.zeros(3), ints(0, 0), 5.0), [5.0, 0.0, 0.0]),
    answered("assign to nothing", lambda: assigned(pn.zeros(3), slice(5, 9), 5.0), [0.0, 0.0, 0.0]),
    answered("assign a tensor to itself, shifted", lambda: shifted(), [0, 0, 1, 2, 3]),
    answered("assign a tensor to itself, reversed", lambda: reversed_in_place(), [4, 3, 2, 1, 0]),
    answered("add a tensor to its transpose in place", lambda: add_transposed(), [[0, 3], [3, 6]]),
]  # fmt: skip

VALUES = [
    refused("integer division by 0", lambda: ints(1) // 0, (ZeroDivisionError, RuntimeError), r"^floor_divide: "),
    refused("integer remainder by 0", lambda: ints(1) % ints(0), (ZeroDivisionError, RuntimeError), r"^remainder: "),
    refused("integer to a negative power", lambda: ints(2) ** -1, (ValueError, RuntimeError), r"^pow: "),
    refused("item of NaN as int", lambda: int(pn.tensor(NAN)), ValueError, r"."),
    refused("bernoulli of 2", lambda: pn.bernoulli(t(3) * 2), ValueError, r"^bernoulli: "),
    refused("cross_entropy reduction", lambda: F.cross_entropy(t(2, 3), ints(0, 1), reduction="avg"), ValueError, r"reduction.*avg"),
    refused("cross_entropy smoothing", lambda: F.cross_entropy(t(2, 3), ints(0, 1), label_smoothing=NAN), ValueError, r"^cross_entropy: "),
    answered("division by 0", lambda: pn.tensor([1.0, -1.0, 0.0]) / 0, [INF, -INF, NAN]),
    answered("log of 0 and below", lambda: pn.tensor([0.0, -1.0]).log(), [-INF, NAN]),
    answered("smallest int8, absolute", lambda: pn.tensor([-128], dtype=pn.int8).abs(), [-128]),
    answered("smallest int64 by -1", lambda: pn.tensor([-(2**63)]) // -1, [-(2**63)]),
    answered("smallest int64 modulo -1", lambda: pn.tensor([-(2**63)]) % -1, [0]),
    answered("uint8 wraps", lambda: pn.tensor([255], dtype=pn.uint8) + 1, [0]),
    answered("max with NaN", lambda: pn.tensor([1.0, NAN, 2.0]).max(), NAN),
    answered("amax of -inf", lambda: pn.tensor([-INF, -INF]).amax(), -INF),
    answered("argmax with NaN", lambda: pn.tensor([1.0, NAN, 2.0]).argmax(), 1),
    answered("sort with NaN", lambda: pn.tensor([NAN, 1.0, -INF]).sort()[0], [-INF, 1.0, NAN]),
    answered("softmax of -inf", lambda: F.softmax(pn.tensor([-INF, -INF]), 0), [NAN, NAN]),
    answered("softmax of one -inf", lambda: F.softmax(pn.tensor([-INF, 0.0]), 0), [0.0, 1.0]),
    answered("relu of NaN", lambda: F.relu(pn.tensor([NAN, -INF])), [NAN, 0.0]),
    answered("NaN is not NaN", lambda: pn.tensor([NAN]) == pn.tensor([NAN]), [False]),
    answered("minus zero is zero", lambda: pn.tensor([-0.0]) == 0, [True]),
    answered("float to int of NaN does not crash", lambda: pn.tensor([NAN, INF]).to(pn.int32).shape, (2,)),
    answered("dropout of everything", lambda: F.dropout(t(3), 1.0), [0.0, 0.0, 0.0]),
    answered("clamp, min above max", lambda: pn.clamp(pn.arange(3), 5, 1), [1, 1, 1]),
    answered("half overflows to infinity", lambda: pn.tensor([1e6]).half().float(), [INF]),
    answered("float16 sum beyond its range", lambda: pn.full((70000,), 1.0, dtype=pn.float16).sum().item(), INF),
    answered("sum of 1e8 ones and a tiny one", lambda: (pn.ones(1 << 25).sum() == float(1 << 25)), True),
]  # fmt: skip


def assigned(x: pn.Tensor, key: Any, value: Any) -> pn.Tensor:
    x[key] = value
    return x


def shifted() -> pn.Tensor:
    """Source and target overlap in memory: the source has to be read before it is overwritten."""
    x = pn.arange(5)
    x[1:] = x[:-1]
    return x


def reversed_in_place() -> pn.Tensor:
    x = pn.arange(5)
    x[:] = x.flip(0)
    x[:] = x[::-1]
    x[:] = x[::-1]
    return x


def add_transposed() -> pn.Tensor:
    x = pn.arange(4).reshape(2, 2)
    x += x.t()
    return x


def negative(shape: tuple[int, ...] = (3, 4)) -> Any:
    """A NumPy array with negative strides in every dim, and the values it shows."""
    return np.arange(float(np.prod(shape)), dtype=np.float32).reshape(shape)[::-1, ::-1]


LAYOUTS = [
    answered("from_numpy, negative strides", lambda: pn.from_numpy(negative()), negative()),
    answered("tensor, negative strides", lambda: pn.tensor(negative()), negative()),
    answered("matmul, negative strides", lambda: pn.from_numpy(negative()) @ pn.from_numpy(negative()).t(), negative() @ negative().T),
    answered("sum, negative strides", lambda: pn.from_numpy(negative()).sum(0), negative().sum(0)),
    answered("reshape, negative strides", lambda: pn.from_numpy(negative()).reshape(-1), negative().reshape(-1)),
    answered("numpy of a negative view", lambda: pn.arange(4)[::-1].numpy(), [3, 2, 1, 0]),
    answered("step -2", lambda: pn.arange(7)[5:0:-2], [5, 3, 1]),
    answered("zero strides", lambda: pn.from_numpy(np.broadcast_to(np.float32(3), (2, 2)).copy()[:1]).expand(3, 2).sum(), 18.0),
    answered("Fortran order", lambda: pn.from_numpy(np.asfortranarray(negative())), negative()),
    answered("0-d array", lambda: pn.from_numpy(np.array(3.0)), 3.0),
    answered("unaligned array", lambda: pn.tensor(np.frombuffer(b"\0" + np.arange(3, dtype="f4").tobytes(), "f4", 3, 1)), [0, 1, 2]),
    answered("conv2d on a transposed input", lambda: F.conv2d(pn.arange(9.0).view(1, 1, 3, 3).transpose(2, 3), t(1, 1, 2, 2)), [[[[8, 20], [12, 24]]]]),
    answered("cumsum, reversed", lambda: pn.arange(4)[::-1].cumsum(0), [3, 5, 6, 6]),
    answered("sort, reversed", lambda: pn.arange(4)[::-1].sort()[0], [0, 1, 2, 3]),
    refused("write to an expanded tensor", lambda: t(1).expand(3).add_(1), (ValueError, RuntimeError), r"^add_?: "),
    refused("fill of an expanded tensor", lambda: t(1).expand(3).zero_(), (ValueError, RuntimeError), r"^\w+: "),
]  # fmt: skip

AUTOGRAD = [
    refused("backward twice", lambda: backward_twice(), RuntimeError, r"^\w+: .*retain_graph"),
    refused("backward of a matrix", lambda: (leaf(2, 2) * 2).backward(), RuntimeError, r"^backward: .*one-element.*got"),
    refused("backward without graph", lambda: t().backward(), RuntimeError, r"^backward: "),
    refused("cotangent of another shape", lambda: (leaf(2) * 2).backward(t(3)), (ValueError, RuntimeError), r"^backward: .*shape"),
    refused("cotangent that is a list", lambda: (leaf(2) * 2).backward([1.0, 1.0]), TypeError, r"."),
    refused("grad of something unrelated", lambda: pn.autograd.grad(leaf().exp(), leaf()), RuntimeError, r"allow_unused"),
    refused("in-place on a leaf", lambda: leaf(2).add_(1), RuntimeError, r"leaf"),
    refused("assignment into a leaf", lambda: leaf(2).__setitem__(0, 1.0), RuntimeError, r"leaf"),
    refused("stale result", lambda: stale_result(), RuntimeError, r"exp.*in.?place"),
    refused("requires_grad of an inner tensor", lambda: (leaf(2) * 2).requires_grad_(False), RuntimeError, r"."),
    refused("grad set to another shape", lambda: setattr(leaf(2), "grad", t(3)), (ValueError, RuntimeError), r"."),
    refused("grad set to a number", lambda: setattr(leaf(2), "grad", 3), TypeError, r"."),
    refused("numpy with a gradient", lambda: leaf(2).numpy(), RuntimeError, r"detach\(\)"),
    refused("hook that is not callable", lambda: leaf(2).register_hook(3), TypeError, r"."),
    refused("hook with a wrong result", lambda: wrong_hook(), (TypeError, RuntimeError, ValueError), r"."),
    answered("gradient of nothing", lambda: gradient_of(lambda x: x.sum(), leaf(0)).shape, (0,)),
    answered("max over ties", lambda: gradient_of(lambda x: x.amax(), leaf(4)), [0.25] * 4),
    answered("max with dim over ties", lambda: gradient_of(lambda x: x.max(0)[0], leaf(3)).sum(), 1.0),
    answered("relu at 0", lambda: gradient_of(lambda x: F.relu(x * 0).sum(), leaf(2)), [0.0, 0.0]),
    answered("abs at 0", lambda: gradient_of(lambda x: (x - 1).abs().sum(), leaf(2)), [0.0, 0.0]),
    answered("sqrt at 0", lambda: gradient_of(lambda x: (x - 1).sqrt().sum(), leaf(1)), [INF]),
    answered("norm at 0", lambda: gradient_of(lambda x: (x - 1).norm(), leaf(2)), [0.0, 0.0]),
]  # fmt: skip


def backward_twice() -> None:
    y = leaf(2).exp().sum()
    y.backward()
    y.backward()


def stale_result() -> None:
    y = leaf(2).exp()
    y.mul_(2)
    y.sum().backward()


def wrong_hook() -> None:
    y = leaf(2) * 2
    y.register_hook(lambda g: "not a tensor")
    y.sum().backward()


def gradient_of(f: Callable[[pn.Tensor], pn.Tensor], x: pn.Tensor) -> pn.Tensor:
    f(x).backward()
    assert x.grad is not None
    return x.grad


TABLES = [SHAPES, TYPES, SIZES, INDICES, VALUES, LAYOUTS, AUTOGRAD]
REFUSED = [p for table in TABLES for p in table if len(p.values) == 3]
ANSWERED = [p for table in TABLES for p in table if len(p.values) == 2]


@pytest.mark.parametrize(("call", "kinds", "message"), REFUSED)
def test_refused(call: Callable[[], Any], kinds: Any, message: str) -> None:
    with pytest.raises(kinds, match=message) as caught:
        call()
    words = f"{type(caught.value).__name__}: {caught.value}".lower()
    assert "panic" not in words
    assert "internal error" not in words


@pytest.mark.parametrize(("call", "expected"), ANSWERED)
def test_answered(call: Callable[[], Any], expected: Any) -> None:
    got = call()
    if isinstance(got, pn.Tensor):
        got = to_numpy(got)
    np.testing.assert_allclose(np.asarray(got, np.float64), np.asarray(expected, np.float64), rtol=1e-6)


def test_there_are_enough() -> None:
    assert len(REFUSED) + len(ANSWERED) >= 200
