"""`gradcheck` and `gradgradcheck`: gradients of first and second order against central differences in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import pyneuro as pn

_Array = npt.NDArray[np.float64]
_Function = Callable[..., Any]


class GradcheckError(AssertionError):
    """A gradient differs from the finite difference; the message names function, output, input and element."""


def gradcheck(
    fn: _Function,
    inputs: pn.Tensor | Sequence[pn.Tensor],
    *,
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    fast: bool = False,
    seed: int = 0,
    name: str | None = None,
) -> bool:
    """Check the gradients of `fn` with respect to every input that requires a gradient.

    The Jacobian that backward gives is compared element by element with `(fn(x + eps) - fn(x - eps)) / (2 eps)`.

    Args:
        fn: takes the tensors of `inputs` and returns a tensor or a tuple of tensors. Outputs that are not floating
            point (indices, masks) are left out. It must be deterministic: two calls give the same result.
        inputs: a tensor or a sequence of tensors. Those with `requires_grad` must be float64: in float32 the
            difference quotient has no digits left.
        eps: half the step of the difference quotient.
        rtol: relative tolerance.
        atol: absolute tolerance.
        fast: compare one random projection of each Jacobian instead of every element. Costs a few calls whatever the
            size; a failure then cannot name the element.
        seed: seed of the projections.
        name: what to call the function in messages; by default its `__name__`.

    Returns:
        True.

    Raises:
        GradcheckError: a gradient is wrong, has the wrong shape or dtype, or differs between two backward runs.
        ValueError: no input requires a gradient, one that does is not float64, or no output is differentiable.

    >>> x = pn.randn(2, 3, dtype=pn.float64, requires_grad=True)
    >>> w = pn.randn(4, 3, dtype=pn.float64, requires_grad=True)
    >>> gradcheck(pn.nn.functional.linear, (x, w))
    True
    """
    check = _Check(fn, inputs, eps, rtol, atol, seed, name)
    if fast:
        check.projected()
    else:
        check.elementwise()
    check.repeatable()
    return True


def gradgradcheck(
    fn: _Function,
    inputs: pn.Tensor | Sequence[pn.Tensor],
    *,
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    fast: bool = False,
    seed: int = 0,
    name: str | None = None,
) -> bool:
    """Check the second-order gradients of `fn`: `gradcheck` applied to its backward with `create_graph=True`.

    The backward is differentiated with respect to the inputs and to the incoming gradients, which are drawn at random.
    Arguments, result and errors are those of `gradcheck`; in messages the inputs come first, then the incoming
    gradients.

    >>> x = pn.randn(3, dtype=pn.float64, requires_grad=True)
    >>> gradgradcheck(lambda x: (x**3).sum(), x)
    True
    """
    tensors = _as_tuple(inputs)
    label = name or getattr(fn, "__name__", repr(fn))
    wanted = [i for i, t in enumerate(tensors) if t.requires_grad]
    outputs = _differentiable(fn(*tensors))
    rng = np.random.default_rng(seed)
    cotangents = tuple(_tensor(rng.standard_normal(tuple(o.shape)), requires_grad=True) for o in outputs)

    def backward(*args: pn.Tensor) -> tuple[pn.Tensor, ...]:
        points, incoming = args[: len(tensors)], args[len(tensors) :]
        results = _differentiable(fn(*points))
        grads = pn.autograd.grad(results, [points[i] for i in wanted], incoming, create_graph=True, allow_unused=True)
        # A constant gradient (none at all, or one without graph) has derivative zero, which finite differences confirm.
        return tuple(
            pn.zeros_like(points[i]) + 0.0 * points[i] if g is None else g + 0.0 * points[i]
            for i, g in zip(wanted, grads)
        )

    return gradcheck(
        backward,
        (*tensors, *cotangents),
        eps=eps,
        rtol=rtol,
        atol=atol,
        fast=fast,
        seed=seed,
        name=f"backward of {label}",
    )


class _Check:
    """One function at one point: its outputs, their gradients and their finite differences."""

    def __init__(
        self,
        fn: _Function,
        inputs: pn.Tensor | Sequence[pn.Tensor],
        eps: float,
        rtol: float,
        atol: float,
        seed: int,
        name: str | None,
    ) -> None:
        self.fn = fn
        self.inputs = _as_tuple(inputs)
        self.eps, self.rtol, self.atol = eps, rtol, atol
        self.rng = np.random.default_rng(seed)
        self.name = name or getattr(fn, "__name__", repr(fn))
        self.wanted = [i for i, t in enumerate(self.inputs) if t.requires_grad]
        if not self.wanted:
            raise ValueError("gradcheck: at least one input must require a gradient, got none")
        for i in self.wanted:
            if self.inputs[i].dtype != pn.float64:
                raise ValueError(f"gradcheck: input {i} must be float64, got {self.inputs[i].dtype}")
        self.points = {i: np.array(self.inputs[i].detach().numpy(), dtype=np.float64) for i in self.wanted}
        self.outputs = _differentiable(fn(*self.inputs))
        if not self.outputs:
            raise ValueError(f"gradcheck: {self.name} must have an output that requires a gradient, got none")

    def elementwise(self) -> None:
        """Compare every element of every Jacobian."""
        numeric = {i: self._numeric_jacobians(i) for i in self.wanted}
        for k, output in enumerate(self.outputs):
            for row in range(output.numel()):
                one_hot = np.zeros(tuple(output.shape))
                one_hot.reshape(-1)[row] = 1.0
                for i, grad in zip(self.wanted, self._vjp(k, one_hot)):
                    expected = numeric[i][k][:, row]
                    wrong = ~self._close(grad.reshape(-1), expected)
                    if wrong.any():
                        column = int(np.argmax(wrong))
                        raise GradcheckError(
                            f"gradcheck: {self.name}: gradient of output {k} element {_where(output.shape, row)} "
                            f"with respect to input {i} element {_where(grad.shape, column)}: "
                            f"got {grad.reshape(-1)[column]:.8g}, finite difference {expected[column]:.8g}"
                        )

    def projected(self, directions: int = 2) -> None:
        """Compare `u . J v` for a few random u and v per Jacobian."""
        for k, output in enumerate(self.outputs):
            for _ in range(directions):
                u = self.rng.standard_normal(tuple(output.shape))
                for i, grad in zip(self.wanted, self._vjp(k, u)):
                    v = self.rng.standard_normal(self.points[i].shape)
                    got = float((grad * v).sum())
                    expected = float((self._difference(i, v)[k] * u).sum())
                    if not self._close(np.asarray(got), np.asarray(expected)):
                        raise GradcheckError(
                            f"gradcheck: {self.name}: gradient of output {k} with respect to input {i}, projected on "
                            f"random directions: got {got:.8g}, finite difference {expected:.8g}"
                        )

    def repeatable(self) -> None:
        """Backward twice gives the same bits."""
        cotangent = np.ones(tuple(self.outputs[0].shape))
        for i, first, second in zip(self.wanted, self._vjp(0, cotangent), self._vjp(0, cotangent)):
            if not np.array_equal(first, second, equal_nan=True):
                raise GradcheckError(f"gradcheck: {self.name}: gradient of input {i} differs between two backward runs")

    def _vjp(self, k: int, cotangent: _Array) -> list[_Array]:
        grads = pn.autograd.grad(
            self.outputs[k],
            [self.inputs[i] for i in self.wanted],
            _tensor(cotangent),
            retain_graph=True,
            allow_unused=True,
        )
        result = []
        for i, grad in zip(self.wanted, grads):
            point = self.points[i]
            if grad is None:
                grad = pn.zeros(point.shape, dtype=pn.float64)
            if tuple(grad.shape) != point.shape or grad.dtype != pn.float64:
                raise GradcheckError(
                    f"gradcheck: {self.name}: gradient of input {i} must be float64 of shape {point.shape}, "
                    f"got {grad.dtype} of shape {tuple(grad.shape)}"
                )
            result.append(np.asarray(grad.detach().numpy()))
        return result

    def _numeric_jacobians(self, i: int) -> list[_Array]:
        """For input `i`: per output, an array (elements of the input, elements of the output)."""
        columns: list[list[_Array]] = []
        for element in range(self.points[i].size):
            step = np.zeros(self.points[i].shape)
            step.reshape(-1)[element] = 1.0
            columns.append([d.reshape(-1) for d in self._difference(i, step)])
        return [
            np.stack([column[k] for column in columns]) if columns else np.zeros((0, output.numel()))
            for k, output in enumerate(self.outputs)
        ]

    def _difference(self, i: int, step: _Array) -> list[_Array]:
        above, below = (self._evaluate(i, self.points[i] + sign * self.eps * step) for sign in (1.0, -1.0))
        return [(a - b) / (2.0 * self.eps) for a, b in zip(above, below)]

    def _evaluate(self, i: int, point: _Array) -> list[_Array]:
        args = list(self.inputs)
        for j in self.wanted:  # all of them require a gradient, so that the same outputs count as differentiable
            args[j] = _tensor(point if j == i else self.points[j], requires_grad=True)
        return [np.array(o.detach().numpy()) for o in _differentiable(self.fn(*args))]

    def _close(self, got: _Array, expected: _Array) -> npt.NDArray[np.bool_]:
        return np.isclose(got, expected, rtol=self.rtol, atol=self.atol)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _differentiable(outputs: Any) -> tuple[pn.Tensor, ...]:
    return tuple(o for o in _as_tuple(outputs) if o.is_floating_point() and o.requires_grad)


def _tensor(array: _Array, requires_grad: bool = False) -> pn.Tensor:
    return pn.tensor(np.asarray(array), dtype=pn.float64, requires_grad=requires_grad)


def _where(shape: Sequence[int], flat: int) -> list[int]:
    return [int(i) for i in np.unravel_index(flat, tuple(shape))] if len(shape) else []
