"""What `Module` needs to run hooks: the handle that removes one, and the store of a module's hooks."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pyneuro._core import Tensor
from pyneuro.autograd import Function

__all__ = ["Hookable", "RemovableHandle"]

_next_id = itertools.count()


class Hook(NamedTuple):
    """A registered function and how to call it."""

    function: Callable[..., Any]
    with_kwargs: bool = False


class Hooks:
    """All hooks of one module, by kind, in the order in which they run.

    A module without hooks has no such object, so that calling it costs one test against None.
    """

    KINDS = (
        "forward_pre",
        "forward",
        "backward",
        "state_dict_pre",
        "state_dict",
        "load_state_dict_pre",
        "load_state_dict",
    )

    def __init__(self) -> None:
        self.by_kind: dict[str, dict[int, Hook]] = {kind: {} for kind in self.KINDS}

    def of(self, kind: str) -> tuple[Hook, ...]:
        """The hooks of one kind; a copy, because a hook may remove itself."""
        return tuple(self.by_kind[kind].values())

    def add(self, kind: str, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Register `hook` last, or first if `prepend`."""
        if not callable(hook.function):
            raise TypeError(f"{kind} hook: must be callable, got {type(hook.function).__name__}")
        hooks = self.by_kind[kind]
        handle = RemovableHandle(self, kind)
        if prepend:
            rest = dict(hooks)
            hooks.clear()
            hooks[handle.id] = hook
            hooks.update(rest)
        else:
            hooks[handle.id] = hook
        return handle


class RemovableHandle:
    """Returned when a hook is registered; `remove()` unregisters it. Also a context manager.

    >>> layer = pn.nn.Linear(2, 1)
    >>> with layer.register_forward_hook(lambda module, args, output: print(output.shape)):
    ...     _ = layer(pn.zeros(4, 2))
    (4, 1)
    """

    def __init__(self, hooks: Hooks, kind: str) -> None:
        self.id = next(_next_id)
        self._hooks = weakref.ref(hooks)
        self._kind = kind

    def remove(self) -> None:
        """Unregister the hook; harmless when it is already gone."""
        hooks = self._hooks()
        if hooks is not None:
            hooks.by_kind[self._kind].pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class _Boundary(Function):
    """The identity over several tensors; its backward hands all their gradients to one function at once."""

    @staticmethod
    def forward(ctx: Any, on_backward: Callable[..., Any], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.on_backward = on_backward
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        return (None, *ctx.on_backward(grads))


def _replace_tensors(values: tuple[Any, ...], on_backward: Callable[..., Any]) -> tuple[tuple[Any, ...], list[int]]:
    """Pass the tensors among `values` that need a gradient through one `_Boundary`; also says where they were."""
    places = [i for i, value in enumerate(values) if isinstance(value, Tensor) and value.requires_grad]
    if not places:
        return values, places
    passed = _Boundary.apply(on_backward, *(values[i] for i in places))
    passed = passed if isinstance(passed, tuple) else (passed,)
    replaced = list(values)
    for i, tensor in zip(places, passed, strict=True):
        replaced[i] = tensor
    return tuple(replaced), places


def bracket_backward(
    module: object,
    hooks: tuple[Hook, ...],
    forward: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """Call `forward` so that `hooks` run when the gradients of its arguments are known.

    A hook gets `(module, grad_input, grad_output)`, one entry per positional argument and per output (None where there
    is no gradient), and may return another `grad_input`.
    """
    grad_output: tuple[Tensor | None, ...] = ()
    outputs = 0

    def spread(grads: tuple[Tensor | None, ...], places: list[int], length: int) -> tuple[Tensor | None, ...]:
        spread_out: list[Tensor | None] = [None] * length
        for place, grad in zip(places, grads, strict=True):
            spread_out[place] = grad
        return tuple(spread_out)

    def run(grad_input: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        for hook in hooks:
            replacement = hook.function(module, grad_input, grad_output)
            if replacement is not None:
                grad_input = replacement if isinstance(replacement, tuple) else (replacement,)
                if len(grad_input) != len(args):
                    raise ValueError(
                        f"backward hook: must return {len(args)} gradients, one per argument, got {len(grad_input)}"
                    )
        return grad_input

    def at_input(grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        grad_input = run(spread(grads, in_places, len(args)))
        return tuple(grad_input[place] for place in in_places)

    def at_output(grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        nonlocal grad_output
        grad_output = spread(grads, out_places, outputs)
        if not in_places:  # no argument needs a gradient: this is the last that is heard of the module
            run((None,) * len(args))
        return grads

    passed_args, in_places = _replace_tensors(args, at_input)
    result = forward(*passed_args, **kwargs)
    results = result if isinstance(result, tuple) else (result,)
    outputs = len(results)
    results, out_places = _replace_tensors(results, at_output)
    return results if isinstance(result, tuple) else results[0]


class Hookable:
    """The part of `Module` that registers hooks and runs them."""

    forward: Callable[..., Any]

    # Without hooks a call goes straight to `forward`; the first hook makes this an instance attribute.
    _hooks: Hooks | None = None

    def _call_with_hooks(self, hooks: Hooks, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook in hooks.of("forward_pre"):
            if hook.with_kwargs:
                changed = hook.function(self, args, kwargs)
                if changed is not None:
                    args, kwargs = changed
            else:
                changed = hook.function(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        backward = hooks.of("backward")
        if backward:
            output = bracket_backward(self, backward, self.forward, args, kwargs)
        else:
            output = self.forward(*args, **kwargs)
        for hook in hooks.of("forward"):
            changed = (
                hook.function(self, args, kwargs, output) if hook.with_kwargs else hook.function(self, args, output)
            )
            if changed is not None:
                output = changed
        return output

    def _add_hook(self, kind: str, hook: Callable[..., Any], prepend: bool = False, **how: Any) -> RemovableHandle:
        if self._hooks is None:
            self.__dict__["_hooks"] = Hooks()
        assert self._hooks is not None
        return self._hooks.add(kind, Hook(hook, **how), prepend)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before `forward`; what it returns, unless None, replaces the arguments.

        With `with_kwargs` it is `hook(module, args, kwargs)` and returns both or None.
        """
        return self._add_hook("forward_pre", hook, prepend, with_kwargs=with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after `forward`; what it returns, unless None, replaces the output.

        With `with_kwargs` it is `hook(module, args, kwargs, output)`.
        """
        return self._add_hook("forward", hook, prepend, with_kwargs=with_kwargs)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` in `backward`, when the gradients of the module's arguments are
        known; both are tuples. What it returns, unless None, replaces `grad_input`."""
        return self._add_hook("backward", hook, prepend)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before `state_dict` collects this module."""
        return self._add_hook("state_dict_pre", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, {})` after `state_dict` collected this module; it may change it."""
        return self._add_hook("state_dict", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, {}, strict, missing_keys, unexpected_keys, error_msgs)` before
        `load_state_dict` looks at the entries; it may change its copy of the dict, to rename old keys for example."""
        return self._add_hook("load_state_dict_pre", hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after everything was loaded."""
        return self._add_hook("load_state_dict", hook)
