"""Automatic differentiation: grad mode, `grad` and `backward`, and `Function` for gradients of your own.

Grad mode belongs to a thread. `no_grad` and its kin are context managers and decorators.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast

from pyneuro import _core
from pyneuro._core import Node, RemovableHandle, SavedTensor, Tensor

__all__ = [
    "Function",
    "FunctionCtx",
    "Node",
    "RemovableHandle",
    "backward",
    "enable_grad",
    "grad",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "once_differentiable",
    "set_grad_enabled",
]

F = TypeVar("F", bound=Callable[..., Any])

is_grad_enabled = _core.is_grad_enabled
is_inference_mode_enabled = _core.is_inference_mode_enabled


# ---- grad mode -------------------------------------------------------------------------------------------------------


class _Mode:
    """A context manager and decorator that switches recording and restores what it was."""

    _grad: bool = False
    _inference: bool = False

    def __init__(self) -> None:
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._before.append(self._switch())

    def _switch(self) -> tuple[bool, bool]:
        inference = _core.is_inference_mode_enabled()
        if self._inference:
            _core.set_inference_mode(True)
        # Inference mode outlives an enable_grad inside it, as in torch.
        recording = _core.set_grad_enabled(self._grad and not (inference or self._inference))
        return recording, inference

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        recording, inference = self._before.pop()
        _core.set_grad_enabled(recording)
        _core.set_inference_mode(inference)

    def _fresh(self) -> _Mode:
        return type(self)()

    def __call__(self, function: F) -> F:
        """Run every call of `function` in this mode."""
        if inspect.isclass(function):
            raise TypeError(f"{type(self).__name__}: a function is required, got the class {function.__name__}")
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def steps(*args: Any, **kwargs: Any) -> Any:
                # The mode holds while the generator runs, not while its consumer does.
                with self._fresh():
                    iterator = function(*args, **kwargs)
                sent: Any = None
                while True:
                    try:
                        with self._fresh():
                            item = iterator.send(sent)
                    except StopIteration as stop:
                        return stop.value
                    try:
                        sent = yield item
                    except GeneratorExit:
                        iterator.close()
                        raise
                    except BaseException as error:
                        with self._fresh():
                            item = iterator.throw(error)
                        sent = yield item

            return cast(F, steps)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self._fresh():
                return function(*args, **kwargs)

        return cast(F, wrapped)


class no_grad(_Mode):
    """Within it, ops are not recorded for backward.

    >>> x = pn.ones(2, requires_grad=True)
    >>> with pn.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    >>> @pn.no_grad()
    ... def double(x):
    ...     return x * 2
    >>> double(x).requires_grad
    False
    """

    def __new__(cls, function: Any = None) -> Any:
        """With a function (`@no_grad` without brackets), that function in this mode."""
        return super().__new__(cls) if function is None else cls()(function)

    def __init__(self, function: Any = None) -> None:
        super().__init__()


class enable_grad(no_grad):
    """Within it, ops are recorded for backward, also inside of a `no_grad`.

    >>> x = pn.ones(2, requires_grad=True)
    >>> with pn.no_grad(), pn.enable_grad():
    ...     (x * 2).requires_grad
    True
    """

    _grad = True


class inference_mode(_Mode):
    """`no_grad` for code that will never need gradients; `enable_grad` has no effect inside of it.

    >>> with pn.inference_mode():
    ...     pn.is_grad_enabled()
    False
    """

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self._inference = mode
        self._grad = not mode

    def _switch(self) -> tuple[bool, bool]:
        if self._inference:
            return super()._switch()
        return _core.is_grad_enabled(), _core.is_inference_mode_enabled()

    def _fresh(self) -> _Mode:
        return type(self)(self._inference)


class set_grad_enabled(_Mode):
    """Switches recording on or off: at once when called, and until its end when used as a context manager.

    >>> with pn.set_grad_enabled(False):
    ...     pn.is_grad_enabled()
    False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self._grad = mode
        self._at_call: tuple[bool, bool] | None = self._switch()

    def __enter__(self) -> None:
        if self._at_call is None:
            self._before.append(self._switch())
        else:
            self._before.append(self._at_call)
            self._at_call = None

    def __call__(self, function: F) -> F:
        """Run every call of `function` with recording on or off; outside of it nothing changes."""
        if self._at_call is not None:
            # Used as a decorator, it acts inside of the function only.
            _core.set_grad_enabled(self._at_call[0])
            self._at_call = None
        return super().__call__(function)

    def _fresh(self) -> _Mode:
        return no_grad() if not self._grad else enable_grad()


