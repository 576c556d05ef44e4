"""Hooks of `Module`."""

from __future__ import annotations

from typing import Any

import pytest

import pyneuro as pn
from pyneuro import nn


def test_forward_hooks_run_in_order_and_replace() -> None:
    layer = nn.Identity()
    order: list[str] = []

    def before(module: nn.Module, args: tuple[Any, ...]) -> Any:
        order.append("before")
        return args[0] + 1

    def after(module: nn.Module, args: tuple[Any, ...], output: pn.Tensor) -> Any:
        order.append("after")
        return output * 10

    layer.register_forward_pre_hook(before)
    layer.register_forward_hook(after)
    layer.register_forward_hook(lambda *_: order.append("first"), prepend=True)
    assert layer(pn.ones(1)).tolist() == [20.0]
    assert order == ["before", "first", "after"]


def test_hooks_with_kwargs() -> None:
    class Scale(nn.Module):
        def forward(self, x: pn.Tensor, *, by: float) -> pn.Tensor:
            return x * by

    layer = Scale()
    layer.register_forward_pre_hook(lambda m, args, kwargs: (args, {"by": kwargs["by"] + 1}), with_kwargs=True)
    seen: list[dict[str, float]] = []
    layer.register_forward_hook(lambda m, args, kwargs, output: seen.append(kwargs), with_kwargs=True)
    assert layer(pn.ones(1), by=2.0).tolist() == [3.0]
    assert seen == [{"by": 3.0}]


def test_handles_remove() -> None:
    layer, calls = nn.Identity(), []
    handle = layer.register_forward_hook(lambda *_: calls.append(1))
    with layer.register_forward_hook(lambda *_: calls.append(2)):
        layer(pn.ones(1))
    layer(pn.ones(1))
    handle.remove()
    handle.remove()
    layer(pn.ones(1))
    assert calls == [1, 2, 1]


def test_a_hook_may_remove_itself() -> None:
    layer, calls = nn.Identity(), []

    def once(*_: object) -> None:
        calls.append(1)
        handle.remove()

    handle = layer.register_forward_hook(once)
    layer(pn.ones(1))
    layer(pn.ones(1))
    assert calls == [1]


def test_hooks_must_be_callable() -> None:
    with pytest.raises(TypeError, match="forward hook: must be callable, got int"):
        nn.Identity().register_forward_hook(3)  # type: ignore[arg-type]


def test_full_backward_hook_sees_and_replaces_gradients() -> None:
    class Product(nn.Module):
        def forward(self, a: pn.Tensor, b: pn.Tensor, c: int) -> pn.Tensor:
            return a * b * c

    module = Product()
    seen: list[Any] = []

    def hook(m: nn.Module, grad_input: Any, grad_output: Any) -> Any:
        seen.append(
            (
                m,
                [None if g is None else g.tolist() for g in grad_input],
                [g.tolist() for g in grad_output],
            )
        )
        return (grad_input[0] * 100, grad_input[1], None)

    module.register_full_backward_hook(hook)
    a = pn.tensor([2.0], requires_grad=True)
    b = pn.tensor([3.0], requires_grad=True)
    (module(a, b, 5) + a).backward()
    assert seen == [(module, [[15.0], [10.0], None], [[1.0]])]
    # `a` is used outside the module too, which the hook must not see.
    assert a.grad is not None and a.grad.tolist() == [1501.0]
    assert b.grad is not None and b.grad.tolist() == [10.0]


def test_full_backward_hook_on_a_first_layer() -> None:
    layer = nn.Linear(2, 1)
    seen: list[Any] = []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].tolist())))
    layer(pn.ones(3, 2)).sum().backward()
    assert seen == [((None,), [[1.0], [1.0], [1.0]])]
    assert layer.bias.grad is not None and layer.bias.grad.tolist() == [3.0]


def test_state_dict_hooks() -> None:
    layer = nn.Linear(1, 1)
    order: list[str] = []
    layer.register_state_dict_pre_hook(lambda module, prefix, keep_vars: order.append("pre"))

    def rename(module: nn.Module, state: dict[str, Any], prefix: str, meta: Any) -> None:
        order.append("post")
        state[prefix + "kernel"] = state.pop(prefix + "weight")

    layer.register_state_dict_post_hook(rename)
    state = nn.Sequential(layer).state_dict()
    assert order == ["pre", "post"]
    assert list(state) == ["0.bias", "0.kernel"]


def test_load_state_dict_hooks_can_rename_old_keys() -> None:
    layer = nn.Linear(1, 1)

    def rename(module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        state[prefix + "weight"] = state.pop(prefix + "kernel")

    layer.register_load_state_dict_pre_hook(rename)
    done: list[Any] = []
    layer.register_load_state_dict_post_hook(lambda module, keys: done.append(keys.missing_keys))
    old = {"0.kernel": pn.full((1, 1), 5.0), "0.bias": pn.zeros(1)}
    nn.Sequential(layer).load_state_dict(old)
    assert layer.weight.tolist() == [[5.0]]
    assert done == [[]]
    assert list(old) == ["0.kernel", "0.bias"], "the caller's dict is left alone"
