"""Modules that hold other modules or parameters: Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, SupportsIndex, TypeVar, overload

from pyneuro._core import Tensor
from pyneuro.nn.module import Module
from pyneuro.nn.parameter import Parameter

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]

S = TypeVar("S", bound="_ModuleSequence")


def _normalize(owner: object, index: SupportsIndex, length: int) -> int:
    """`index` from either end as 0 <= index < length."""
    i = operator.index(index)
    if not -length <= i < length:
        raise IndexError(f"{type(owner).__name__}: index must be in [{-length}, {length}), got {i}")
    return i % length


class _ModuleSequence(Module):
    """Submodules named "0", "1", ... in order: what Sequential and ModuleList share."""

    def _list(self) -> list[Module]:
        attributes = self.__dict__
        return [attributes[name] for name in attributes["_module_names"]]

    def _names(self) -> list[str]:
        return list(self.__dict__["_module_names"])

    def _set(self: S, modules: Iterable[Module]) -> S:
        """Make `modules` the whole content, numbered afresh."""
        modules = list(modules)
        for module in modules:
            self._check(module)
        for name in self._names():
            delattr(self, name)
        for i, module in enumerate(modules):
            self.add_module(str(i), module)
        return self

    def _check(self, module: object) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: items must be Modules, got {type(module).__name__}")

    @overload
    def __getitem__(self, index: SupportsIndex) -> Module: ...
    @overload
    def __getitem__(self: S, index: slice) -> S: ...
    def __getitem__(self: S, index: SupportsIndex | slice) -> Module | S:
        if isinstance(index, slice):
            return type(self)()._set(self._list()[index])
        return self._list()[_normalize(self, index, len(self))]

    def __setitem__(self, index: SupportsIndex, module: Module) -> None:
        self._check(module)
        setattr(self, self._names()[_normalize(self, index, len(self))], module)

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        modules = self._list()
        del modules[index if isinstance(index, slice) else _normalize(self, index, len(self))]
        self._set(modules)

    def __len__(self) -> int:
        return len(self.__dict__["_module_names"])

    def __iter__(self) -> Iterator[Module]:
        return iter(self._list())

    def __contains__(self, module: object) -> bool:
        return any(module is own for own in self._list())

    def append(self: S, module: Module) -> S:
        """Add `module` at the end."""
        return self.extend([module])

    def extend(self: S, modules: Iterable[Module]) -> S:
        """Add all of `modules` at the end."""
        modules = list(modules)
        for module in modules:
            self._check(module)
        for i, module in enumerate(modules, len(self)):
            self.add_module(str(i), module)
        return self

    def insert(self: S, index: SupportsIndex, module: Module) -> S:
        """Put `module` before position `index`."""
        modules = self._list()
        modules.insert(operator.index(index), module)
        return self._set(modules)

    def pop(self, index: SupportsIndex = -1) -> Module:
        """Remove and return the module at `index`."""
        module = self[index]
        del self[index]
        return module


class Sequential(_ModuleSequence):
    """A chain of modules: each gets the output of the one before.

    Args:
        *modules: the modules in order, or one dict of names and modules.

    >>> model = pn.nn.Sequential(pn.nn.Linear(4, 8), pn.nn.ReLU(), pn.nn.Linear(8, 2))
    >>> model(pn.zeros(3, 4)).shape
    (3, 2)
    >>> list(model.state_dict())
    ['0.weight', '0.bias', '2.weight', '2.bias']
    >>> model[:2]
    Sequential(
      (0): Linear(in_features=4, out_features=8, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            named: Iterable[tuple[str, Any]] = modules[0].items()
        else:
            named = ((str(i), module) for i, module in enumerate(modules))
        for name, module in named:
            self._check(module)
            self.add_module(name, module)

    def __getitem__(self, index: Any) -> Any:
        """The module at `index`, or for a slice a `Sequential` of those modules under the names they have here."""
        if isinstance(index, slice):
            return type(self)({name: self.__dict__[name] for name in self._names()[index]})
        return super().__getitem__(index)

    def forward(self, input: Any) -> Any:
        attributes = self.__dict__
        for name in attributes["_module_names"]:
            input = attributes[name](input)
        return input

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self, *other)


class ModuleList(_ModuleSequence):
    """A list whose modules belong to the module that holds it.

    >>> layers = pn.nn.ModuleList(pn.nn.Linear(4, 4) for _ in range(3))
    >>> len(layers), len(list(layers.parameters()))
    (3, 6)
    >>> layers
    ModuleList(
      (0-2): 3 x Linear(in_features=4, out_features=4, bias=True)
    )
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> ModuleList:
        return self.extend(other)

    def __repr__(self) -> str:
        """Runs of equal modules are written once."""
        runs: list[tuple[int, int, str]] = []  # first, last, repr
        for i, text in enumerate(map(repr, self)):
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], i, text)
            else:
                runs.append((i, i, text))
        lines = [
            f"({first}): {text}" if first == last else f"({first}-{last}): {last - first + 1} x {text}"
            for first, last, text in runs
        ]
        body = "".join("\n  " + line.replace("\n", "\n  ") for line in lines)
        return f"{type(self).__name__}({body}\n)" if lines else f"{type(self).__name__}()"


class ModuleDict(Module):
    """A dict whose modules belong to the module that holds it.

    >>> heads = pn.nn.ModuleDict({"digit": pn.nn.Linear(8, 10), "parity": pn.nn.Linear(8, 2)})
    >>> heads["parity"](pn.zeros(1, 8)).shape
    (1, 2)
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self.update(modules or ())

    def __getitem__(self, key: str) -> Module:
        module: Module = self._modules[key]
        return module

    def __setitem__(self, key: str, module: Module) -> None:
        if key in self:
            setattr(self, key, module)
        else:
            self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self.__dict__["_module_names"]

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Pairs of name and module."""
        return self._modules.items()

    def pop(self, key: str) -> Module:
        """Remove and return the module named `key`."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add all of `modules`, in their order."""
        for key, module in modules.items() if isinstance(modules, Mapping) else modules:
            self[key] = module


class ParameterList(Module):
    """A list of parameters that belong to the module that holds it; plain tensors become parameters.

    >>> scales = pn.nn.ParameterList([pn.ones(2), pn.ones(3)])
    >>> list(scales.state_dict())
    ['0', '1']
    """

    def __init__(self, values: Iterable[Tensor] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    @overload
    def __getitem__(self, index: SupportsIndex) -> Parameter: ...
    @overload
    def __getitem__(self, index: slice) -> ParameterList: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Parameter | ParameterList:
        parameters = list(self)
        if isinstance(index, slice):
            return ParameterList(parameters[index])
        return parameters[_normalize(self, index, len(self))]

    def __setitem__(self, index: SupportsIndex, value: Tensor) -> None:
        setattr(self, str(_normalize(self, index, len(self))), _as_parameter(value))

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._parameters.values())

    def append(self, value: Tensor) -> ParameterList:
        """Add `value` at the end."""
        self.register_parameter(str(len(self)), _as_parameter(value))
        return self

    def extend(self, values: Iterable[Tensor]) -> ParameterList:
        """Add all of `values` at the end."""
        for value in values:
            self.append(value)
        return self

    def extra_repr(self) -> str:
        return "\n".join(f"({i}): {_describe(parameter)}" for i, parameter in enumerate(self))


class ParameterDict(Module):
    """A dict of parameters that belong to the module that holds it; plain tensors become parameters.

    >>> weights = pn.nn.ParameterDict({"left": pn.ones(2), "right": pn.ones(2)})
    >>> sorted(name for name, _ in weights.named_parameters())
    ['left', 'right']
    """

    def __init__(self, parameters: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]] | None = None) -> None:
        super().__init__()
        self.update(parameters or ())

    def __getitem__(self, key: str) -> Parameter:
        parameter: Parameter = self._parameters[key]
        return parameter

    def __setitem__(self, key: str, value: Tensor) -> None:
        if key in self:
            setattr(self, key, _as_parameter(value))
        else:
            self.register_parameter(key, _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._parameters[key]

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, key: object) -> bool:
        return key in self.__dict__["_parameter_names"]

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._parameters.keys()

    def values(self) -> Iterable[Parameter]:
        """The parameters."""
        return self._parameters.values()

    def items(self) -> Iterable[tuple[str, Parameter]]:
        """Pairs of name and parameter."""
        return self._parameters.items()

    def pop(self, key: str) -> Parameter:
        """Remove and return the parameter named `key`."""
        parameter = self[key]
        del self[key]
        return parameter

    def update(self, parameters: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]) -> None:
        """Add all of `parameters`, in their order."""
        for key, value in parameters.items() if isinstance(parameters, Mapping) else parameters:
            self[key] = value

    def extra_repr(self) -> str:
        return "\n".join(f"({key}): {_describe(parameter)}" for key, parameter in self.items())


def _as_parameter(value: Tensor) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)


def _describe(parameter: Parameter) -> str:
    return f"Parameter containing: [{parameter.dtype} of size {tuple(parameter.shape)}]"
