"""`Module`: registration, traversal, modes, conversion, state dicts, copying."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import pytest

import pyneuro as pn
from pyneuro import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(pn.ones(2))
        self.hidden = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("offset", pn.zeros(2))
        self.register_buffer("scratch", pn.zeros(1), persistent=False)

    def forward(self, x: pn.Tensor) -> pn.Tensor:
        return self.norm(self.hidden(x)) * self.scale + self.offset


KEYS = [
    "scale",
    "offset",
    "hidden.weight",
    "hidden.bias",
    "norm.weight",
    "norm.bias",
    "norm.running_mean",
    "norm.running_var",
    "norm.num_batches_tracked",
]


def names(pairs: Any) -> list[str]:
    return [name for name, _ in pairs]


# ---- registration ----------------------------------------------------------------------------


def test_assignment_registers_by_kind() -> None:
    net = Net()
    assert names(net.named_parameters()) == [
        "scale",
        "hidden.weight",
        "hidden.bias",
        "norm.weight",
        "norm.bias",
    ]
    assert names(net.named_buffers())[:2] == ["offset", "scratch"]
    assert names(net.named_children()) == ["hidden", "norm"]
    assert names(net.named_modules()) == ["", "hidden", "norm"]


def test_parameters_are_plain_attributes() -> None:
    net = Net()
    assert vars(net)["scale"] is net.scale is net._parameters["scale"]


def test_reassigning_keeps_the_order_and_the_kind() -> None:
    net = Net()
    replacement = nn.Parameter(pn.zeros(2))
    net.scale = replacement
    assert net._parameters["scale"] is replacement
    assert names(net.named_parameters())[0] == "scale"
    net.scale = None  # type: ignore[assignment]
    assert net.scale is None
    assert "scale" in net._parameters
    assert "scale" not in names(net.named_parameters())
    net.scale = replacement
    assert names(net.named_parameters())[0] == "scale"


def test_changing_the_kind_moves_the_name() -> None:
    net = Net()
    net.offset = nn.Parameter(pn.zeros(2))
    assert "offset" in names(net.named_parameters()) and "offset" not in names(net.named_buffers())
    net.plain = 3  # type: ignore[assignment]
    net.plain = nn.Linear(1, 1)  # type: ignore[assignment]
    assert "plain" in names(net.named_children())


def test_deleting_unregisters() -> None:
    net = Net()
    del net.scale
    assert not hasattr(net, "scale")
    assert "scale" not in net._parameters
    del net.hidden
    assert names(net.named_children()) == ["norm"]
    with pytest.raises(AttributeError):
        del net.scale


def test_writing_through_the_private_dicts_is_seen() -> None:
    net = Net()
    layer = nn.Linear(3, 2)
    net._modules["hidden"] = layer
    assert net.hidden is layer
    del net._modules["norm"]
    assert not hasattr(net, "norm")


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        (
            "scale",
            pn.zeros(2),
            "scale: a parameter can only become a Parameter or None, got Tensor",
        ),
        ("scale", 3, "got int"),
        ("hidden", pn.zeros(2), "hidden: a submodule can only become a Module or None"),
        ("offset", [0, 0], "offset: a buffer can only become a Tensor or None, got list"),
    ],
)
def test_wrong_assignments(attribute: str, value: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        setattr(Net(), attribute, value)


def test_registering_needs_init() -> None:
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\) before assigning 'layer'"):
        Forgetful()


def test_register_checks_names_and_types() -> None:
    net = Net()
    with pytest.raises(KeyError, match="without a dot"):
        net.register_parameter("a.b", None)
    with pytest.raises(KeyError, match="non-empty"):
        net.register_buffer("", None)
    with pytest.raises(KeyError, match="already has an attribute 'forward'"):
        net.add_module("forward", nn.Identity())
    with pytest.raises(TypeError, match="must be a Parameter or None, got Tensor"):
        net.register_parameter("p", pn.zeros(1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be a Module or None, got int"):
        net.add_module("m", 3)  # type: ignore[arg-type]


def test_missing_attribute_names_the_class() -> None:
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'weights'"):
        _ = Net().weights


def test_no_forward() -> None:
    with pytest.raises(NotImplementedError, match="Module: has no forward"):
        nn.Module()()


# ---- traversal -------------------------------------------------------------------------------


def test_shared_modules_and_parameters_count_once() -> None:
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, layer)
    assert len(list(model.parameters())) == 2
    assert names(model.named_parameters(remove_duplicate=False)) == [
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
    ]
    assert len(list(model.modules())) == 2
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_get_by_name() -> None:
    net = nn.Sequential(Net())
    assert net.get_submodule("0.hidden") is net[0].hidden
    assert net.get_submodule("") is net
    assert net.get_parameter("0.hidden.weight") is net[0].hidden.weight
    assert net.get_buffer("0.offset") is net[0].offset
    with pytest.raises(AttributeError, match="no submodule 'nope'"):
        net.get_submodule("0.nope")
    with pytest.raises(AttributeError, match=r"no parameter '0\.nope'"):
        net.get_parameter("0.nope")


def test_apply_goes_children_first() -> None:
    seen: list[str] = []
    nn.Sequential(nn.Linear(1, 1), nn.ReLU()).apply(lambda module: seen.append(type(module).__name__))
    assert seen == ["Linear", "ReLU", "Sequential"]


# ---- modes and conversion --------------------------------------------------------------------


def test_train_and_eval_reach_everything() -> None:
    net = nn.Sequential(Net(), nn.Dropout(0.5))
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    net.train()
    assert all(module.training for module in net.modules())
    with pytest.raises(ValueError, match="mode must be a bool, got 1"):
        net.train(1)  # type: ignore[arg-type]


def test_requires_grad_and_zero_grad() -> None:
    net = nn.Linear(2, 1)
    net(pn.ones(3, 2)).sum().backward()
    assert net.bias.grad is not None and net.bias.grad.tolist() == [3.0]
    net.zero_grad(set_to_none=False)
    assert net.bias.grad.tolist() == [0.0]
    net.zero_grad()
    assert net.bias.grad is None
    net.requires_grad_(False)
    assert not net(pn.ones(3, 2)).requires_grad


def test_conversion_keeps_identity_and_integers() -> None:
    net = Net()
    weight, optimizer = net.hidden.weight, pn.optim.SGD(net.parameters(), lr=1.0)
    net(pn.randn(4, 3)).sum().backward()
    assert net.double() is net
    assert net.hidden.weight is weight and weight.dtype == pn.float64
    assert weight.grad is not None and weight.grad.dtype == pn.float64
    assert net.offset.dtype == pn.float64 and net.norm.num_batches_tracked.dtype == pn.int64
    optimizer.step()
    assert net.to(pn.float32).hidden.weight.dtype == pn.float32
    assert net.to("cpu", pn.float64).hidden.weight.dtype == pn.float64
    assert net.to(pn.zeros(1)).hidden.weight.dtype == pn.float32
    assert weight.requires_grad and weight.is_leaf
    with pytest.raises(TypeError, match="dtype must be floating point, got"):
        net.to(pn.int64)
    with pytest.raises(TypeError, match="unexpected argument 'memory'"):
        net.to("cpu", memory="dense")


def test_conversion_keeps_tied_parameters_tied() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    model.double()
    assert model[1].weight is model[0].weight and model[0].weight.dtype == pn.float64


# ---- state dicts -----------------------------------------------------------------------------


def test_state_dict_has_torchs_keys_in_order() -> None:
    assert list(Net().state_dict()) == KEYS


def test_state_dict_shares_memory_and_is_detached() -> None:
    net = Net()
    state = net.state_dict()
    assert not state["scale"].requires_grad
    state["scale"].fill_(7)
    assert net.scale.tolist() == [7.0, 7.0]
    assert net.state_dict(keep_vars=True)["scale"] is net.scale
    assert list(net.hidden.state_dict(prefix="p.")) == ["p.weight", "p.bias"]


def test_load_state_dict_copies() -> None:
    source, target = Net(), Net()
    weight = target.hidden.weight
    result = target.load_state_dict(source.state_dict())
    assert result.missing_keys == [] and result.unexpected_keys == []
    assert str(result) == "<All keys matched successfully>"
    assert target.hidden.weight is weight
    assert weight.tolist() == source.hidden.weight.tolist()
    with pn.no_grad():
        source.hidden.weight.zero_()
    assert weight.tolist() != source.hidden.weight.tolist()


def test_load_state_dict_reports_everything_at_once_and_changes_nothing() -> None:
    net = Net()
    before = net.hidden.weight.tolist()
    state = Net().state_dict()
    del state["scale"], state["norm.bias"]
    state["extra"] = pn.zeros(1)
    state["hidden.bias"] = pn.zeros(5)
    state["offset"] = [0.0, 0.0]
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    message = str(error.value)
    assert "missing keys: 'scale', 'norm.bias'" in message
    assert "unexpected keys: 'extra'" in message
    assert "size mismatch for hidden.bias: must have shape (2,), got (5,)" in message
    assert "offset: must be a Tensor, got list" in message
    assert net.hidden.weight.tolist() == before


def test_load_state_dict_not_strict() -> None:
    net, state = Net(), Net().state_dict()
    del state["scale"]
    state["extra"] = pn.zeros(1)
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["scale"] and result.unexpected_keys == ["extra"]
    assert net.hidden.weight.tolist() == state["hidden.weight"].tolist()
    state["hidden.weight"] = pn.zeros(1, 1)
    with pytest.raises(RuntimeError, match=r"size mismatch for hidden\.weight"):
        net.load_state_dict(state, strict=False)


def test_load_state_dict_assign() -> None:
    net, state = Net(), Net().double().state_dict()
    net.load_state_dict(state, assign=True)
    assert isinstance(net.hidden.weight, nn.Parameter) and net.hidden.weight.requires_grad
    assert net.hidden.weight.dtype == pn.float64
    assert net.offset is state["offset"]


def test_load_state_dict_takes_mappings_only() -> None:
    with pytest.raises(TypeError, match="state_dict must be a mapping, got list"):
        Net().load_state_dict([])  # type: ignore[arg-type]


# ---- copying and printing --------------------------------------------------------------------


def test_deepcopy_is_independent() -> None:
    net = Net()
    twin = copy.deepcopy(net)
    assert list(twin.state_dict()) == KEYS
    assert isinstance(twin.scale, nn.Parameter) and twin.scale is not net.scale
    with pn.no_grad():
        twin.scale.zero_()
    assert net.scale.tolist() == [1.0, 1.0]
    twin.more = nn.Linear(1, 1)  # type: ignore[assignment]
    assert not hasattr(net, "more")


def test_deepcopy_keeps_tied_parameters_tied() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    twin = copy.deepcopy(model)
    assert twin[1].weight is twin[0].weight and twin[0].weight is not model[0].weight


def test_shallow_copy_registers_for_itself() -> None:
    net = Net()
    twin = copy.copy(net)
    assert twin.scale is net.scale
    twin.more = nn.Parameter(pn.zeros(1))  # type: ignore[assignment]
    assert "more" not in names(net.named_parameters())
    assert "more" in names(twin.named_parameters())


def test_modules_are_freed_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        net = Net()
        net(pn.randn(4, 3))
        gone = weakref.ref(net)
        del net
        assert gone() is None
    finally:
        gc.enable()


def test_repr() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(1, 2), nn.Tanh())

    assert repr(nn.Sequential(Block(), nn.Dropout(0.1))) == (
        "Sequential(\n"
        "  (0): Block(\n"
        "    (layers): Sequential(\n"
        "      (0): Linear(in_features=1, out_features=2, bias=True)\n"
        "      (1): Tanh()\n"
        "    )\n"
        "  )\n"
        "  (1): Dropout(p=0.1, inplace=False)\n"
        ")"
    )


def test_parameter() -> None:
    data = pn.zeros(2)
    parameter = nn.Parameter(data)
    assert isinstance(parameter, pn.Tensor) and parameter.requires_grad and parameter.is_leaf
    data.fill_(1)
    assert parameter.tolist() == [1.0, 1.0]
    assert repr(parameter).startswith("Parameter containing:\ntensor(")
    assert type(parameter + 1) is pn.Tensor
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    assert nn.Parameter(parameter * 2).is_leaf
    with pytest.raises(TypeError, match="data must be a Tensor, got list"):
        nn.Parameter([1.0])  # type: ignore[arg-type]
