"""Layers, losses and optimizers on the GPU: the same values and gradients as on the CPU."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

import pyneuro as pn
from pyneuro import nn, optim
from pyneuro.testing import assert_close

pytestmark = pytest.mark.gpu

LAYERS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Linear(5, 3), (4, 5)),
    (nn.Bilinear(5, 5, 3), (4, 5)),
    (nn.Conv1d(4, 6, 3, padding=1, groups=2), (2, 4, 9)),
    (nn.Conv2d(3, 4, 3, stride=2, padding=1), (2, 3, 7, 8)),
    (nn.Conv2d(3, 4, (2, 3), padding="same"), (2, 3, 5, 6)),
    (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), (2, 3, 5, 6)),
    (nn.MaxPool1d(2), (2, 3, 8)),
    (nn.MaxPool2d(3, 2, 1), (2, 3, 7, 8)),
    (nn.AvgPool1d(2), (2, 3, 8)),
    (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 3, 7, 8)),
    (nn.AdaptiveAvgPool2d((3, 2)), (2, 3, 7, 8)),
    (nn.AdaptiveAvgPool1d(1), (2, 3, 7)),
    (nn.BatchNorm1d(3), (5, 3)),
    (nn.BatchNorm2d(3), (2, 3, 4, 5)),
    (nn.BatchNorm2d(3).eval(), (2, 3, 4, 5)),
    (nn.LayerNorm((3, 4)), (5, 3, 4)),
    (nn.RMSNorm(4), (5, 3, 4)),
    (nn.GroupNorm(2, 4), (3, 4, 5)),
    (nn.PReLU(3), (2, 3, 4)),
    (nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.GELU(), nn.Softmax(dim=1)), (5, 3, 4)),
    *((kind(), (3, 4)) for kind in (nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.SiLU)),
    *((kind(), (3, 4)) for kind in (nn.Mish, nn.Softplus, nn.Softsign, nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.GLU)),
    *((kind(), (3, 4)) for kind in (nn.Hardsigmoid, nn.Hardswish, nn.Hardshrink, nn.Softshrink, nn.Tanhshrink)),
    (nn.LogSoftmax(dim=1), (3, 4)),
]


def run(layer: nn.Module, x: pn.Tensor, device: str) -> list[pn.Tensor]:
    """Output, gradients and buffers after one training step's forward and backward."""
    layer = copy.deepcopy(layer).to(device)
    x = x.to(device).requires_grad_()
    y = layer(x, x) if isinstance(layer, nn.Bilinear) else layer(x)
    assert y.device.type == device
    weights = pn.arange(y.numel(), dtype=pn.float32, device=device).reshape(y.shape) / y.numel() - 0.3
    (y * weights).sum().backward()
    assert x.grad is not None
    grads = [p.grad for p in layer.parameters()]
    assert all(grad is not None for grad in grads)
    return [
        y.detach().cpu(),
        x.grad.cpu(),
        *(g.cpu() for g in grads if g is not None),
        *(b.cpu() for b in layer.buffers()),
    ]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=[repr(layer).split("\n")[0] for layer, _ in LAYERS])
def test_layers(layer: nn.Module, shape: tuple[int, ...], gpu: str) -> None:
    x = pn.randn(*shape)
    for on_gpu, on_cpu in zip(run(layer, x, gpu), run(layer, x, "cpu"), strict=True):
        assert_close(on_gpu, on_cpu, rtol=1e-4, atol=1e-5)


