"""What is measured: one row per case, written once against the API that pyneuro and torch share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

Step = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One measured step. `budget` is the largest accepted time relative to torch's."""

    group: str
    name: str
    setup: Callable[[SimpleNamespace], Step]
    budget: float | None = None
    flops: float = 0.0  # of one step, where a share of the multiply-add peak means something


def toolbox(lib: ModuleType, nn: ModuleType, functional: ModuleType, optim: ModuleType) -> SimpleNamespace:
    """What a case's setup gets: the library, its parts, and seeded data."""
    rng = np.random.default_rng(0)
    return SimpleNamespace(
        lib=lib,
        nn=nn,
        F=functional,
        optim=optim,
        normal=lambda *shape: lib.tensor(rng.standard_normal(shape).astype(np.float32)),
        integers=lambda high, *shape: lib.tensor(rng.integers(0, high, shape)),
    )


# ---- the cost of one small op ----------------------------------------------------------------


def small_add(grad: bool) -> Callable[[SimpleNamespace], Step]:
    def setup(t: SimpleNamespace) -> Step:
        a, b = t.normal(8, 8), t.normal(8, 8)
        a.requires_grad_(grad)
        return lambda: a + b

    return setup


def small_linear(t: SimpleNamespace) -> Step:
    layer, x = t.nn.Linear(8, 8), t.normal(8, 8)
    return lambda: layer(x)


def small_backward(t: SimpleNamespace) -> Step:
    layer, x = t.nn.Linear(8, 8), t.normal(8, 8)
    return lambda: layer(x).sum().backward()


# ---- memory ----------------------------------------------------------------------------------

MIB_64 = 16 * 1024 * 1024  # float32 elements


def fresh_result(t: SimpleNamespace) -> Step:
    a, b = t.lib.ones(MIB_64), t.lib.ones(MIB_64)
    return lambda: a + b


def reused_result(t: SimpleNamespace) -> Step:
    a, b = t.lib.ones(MIB_64), t.lib.zeros(MIB_64)
    return lambda: a.add_(b)


# ---- products, layers, losses, optimizers ------------------------------------------------------


def gemm(m: int, k: int, n: int, transposed: bool = False) -> Callable[[SimpleNamespace], Step]:
    def setup(t: SimpleNamespace) -> Step:
        a = t.normal(m, k)
        b = t.normal(n, k).t() if transposed else t.normal(k, n)
        return lambda: a @ b

    return setup


def layer_step(
    make: Callable[[SimpleNamespace], tuple[Any, Any]],
) -> Callable[[SimpleNamespace], Step]:
    """Forward and backward of one layer; the input receives a gradient as well."""

    def setup(t: SimpleNamespace) -> Step:
        layer, x = make(t)
        x.requires_grad_(True)
        seed = t.lib.ones_like(layer(x))
        return lambda: layer(x).backward(seed)

    return setup


def cross_entropy(t: SimpleNamespace) -> Step:
    logits, target = t.normal(128, 1000).requires_grad_(True), t.integers(1000, 128)
    return lambda: t.F.cross_entropy(logits, target).backward()


def adam_step(t: SimpleNamespace) -> Step:
    parameters = [t.nn.Parameter(t.normal(64, 64)) for _ in range(100)]
    for parameter in parameters:
        parameter.grad = t.normal(64, 64)
    return t.optim.Adam(parameters, lr=1e-3).step


# ---- whole training steps ----------------------------------------------------------------------


def training(
    make: Callable[[SimpleNamespace], tuple[Any, Any, Any]],
) -> Callable[[SimpleNamespace], Step]:
    """zero_grad, forward, cross-entropy, backward, SGD with momentum."""

    def setup(t: SimpleNamespace) -> Step:
        model, x, y = make(t)
        criterion = t.nn.CrossEntropyLoss()
        optimizer = t.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

        def step() -> Any:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    return setup


def mlp(t: SimpleNamespace) -> tuple[Any, Any, Any]:
    nn = t.nn
    layers = [nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)]
    return nn.Sequential(*layers), t.normal(64, 784), t.integers(10, 64)


def tiny_mlp(t: SimpleNamespace) -> tuple[Any, Any, Any]:
    nn = t.nn
    layers = [nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2)]
    return nn.Sequential(*layers), t.normal(32, 2), t.integers(2, 32)


def lenet(t: SimpleNamespace) -> tuple[Any, Any, Any]:
    nn = t.nn
    model = nn.Sequential(
        *(
            nn.Conv2d(1, 6, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ),
        *(
            nn.Flatten(),
            nn.Linear(256, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, 10),
        ),
    )
    return model, t.normal(100, 1, 28, 28), t.integers(10, 100)


def small_cnn(t: SimpleNamespace) -> tuple[Any, Any, Any]:
    nn = t.nn
    model = nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    return model, t.normal(64, 3, 28, 28), t.integers(10, 64)


CASES = (
    Case("one small op", "a + b, 8x8", small_add(grad=False), budget=0.4),
    Case("one small op", "a + b, 8x8, with grad", small_add(grad=True), budget=0.4),
    Case("one small op", "nn.Linear(8, 8) forward", small_linear, budget=0.4),
    Case("one small op", "nn.Linear(8, 8), sum, backward", small_backward),
    Case("memory", "a + b, fresh 64 MiB result", fresh_result, budget=1.0),
    Case("memory", "a.add_(b), 64 MiB reused", reused_result),
    *(
        Case("matrix product", f"{m}x{k}x{n} {form}", gemm(m, k, n, form == "NT"), 1.0, 2.0 * m * k * n)
        for m, k, n in ((512, 512, 512), (768, 768, 768), (1024, 1024, 1024), (64, 512, 512))
        for form in ("NN", "NT")
    ),
    Case("layer, both ways", "Conv2d(1, 6, 5), 100x28x28",
         layer_step(lambda t: (t.nn.Conv2d(1, 6, 5), t.normal(100, 1, 28, 28))), 1.0),
    Case("layer, both ways", "Conv2d(64, 64, 3), 16x32x32",
         layer_step(lambda t: (t.nn.Conv2d(64, 64, 3, padding=1), t.normal(16, 64, 32, 32))), 1.0,
         3 * 2.0 * 16 * 32 * 32 * 64 * 64 * 9),
    Case("layer, both ways", "MaxPool2d(2), 64x32x28x28",
         layer_step(lambda t: (t.nn.MaxPool2d(2), t.normal(64, 32, 28, 28))), 1.0),
    Case("layer, both ways", "LayerNorm(384), 1024 rows",
         layer_step(lambda t: (t.nn.LayerNorm(384), t.normal(1024, 384))), 1.0),
    Case("layer, both ways", "cross_entropy, 128x1000", cross_entropy, 1.0),
    Case("optimizer", "Adam, 100 tensors of 64x64", adam_step, 1.0),
    Case("training step", "MLP 2-16-16-2, batch 32", training(tiny_mlp), 1.0),
    Case("training step", "MLP 784-256-128-10, batch 64", training(mlp), 1.0),
    Case("training step", "LeNet 28x28, batch 100", training(lenet), 1.0),
    Case("training step", "CNN 3x28x28, batch 64", training(small_cnn), 1.0),
)  # fmt: skip
