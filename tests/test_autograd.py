"""The tape: what accumulates, what is refused, modes, hooks, higher orders, functions in Python, depth and threads."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest

import pyneuro as pn
from pyneuro.testing import assert_close, gradcheck, gradgradcheck


def leaf(*values: float) -> pn.Tensor:
    return pn.tensor(values, dtype=pn.float64, requires_grad=True)


def grads(x: pn.Tensor) -> list[float]:
    assert x.grad is not None
    return x.grad.tolist()  # type: ignore[no-any-return]


# --- accumulation and graphs ---------------------------------------------------------------------


def test_gradients_accumulate() -> None:
    x = leaf(1, 2)
    (x * x).sum().backward()
    assert grads(x) == [2, 4]
    (x * 3).sum().backward()
    assert grads(x) == [5, 7]
    x.grad = None
    (x * 3).sum().backward()
    assert grads(x) == [3, 3]


def test_a_tensor_used_twice_gets_the_sum() -> None:
    x = leaf(3)
    y = x * x + x * 2 + x
    y.backward()
    assert grads(x) == [9]


def test_diamond_is_walked_once() -> None:
    """Without an order by age, each join would double the work: 2**40 steps."""
    x = leaf(1)
    y = x
    for _ in range(40):
        y = y + y
    y.backward()
    assert grads(x) == [2.0**40]


def test_grad_of_non_scalar_needs_a_cotangent() -> None:
    x = leaf(1, 2)
    with pytest.raises(RuntimeError, match=r"^backward: .*one-element.*got"):
        (x * 2).backward()
    (x * 2).backward(pn.tensor([1.0, 10.0], dtype=pn.float64))
    assert grads(x) == [2, 20]


def test_cotangent_of_the_wrong_shape() -> None:
    x = leaf(1, 2)
    with pytest.raises((ValueError, RuntimeError), match=r"^backward: .*shape"):
        (x * 2).backward(pn.ones(3, dtype=pn.float64))


def test_backward_without_graph() -> None:
    with pytest.raises(RuntimeError, match=r"^backward: .*grad"):
        pn.ones(()).backward()


def test_integers_cannot_require_gradients() -> None:
    with pytest.raises((TypeError, RuntimeError), match=r"float"):
        pn.ones(2, dtype=pn.int64).requires_grad_()


def test_backward_twice() -> None:
    x = leaf(1, 2)
    y = x.exp().sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"^exp: .*retain_graph"):
        y.backward()


def test_retain_graph() -> None:
    x = leaf(2)
    y = (x**3).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert grads(x) == [24]


def test_non_leaf_grad() -> None:
    x = leaf(2)
    y = x * 3
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad is not None
    assert y.grad.tolist() == [12]
    assert grads(x) == [36]
    assert x.is_leaf
    assert not y.is_leaf


def test_grad_does_not_touch_leaves() -> None:
    x, y = leaf(2), leaf(5)
    (gx, gy) = pn.autograd.grad((x * y).sum(), [x, y])
    assert (gx.tolist(), gy.tolist()) == ([5], [2])
    assert x.grad is None


def test_grad_of_unused_input() -> None:
    x, y = leaf(2), leaf(5)
    with pytest.raises(RuntimeError, match=r"allow_unused"):
        pn.autograd.grad((x * 2).sum(), [x, y])
    (gx, gy) = pn.autograd.grad((x * 2).sum(), [x, y], allow_unused=True)
    assert gx.tolist() == [2]
    assert gy is None


def test_grad_with_respect_to_an_inner_tensor() -> None:
    x = leaf(2)
    y = x * 3
    (gy,) = pn.autograd.grad((y * y).sum(), [y])
    assert gy.tolist() == [12]


def test_several_outputs() -> None:
    x = leaf(1, 2)
    pn.autograd.backward([(x * 2).sum(), (x * x).sum()])
    assert grads(x) == [4, 6]


def test_broadcast_gradients_are_summed() -> None:
    x, y = pn.ones(3, 1, requires_grad=True), pn.ones(4, requires_grad=True)
    (x * y).sum().backward()
    assert_close(x.grad, np.full((3, 1), 4.0, np.float32))
    assert_close(y.grad, np.full(4, 3.0, np.float32))


def test_gradient_has_the_dtype_of_its_input() -> None:
    x = pn.ones(2, requires_grad=True)
    y = pn.ones(2, dtype=pn.float64, requires_grad=True)
    (x * y).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert (x.grad.dtype, y.grad.dtype) == (pn.float32, pn.float64)


# --- stale saved tensors -------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["exp", "tanh", "sigmoid", "sqrt"])
def test_overwritten_result_is_noticed(op: str) -> None:
    """These keep their result for backward."""
    y = getattr(leaf(1, 2), op)()
    y.add_(1)
    with pytest.raises(RuntimeError, match=rf"{op}.*in.?place"):
        y.sum().backward()


def test_overwritten_operand_is_noticed() -> None:
    x, w = leaf(1, 2), pn.tensor([3.0, 4.0], dtype=pn.float64)
    y = (x * w).sum()
    w.zero_()
    with pytest.raises(RuntimeError, match=r"mul.*in.?place"):
        y.backward()


def test_overwritten_through_a_view_is_noticed() -> None:
    x, w = leaf(1, 2), pn.ones(2, 2, dtype=pn.float64)
    y = (x * w[0]).sum()
    w[1] = 7.0
    with pytest.raises(RuntimeError, match=r"mul.*in.?place"):
        y.backward()


def test_what_is_not_saved_may_be_overwritten() -> None:
    x = leaf(1, 2)
    y = x + 1
    z = y * 2
    y.add_(1)
    z.sum().backward()
    assert grads(x) == [2, 2]


# --- modes ---------------------------------------------------------------------------------------


def test_no_grad() -> None:
    x = leaf(1)
    with pn.no_grad():
        assert not (x * 2).requires_grad
        with pn.enable_grad():
            assert (x * 2).requires_grad
        assert not pn.is_grad_enabled()
    assert pn.is_grad_enabled()

    @pn.no_grad()
    def doubled(x: pn.Tensor) -> pn.Tensor:
        return x * 2

    assert not doubled(x).requires_grad
    assert (x * 2).requires_grad


def test_mode_is_restored_after_an_error() -> None:
    with pytest.raises(KeyError), pn.no_grad():
        raise KeyError
    assert pn.is_grad_enabled()


def test_set_grad_enabled() -> None:
    x = leaf(1)
    with pn.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_inference_mode() -> None:
    x = leaf(1)
    with pn.inference_mode():
        y = x * 2
    assert not y.requires_grad
    assert (x * 2).requires_grad


def test_mode_belongs_to_the_thread() -> None:
    seen: list[bool] = []
    with pn.no_grad():
        thread = threading.Thread(target=lambda: seen.append(pn.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_detach() -> None:
    x = leaf(1, 2)
    y = x.detach()
    assert not y.requires_grad
    y[0] = 9.0
    assert x.tolist() == [9, 2]  # shares memory
    (x.detach() * x).sum().backward()
    assert grads(x) == [9, 2]


def test_leaf_in_place_is_refused() -> None:
    x = leaf(1)
    with pytest.raises(RuntimeError, match=r"leaf"):
        x.add_(1)
    with pn.no_grad():
        x.add_(1)
    assert x.tolist() == [2]


def test_numpy_of_a_tensor_with_grad_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"detach\(\)"):
        leaf(1).numpy()


# --- hooks ---------------------------------------------------------------------------------------


def test_hook_sees_and_replaces_the_gradient() -> None:
    x = leaf(1, 2)
    y = x * 3
    seen: list[list[float]] = []

    def hook(grad: pn.Tensor) -> pn.Tensor:
        seen.append(grad.tolist())
        return grad * 10

    handle = y.register_hook(hook)
    y.sum().backward()
    assert seen == [[1, 1]]
    assert grads(x) == [30, 30]
    handle.remove()
    (x * 1).sum().backward()
    assert len(seen) == 1


def test_hook_on_a_leaf() -> None:
    x = leaf(1)
    x.register_hook(lambda g: g * 2)
    (x * 3).sum().backward()
    assert grads(x) == [6]


def test_error_in_a_hook_comes_through() -> None:
    def hook(grad: pn.Tensor) -> pn.Tensor:
        raise KeyError("from the hook")

    y = leaf(1) * 2
    y.register_hook(hook)
    with pytest.raises(KeyError, match="from the hook"):
        y.sum().backward()


# --- higher orders -------------------------------------------------------------------------------


def test_third_derivative() -> None:
    x = leaf(2)
    y = x**4
    for expected in (32.0, 48.0, 48.0, 24.0):
        (y,) = pn.autograd.grad(y.sum(), [x], create_graph=True)
        assert y.tolist() == [expected]


def test_gradient_penalty() -> None:
    """A gradient inside of a loss, as in WGAN-GP."""
    w = leaf(1, 2, 3)
    x = leaf(0.5, -0.5, 0.25)
    (g,) = pn.autograd.grad((w * x).tanh().sum(), [x], create_graph=True)
    ((g * g).sum() - 1).pow(2).backward()
    assert w.grad is not None
    assert np.isfinite(w.grad.numpy()).all()
    assert w.grad.abs().sum().item() > 0


def test_backward_without_create_graph_leaves_no_graph() -> None:
    x = leaf(2)
    (g,) = pn.autograd.grad((x**3).sum(), [x])
    assert not g.requires_grad


# --- functions in Python -------------------------------------------------------------------------


class Cube(pn.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: pn.Tensor, scale: float) -> pn.Tensor:
        ctx.save_for_backward(x)
        ctx.scale = scale
        return x * x * x * scale

    @staticmethod
    def backward(ctx: Any, grad: pn.Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return grad * 3 * ctx.scale * x * x, None


class SplitSign(pn.autograd.Function):
    """Two results, one of them without gradient."""

    @staticmethod
    def forward(ctx: Any, x: pn.Tensor) -> Any:
        positive = x > 0
        ctx.mark_non_differentiable(positive)
        ctx.save_for_backward(positive)
        return x.abs(), positive

    @staticmethod
    def backward(ctx: Any, grad: pn.Tensor, _: Any) -> Any:
        (positive,) = ctx.saved_tensors
        return pn.where(positive, grad, -grad)


def test_function_gradients() -> None:
    x = leaf(1, 2)
    y = Cube.apply(x, 2.0)
    y.sum().backward()
    assert y.tolist() == [2, 16]
    assert grads(x) == [6, 24]
    gradcheck(lambda x: Cube.apply(x, 2.0), leaf(0.5, -1.5))
    gradgradcheck(lambda x: Cube.apply(x, 2.0), leaf(0.5, -1.5))


def test_function_with_an_output_without_gradient() -> None:
    x = leaf(1, -2)
    magnitude, positive = SplitSign.apply(x)
    assert not positive.requires_grad
    (magnitude * 3).sum().backward()
    assert grads(x) == [3, -3]


def test_function_without_gradient_needed() -> None:
    y = Cube.apply(pn.ones(2), 1.0)
    assert not y.requires_grad
    with pn.no_grad():
        assert not Cube.apply(leaf(1), 1.0).requires_grad


def test_function_needs_input_grad() -> None:
    class Multiply(pn.autograd.Function):
        seen: tuple[bool, ...] = ()

        @staticmethod
        def forward(ctx: Any, x: pn.Tensor, y: pn.Tensor) -> pn.Tensor:
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx: Any, grad: pn.Tensor) -> Any:
            Multiply.seen = tuple(ctx.needs_input_grad)
            _x, y = ctx.saved_tensors
            return grad * y, None

    x = leaf(2)
    Multiply.apply(x, pn.ones(1, dtype=pn.float64)).sum().backward()
    assert Multiply.seen == (True, False)
    assert grads(x) == [1]


def test_function_errors_come_through() -> None:
    class Broken(pn.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: pn.Tensor) -> pn.Tensor:
            return x * 1

        @staticmethod
        def backward(ctx: Any, grad: pn.Tensor) -> Any:
            raise ZeroDivisionError("from backward")

    with pytest.raises(ZeroDivisionError, match="from backward"):
        Broken.apply(leaf(1)).sum().backward()


def test_function_with_the_wrong_number_of_gradients() -> None:
    class Wrong(pn.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: pn.Tensor, y: pn.Tensor) -> pn.Tensor:
            return x + y

        @staticmethod
        def backward(ctx: Any, grad: pn.Tensor) -> Any:
            return grad

    with pytest.raises(RuntimeError, match=r"Wrong.*2.*got 1|Wrong.*got 1.*2"):
        Wrong.apply(leaf(1), leaf(2)).sum().backward()


def test_function_saved_tensor_overwritten() -> None:
    x = leaf(1) * 1
    y = Cube.apply(x, 1.0)
    x.add_(1)
    with pytest.raises(RuntimeError, match=r"Cube.*in.?place"):
        y.sum().backward()


# --- in-place and views --------------------------------------------------------------------------


def test_in_place_on_a_non_leaf() -> None:
    x = leaf(1, 2)
    y = x * 2
    y.mul_(3)
    y.add_(x)
    y.sum().backward()
    assert grads(x) == [7, 7]


def test_in_place_on_a_view_reaches_the_base() -> None:
    x = leaf(1, 2, 3, 4)
    y = x * 1
    y[1:3].mul_(10)
    assert y.tolist() == [1, 20, 30, 4]
    (y * y).sum().backward()
    assert grads(x) == [2, 400, 600, 8]


def test_write_to_the_base_reaches_its_views() -> None:
    x = leaf(1, 2, 3, 4)
    y = x * 1
    view = y[:2]
    y.mul_(10)
    view.sum().backward()
    assert grads(x) == [10, 10, 0, 0]


def test_assignment_cuts_and_joins_gradients() -> None:
    x, v = leaf(1, 2, 3), leaf(5)
    y = x * 2
    y[1] = v[0] * 3
    y[2] = 0.0
    y.sum().backward()
    assert grads(x) == [2, 0, 0]
    assert grads(v) == [3]


def test_assignment_into_a_tensor_without_gradient() -> None:
    buffer = pn.zeros(3, dtype=pn.float64)
    v = leaf(5)
    buffer[1:2] = v * 2
    assert buffer.requires_grad
    buffer.sum().backward()
    assert grads(v) == [2]


def test_in_place_on_a_transposed_view() -> None:
    x = pn.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=pn.float64, requires_grad=True)
    y = x * 1
    y.t()[0].mul_(5)
    assert y.tolist() == [[5, 2], [15, 4]]
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[5, 1], [5, 1]]


def test_in_place_gradcheck() -> None:
    def write_through_views(x: pn.Tensor, y: pn.Tensor) -> pn.Tensor:
        out = x * 2
        out[0].exp_()
        out[:, 1] = y
        out.t()[2].mul_(out[:, 0].clone())
        return out

    x = pn.tensor(np.random.default_rng(0).standard_normal((2, 3)), requires_grad=True)
    gradcheck(write_through_views, (x, leaf(0.3, 0.7)))
    gradgradcheck(write_through_views, (x, leaf(0.3, 0.7)))


# --- depth, lifetime, threads --------------------------------------------------------------------


def test_deep_graph() -> None:
    """Neither backward nor dropping the graph may recurse: 100,000 nodes overflow any stack."""
    x = leaf(1)
    y = x
    for _ in range(100_000):
        y = y + 1
    y.sum().backward()
    assert grads(x) == [1]
    z = x
    for _ in range(100_000):
        z = z * 1.0
    del z
    gc.collect()


def test_deep_graph_in_a_small_stack() -> None:
    size = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=test_deep_graph)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(size)


def test_graph_is_released() -> None:
    """Saved tensors go as soon as backward is done with them."""
    x = leaf(*([1.0] * 100))
    freed: list[bool] = []

    class Marked(pn.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: pn.Tensor) -> pn.Tensor:
            ctx.marker = Marker(freed)
            return x * 1

        @staticmethod
        def backward(ctx: Any, grad: pn.Tensor) -> pn.Tensor:
            return grad

    y = Marked.apply(x).sum()
    del y
    gc.collect()
    assert freed == [True]


class Marker:
    def __init__(self, freed: list[bool]) -> None:
        self.freed = freed

    def __del__(self) -> None:
        self.freed.append(True)


def test_backward_in_threads() -> None:
    """Separate graphs over one leaf: no gradient is lost."""
    x = pn.zeros(1000, dtype=pn.float64, requires_grad=True)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                (x * 2 + x).sum().backward()
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert_close(x.grad, np.full(1000, 3.0 * 20 * 4))


def test_graph_of_one_thread_walked_in_another() -> None:
    x = leaf(1, 2)
    y = (x * x).sum()
    thread = threading.Thread(target=y.backward)
    thread.start()
    thread.join()
    assert grads(x) == [2, 4]