def test_embedding_and_dropout(gpu: str) -> None:
    layer = nn.Embedding(6, 3, padding_idx=2).to(gpu)
    layer(pn.tensor([[1, 2], [1, 5]], device=gpu)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad[:, 0].tolist() == [0.0, 2.0, 0.0, 0.0, 0.0, 1.0]
    for dropout in (nn.Dropout(0.5), nn.Dropout2d(0.5)):
        pn.manual_seed(3)
        expected = dropout(pn.ones(2, 8, 3, 3))
        pn.manual_seed(3)
        assert dropout(pn.ones(2, 8, 3, 3, device=gpu)).tolist() == expected.tolist()


LOSSES: list[tuple[nn.Module, str]] = [
    (nn.MSELoss(), "values"),
    (nn.L1Loss(reduction="sum"), "values"),
    (nn.SmoothL1Loss(), "values"),
    (nn.HuberLoss(), "values"),
    (nn.BCEWithLogitsLoss(pos_weight=pn.tensor([1.0, 2.0, 3.0])), "values"),
    (nn.CrossEntropyLoss(weight=pn.tensor([1.0, 2.0, 3.0]), label_smoothing=0.1, ignore_index=1), "classes"),
    (nn.CrossEntropyLoss(reduction="none"), "classes"),
    (nn.CrossEntropyLoss(), "values"),
    (nn.NLLLoss(weight=pn.tensor([1.0, 2.0, 3.0])), "classes"),
    (nn.KLDivLoss("batchmean"), "values"),
]


@pytest.mark.parametrize(("loss", "kind"), LOSSES, ids=[f"{type(loss).__name__}-{kind}" for loss, kind in LOSSES])
def test_losses(loss: nn.Module, kind: str, gpu: str) -> None:
    x = pn.randn(4, 3)
    target = pn.tensor([0, 2, 1, 2]) if kind == "classes" else pn.rand(4, 3)

    def run(device: str) -> tuple[pn.Tensor, pn.Tensor]:
        at = x.to(device).requires_grad_()
        value = copy.deepcopy(loss).to(device)(at, target.to(device))
        assert value.device.type == device
        value.sum().backward()
        assert at.grad is not None
        return value.detach().cpu(), at.grad.cpu()

    for on_gpu, on_cpu in zip(run(gpu), run("cpu"), strict=True):
        assert_close(on_gpu, on_cpu, rtol=1e-5, atol=1e-6)


OPTIMIZERS: list[tuple[Any, dict[str, Any]]] = [
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (optim.Adam, {"lr": 0.01, "amsgrad": True}),
    (optim.AdamW, {"lr": 0.01}),
]


@pytest.mark.parametrize(("kind", "settings"), OPTIMIZERS)
def test_training_is_the_same(kind: Any, settings: dict[str, Any], gpu: str, tmp_path: Path) -> None:
    start = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.BatchNorm1d(8), nn.Linear(8, 2))
    x, y = pn.randn(16, 3), pn.randint(0, 2, (16,))

    def train(device: str) -> tuple[nn.Module, optim.Optimizer]:
        model = copy.deepcopy(start).to(device)
        optimizer = kind(model.parameters(), **settings)
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x.to(device)), y.to(device)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
        return model, optimizer

    (on_gpu, optimizer), (on_cpu, _) = train(gpu), train("cpu")
    for name, value in on_gpu.state_dict().items():
        assert value.device.type == "gpu"
        assert_close(value.cpu(), on_cpu.state_dict()[name], rtol=1e-4, atol=1e-5)

    # A checkpoint written from the GPU goes anywhere.
    pn.save({"model": on_gpu.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "checkpoint")
    loaded = pn.load(tmp_path / "checkpoint")
    assert loaded["model"]["0.weight"].device.type == "cpu"
    assert pn.load(tmp_path / "checkpoint", map_location=gpu)["model"]["0.weight"].device.type == "gpu"
    twin = copy.deepcopy(start).to(gpu)
    twin.load_state_dict(loaded["model"])
    resumed = kind(twin.parameters(), **settings)
    resumed.load_state_dict(loaded["optimizer"])
    assert all(
        t.device.type == "gpu" for entry in resumed.state.values() for t in entry.values() if isinstance(t, pn.Tensor)
    )
    assert_close(twin(x.to(gpu)).cpu(), on_gpu(x.to(gpu)).cpu())


def test_modules_move_back_and_forth(gpu: str) -> None:
    layer = nn.BatchNorm1d(2)
    weight = layer.weight
    assert layer.gpu().weight is weight
    assert {t.device.type for t in layer.state_dict().values()} == {"gpu"}
    assert {t.device.type for t in layer.cpu().state_dict().values()} == {"cpu"}
    with pytest.raises((TypeError, NotImplementedError, ValueError), match="float64"):
        layer.double().to(gpu)
