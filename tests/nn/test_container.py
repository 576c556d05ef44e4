"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict."""

from __future__ import annotations

import pytest

import pyneuro as pn
from pyneuro import nn


def kinds(modules: object) -> list[str]:
    return [type(module).__name__ for module in modules]  # type: ignore[attr-defined]


def test_sequential_runs_in_order() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.ReLU())
    assert model(pn.zeros(3, 2, 2)).shape == (3, 2)


def test_sequential_of_a_dict_keeps_names() -> None:
    model = nn.Sequential({"flatten": nn.Flatten(), "out": nn.Linear(4, 2)})
    assert list(model.state_dict()) == ["out.weight", "out.bias"]
    assert isinstance(model.out, nn.Linear)


def test_sequential_indexing() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 3))
    assert model[0].out_features == 2 and model[-1].out_features == 3
    part = model[1:]
    assert kinds(part) == ["ReLU", "Linear"]
    assert list(part.state_dict()) == ["2.weight", "2.bias"], "a slice keeps its names, as in torch"
    assert part[1] is model[2]
    with pytest.raises(IndexError, match=r"Sequential: index must be in \[-3, 3\), got 3"):
        _ = model[3]


def test_sequential_editing() -> None:
    model = nn.Sequential(nn.Linear(1, 1))
    model.append(nn.ReLU()).extend([nn.Tanh()]).insert(1, nn.Sigmoid())
    assert kinds(model) == ["Linear", "Sigmoid", "ReLU", "Tanh"]
    model[2] = nn.Identity()
    del model[0]
    assert kinds(model) == ["Sigmoid", "Identity", "Tanh"]
    assert [name for name, _ in model.named_children()] == ["0", "1", "2"]
    assert kinds([model.pop(), *(model + nn.Sequential(nn.ReLU()))]) == [
        "Tanh",
        "Sigmoid",
        "Identity",
        "ReLU",
    ]
    assert len(model) == 2


def test_sequences_hold_modules_only() -> None:
    with pytest.raises(TypeError, match="Sequential: items must be Modules, got function"):
        nn.Sequential(lambda x: x)  # type: ignore[arg-type]
    layers = nn.ModuleList([nn.ReLU()])
    with pytest.raises(TypeError, match="ModuleList: items must be Modules, got int"):
        layers.extend([nn.ReLU(), 3])  # type: ignore[list-item]
    assert len(layers) == 1, "a failed extend adds nothing"


def test_module_list() -> None:
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    assert len(list(layers.parameters())) == 6
    assert layers[1] in layers and nn.ReLU() not in layers
    layers += [nn.ReLU()]
    assert kinds(layers[2:]) == ["Linear", "ReLU"]
    assert [name for name, _ in layers[2:].named_children()] == ["0", "1"]
    layers.insert(0, nn.Tanh())
    assert kinds(layers) == ["Tanh", "Linear", "Linear", "Linear", "ReLU"]
    assert "(1-3): 3 x Linear(" in repr(layers)
    with pytest.raises(NotImplementedError, match="ModuleList: has no forward"):
        layers(pn.zeros(1))


def test_module_dict() -> None:
    heads = nn.ModuleDict({"a": nn.Linear(1, 2)})
    heads["b"] = nn.Linear(1, 3)
    heads.update([("c", nn.ReLU())])
    assert list(heads) == list(heads.keys()) == ["a", "b", "c"]
    assert "b" in heads and len(heads) == 3
    assert heads.pop("b").out_features == 3
    assert [key for key, _ in heads.items()] == ["a", "c"]
    assert list(heads.state_dict()) == ["a.weight", "a.bias"]
    with pytest.raises(KeyError, match="already has an attribute 'items'"):
        heads["items"] = nn.ReLU()
    heads.clear()
    assert len(heads) == 0
    with pytest.raises(KeyError):
        _ = heads["a"]


def test_parameter_list() -> None:
    scales = nn.ParameterList([pn.ones(2), nn.Parameter(pn.ones(3))])
    scales.append(pn.zeros(1))
    assert [p.numel() for p in scales] == [2, 3, 1]
    assert all(isinstance(p, nn.Parameter) for p in scales)
    assert [name for name, _ in scales.named_parameters()] == ["0", "1", "2"]
    assert len(scales[1:]) == 2 and scales[-1].numel() == 1
    scales[0] = pn.zeros(4)
    assert scales[0].shape == (4,)
    assert "(0): Parameter containing:" in repr(scales)


def test_parameter_dict() -> None:
    weights = nn.ParameterDict({"left": pn.ones(2)})
    weights["right"] = pn.ones(3)
    weights["left"] = pn.zeros(2)
    assert [name for name, _ in weights.named_parameters()] == ["left", "right"]
    assert weights["left"].tolist() == [0.0, 0.0]
    assert list(weights) == ["left", "right"] and "left" in weights
    assert weights.pop("left").requires_grad
    assert len(weights) == 1