# ---- backward --------------------------------------------------------------------------------------------------------

Tensors = Tensor | Sequence[Tensor]


def _sequence(x: Any) -> list[Any]:
    return [x] if x is None or isinstance(x, Tensor) else list(x)


def backward(
    tensors: Tensors,
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensors | None = None,
) -> None:
    """Add the gradients of `tensors` to the `.grad` of the leaves that they depend on.

    Args:
        tensors: one or more results of recorded ops.
        grad_tensors: the gradient of each; None for 1, which needs a tensor with one element.
        retain_graph: keep what the graph has saved, for another backward; by default as `create_graph`.
        create_graph: record the computation of the gradients, for gradients of higher order.
        inputs: only these leaves receive gradients.

    >>> x = pn.tensor([1.0, 2.0], requires_grad=True)
    >>> pn.autograd.backward((x * x).sum())
    >>> x.grad
    tensor([2., 4.])
    """
    outputs = _sequence(tensors)
    grads = None if grad_tensors is None else _sequence(grad_tensors)
    _core.backward(outputs, grads, retain_graph, create_graph, None if inputs is None else _sequence(inputs))


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of `outputs` with respect to `inputs`; no `.grad` changes.

    Args:
        outputs: one or more results of recorded ops.
        inputs: one or more tensors that they depend on, leaves or not.
        grad_outputs: the gradient of each output; None for 1, which needs a tensor with one element.
        retain_graph: keep what the graph has saved, for another backward; by default as `create_graph`.
        create_graph: record the computation of the gradients, for gradients of higher order.
        allow_unused: give None for an input that the outputs do not depend on; otherwise a RuntimeError.
        materialize_grads: give zeros instead of None.

    Returns:
        One gradient for each input.

    >>> x = pn.tensor(3.0, requires_grad=True)
    >>> (first,) = pn.autograd.grad(x**3, x, create_graph=True)
    >>> (second,) = pn.autograd.grad(first, x)
    >>> first.item(), second.item()
    (27.0, 18.0)
    """
    if materialize_grads and allow_unused is False:
        raise ValueError("grad: materialize_grads fills unused inputs in, so allow_unused must not be False")
    wanted = _sequence(inputs)
    given = None if grad_outputs is None else _sequence(grad_outputs)
    found = _core.grad(_sequence(outputs), wanted, given, retain_graph, create_graph)
    if materialize_grads:
        return tuple(x.new_zeros(x.shape) if g is None else g for x, g in zip(wanted, found, strict=True))
    if not allow_unused and any(g is None for g in found):
        raise RuntimeError("grad: the outputs must depend on every input; pass allow_unused=True for None instead")
    return found


# ---- functions with a backward of their own --------------------------------------------------------------------------


class FunctionCtx:
    """What `forward` hands over to `backward`."""

    #: Which arguments of `apply` want a gradient.
    needs_input_grad: tuple[bool, ...]

    def __init__(self, name: str) -> None:
        self._name = name
        self._to_save: tuple[Tensor | None, ...] = ()
        self._saved: list[SavedTensor | None] | None = []
        self._dirty: tuple[Tensor, ...] = ()
        self._constant: tuple[Tensor, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `backward`, which finds them in `saved_tensors`; writing over them is then an error."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward: tensors are required, got {type(t).__name__}; use an attribute of ctx"
                )
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors that `forward` saved."""
        if self._saved is None:
            raise RuntimeError(
                f"{self._name}: the tensors saved for its gradient were freed by an earlier backward; "
                "pass retain_graph=True there"
            )
        return tuple(None if s is None else s.unpack(self._name) for s in self._saved)

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say which inputs `forward` has written in place; they must be among its results."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say which results have no gradient."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros (the default) or None for results that received no gradient."""
        self._materialize = value

    def _release(self) -> None:
        self._saved = None


class Function:
    """An op with a gradient of your own: subclass it, define `forward` and `backward`, and call `apply`.

    `forward(ctx, *args)` computes from tensors and other arguments; nothing in it is recorded. `backward(ctx, *grads)`
    gets the gradient of each result and returns one for each argument of `forward`, None where there is none. Written
    with differentiable ops it can itself be differentiated.

    >>> class Cube(pn.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return grad * 3 * x * x
    >>> x = pn.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12.)
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result."""
        raise NotImplementedError("Function: a subclass must define forward(ctx, *args)")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """With this defined, `forward` takes no ctx, and what backward needs is saved here."""
        raise NotImplementedError("Function: setup_context is optional")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Compute the gradients of the arguments from those of the results."""
        raise NotImplementedError("Function: a subclass must define backward(ctx, *grads)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Compute the result and record the function for backward."""
        name = f"{cls.__name__}Backward"
        ctx = FunctionCtx(name)
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        separate = cls.setup_context is not Function.setup_context
        with no_grad():
            result = cls.forward(*args) if separate else cls.forward(ctx, *args)
            if separate:
                cls.setup_context(ctx, args, result)
        if not (is_grad_enabled() and any(ctx.needs_input_grad)):
            return result
        single = isinstance(result, Tensor)
        given = [result] if single else list(result)
        with no_grad():
            # A result that is an argument gets a name of its own, or it would become its own history.
            outputs = [_core.alias(o) if _contains(args, o) and not _contains(ctx._dirty, o) else o for o in given]
        at = [i for i, o in enumerate(outputs) if _differentiable(o) and not _contains(ctx._constant, o)]
        tracked = [outputs[i] for i in at]
        ctx._saved = [_keep(t, tracked) for t in ctx._to_save]
        ctx._to_save = ()
        positions = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        _core.record_function(
            name,
            _Backward(cls, ctx, at, outputs, positions, len(args)),
            ctx._release,
            [args[i] for i in positions],
            tracked,
            [s for s in ctx._saved if s is not None],
        )
        return outputs[0] if single else tuple(outputs)


class _Backward:
    """Calls the user's backward with what it expects, and checks what it returns."""

    __slots__ = ("arguments", "at", "count", "ctx", "function", "like", "positions")

    def __init__(
        self,
        function: type[Function],
        ctx: FunctionCtx,
        at: list[int],
        outputs: list[Any],
        positions: list[int],
        arguments: int,
    ) -> None:
        self.function = function
        self.ctx = ctx
        self.at = at
        self.count = len(outputs)
        # Not the results themselves: they own this object through their history.
        self.like = [(outputs[i].shape, outputs[i].dtype, outputs[i].device) for i in at]
        self.positions = positions
        self.arguments = arguments

    def __call__(self, *grads: Tensor | None) -> list[Tensor | None]:
        full: list[Tensor | None] = [None] * self.count
        for i, g, (shape, dtype, device) in zip(self.at, grads, self.like, strict=True):
            if g is None and self.ctx._materialize:
                g = _core.full(shape, 0.0, dtype, device)
            full[i] = g
        answer = self.function.backward(self.ctx, *full)
        answers = list(answer) if isinstance(answer, (tuple, list)) else [answer]
        surplus = answers[self.arguments :]
        if len(answers) < self.arguments or any(g is not None for g in surplus):
            raise RuntimeError(
                f"{self.ctx._name}: backward must return one gradient for each of the {self.arguments} arguments of "
                f"forward, got {len(answers)}"
            )
        return [answers[i] for i in self.positions]


def _contains(tensors: Sequence[Any], x: Any) -> bool:
    return any(t is x for t in tensors)


def _differentiable(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def _keep(t: Tensor | None, results: list[Any]) -> SavedTensor | None:
    if t is None:
        return None
    # A result is kept by its place, for a handle on its own history would be a cycle.
    return SavedTensor(t, next((i for i, result in enumerate(results) if result is t), None))


def once_differentiable(function: F) -> F:
    """Decorates a `backward` that cannot itself be differentiated: doing so is then an error instead of a wrong number.

    >>> class Double(pn.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     @pn.autograd.once_differentiable
    ...     def backward(ctx, grad):
    ...         return grad * 2
    """

    @functools.wraps(function)
    def wrapped(ctx: FunctionCtx, *grads: Any) -> Any:
        again = is_grad_enabled() and any(isinstance(g, Tensor) and g.requires_grad for g in grads)
        with no_grad():
            answer = function(ctx, *grads)
        if not (again or (is_grad_enabled() and any(ctx.needs_input_grad))):
            return answer
        answers = answer if isinstance(answer, (tuple, list)) else (answer,)
        refused = tuple(_Refused.apply(ctx._name, g) if isinstance(g, Tensor) else g for g in answers)
        return refused if isinstance(answer, (tuple, list)) else refused[0]

    return cast(F, wrapped)


class _Refused(Function):
    """The identity, with a backward that raises."""

    @staticmethod
    def forward(ctx: Any, name: str, x: Tensor) -> Tensor:
        ctx.name = name
        return x.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(f"{ctx.name}: its backward is marked with @once_differentiable and cannot be differentiated")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        name, x = args
        # Its input has no history; one that requires grad makes a later backward arrive here.
        return super().apply(name, x.detach().requires_grad_())
