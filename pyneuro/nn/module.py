"""`Module`: the base of every layer and model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from pyneuro._core import Tensor
from pyneuro.autograd import no_grad
from pyneuro.nn.hooks import Hookable
from pyneuro.nn.parameter import Parameter
from pyneuro.nn.registered import Registered

__all__ = ["IncompatibleKeys", "Module"]

M = TypeVar("M", bound="Module")


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` found missing in the state dict, and what it found no use for."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Module(Hookable):
    """Base class of all layers and models.

    A subclass makes its parts in `__init__` and computes in `forward`. Whatever it assigns to an attribute and is a
    `Parameter` or a `Module` becomes part of it: `to` moves it, `parameters` finds it, `state_dict` saves it.

    >>> class Net(pn.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = pn.nn.Linear(4, 8)
    ...         self.out = pn.nn.Linear(8, 2)
    ...     def forward(self, x):
    ...         return self.out(self.hidden(x).relu())
    >>> net = Net()
    >>> net(pn.zeros(3, 4)).shape
    (3, 2)
    >>> list(net.state_dict())
    ['hidden.weight', 'hidden.bias', 'out.weight', 'out.bias']
    """

    training: bool

    def __init__(self) -> None:
        attributes = self.__dict__
        attributes["training"] = True
        attributes["_parameter_names"] = {}
        attributes["_buffer_names"] = {}
        attributes["_unsaved_buffer_names"] = set()
        attributes["_module_names"] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the result; every subclass defines it. Call the module itself, so that hooks run."""
        raise NotImplementedError(f"{type(self).__name__}: has no forward method")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks is None:
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(self._hooks, args, kwargs)

    # Attributes and registration

    @property
    def _parameters(self) -> Registered:
        return Registered(self.__dict__, self.__dict__["_parameter_names"])

    @property
    def _buffers(self) -> Registered:
        return Registered(self.__dict__, self.__dict__["_buffer_names"])

    @property
    def _modules(self) -> Registered:
        return Registered(self.__dict__, self.__dict__["_module_names"])

    def __setattr__(self, name: str, value: Any) -> None:
        attributes = self.__dict__
        if isinstance(value, Parameter):
            self._claim(name, "_parameter_names")
        elif isinstance(value, Module):
            self._claim(name, "_module_names")
        elif "_parameter_names" in attributes and value is not None:
            if name in attributes["_parameter_names"]:
                raise TypeError(f"{name}: a parameter can only become a Parameter or None, got {type(value).__name__}")
            if name in attributes["_module_names"]:
                raise TypeError(f"{name}: a submodule can only become a Module or None, got {type(value).__name__}")
            if name in attributes["_buffer_names"] and not isinstance(value, Tensor):
                raise TypeError(f"{name}: a buffer can only become a Tensor or None, got {type(value).__name__}")
        object.__setattr__(self, name, value)

    def _claim(self, name: str, kind: str) -> None:
        """Count `name` among the parameters, buffers or modules, and among nothing else."""
        attributes = self.__dict__
        if kind not in attributes:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before assigning {name!r}")
        for other in ("_parameter_names", "_buffer_names", "_module_names"):
            if other != kind:
                attributes[other].pop(name, None)
        attributes["_unsaved_buffer_names"].discard(name)
        attributes[kind][name] = None

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        attributes = self.__dict__
        for kind in ("_parameter_names", "_buffer_names", "_module_names"):
            attributes[kind].pop(name, None)
        attributes["_unsaved_buffer_names"].discard(name)

    def __getattr__(self, name: str) -> Any:
        """Reached only where `name` was found nowhere."""
        if "_parameter_names" not in self.__dict__ and not name.startswith("__"):
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before using {name!r}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _register(self, name: str, value: Any, kind: str) -> None:
        what = kind.strip("_").split("_")[0]
        if not isinstance(name, str):
            raise TypeError(f"register_{what}: name must be a string, got {type(name).__name__}")
        if not name or "." in name:
            raise KeyError(f"register_{what}: name must be non-empty and without a dot, got {name!r}")
        if kind not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before register_{what}")
        if hasattr(self, name) and name not in self.__dict__[kind]:
            raise KeyError(f"register_{what}: {type(self).__name__} already has an attribute {name!r}")
        self._claim(name, kind)
        self.__dict__[name] = value

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under `name`; None reserves the name."""
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"register_parameter: {name} must be a Parameter or None, got {type(param).__name__}")
        self._register(name, param, "_parameter_names")

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is not learned but moves with the module; it is saved if `persistent`."""
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"register_buffer: {name} must be a Tensor or None, got {type(tensor).__name__}")
        self._register(name, tensor, "_buffer_names")
        if not persistent:
            self.__dict__["_unsaved_buffer_names"].add(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under `name`; None reserves the name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"register_module: {name} must be a Module or None, got {type(module).__name__}")
        self._register(name, module, "_module_names")

    def add_module(self, name: str, module: Module | None) -> None:
        """Same as `register_module`."""
        self.register_module(name, module)

    # Traversal

    def _named_members(
        self,
        members: Callable[[Module], Mapping[str, Any]],
        prefix: str,
        recurse: bool,
        remove_duplicate: bool,
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for module_name, module in modules:
            for name, value in members(module).items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield f"{module_name}.{name}" if module_name else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their full names, each once unless `remove_duplicate` is false."""
        return self._named_members(lambda module: module._parameters, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of this module and, if `recurse`, of all its submodules."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their full names."""
        return self._named_members(lambda module: module._buffers, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers of this module and, if `recurse`, of all its submodules."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names, each once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules."""
        for _, module in self.named_children():
            yield module

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module (named `prefix`) and all below it, parents first."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        for _, module in self.named_modules():
            yield module

    def get_submodule(self, target: str) -> Module:
        """The submodule with the full name `target`, such as `"encoder.0"`; `""` is the module itself."""
        module: Module = self
        for name in target.split(".") if target else ():
            child = module.__dict__.get(name) if name in module.__dict__["_module_names"] else None
            if child is None:
                raise AttributeError(
                    f"get_submodule: {type(module).__name__} has no submodule {name!r} (of {target!r})"
                )
            module = child
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with the full name `target`."""
        path, _, name = target.rpartition(".")
        parameter = self.get_submodule(path)._parameters.get(name)
        if parameter is None:
            raise AttributeError(f"get_parameter: {type(self).__name__} has no parameter {target!r}")
        found: Parameter = parameter
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer with the full name `target`."""
        path, _, name = target.rpartition(".")
        buffer = self.get_submodule(path)._buffers.get(name)
        if buffer is None:
            raise AttributeError(f"get_buffer: {type(self).__name__} has no buffer {target!r}")
        found: Tensor = buffer
        return found

    def apply(self: M, fn: Callable[[Module], object]) -> M:
        """Call `fn` on every submodule, children first, then on this module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # Modes

    def train(self: M, mode: bool = True) -> M:
        """Set training mode (or evaluation mode) here and below: what dropout and batch norm obey."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode must be a bool, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Set evaluation mode; same as `train(False)`."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Say whether gradients are computed for all parameters; false freezes the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill them with zeros."""
        for parameter in self.parameters():
            if parameter.grad is None:
                continue
            if set_to_none:
                parameter.grad = None
            else:
                parameter.grad = parameter.grad.detach().zero_()

    # Conversion

    def _apply(self: M, fn: Callable[[Tensor], Tensor]) -> M:
        """Replace every parameter, gradient and buffer by `fn` of it; parameters keep their identity."""
        converted: dict[int, Tensor] = {}
        with no_grad():
            for module in self.modules():
                for parameter in module._parameters.values():
                    if parameter is None or id(parameter) in converted:
                        continue
                    data, grad = fn(parameter.data), parameter.grad
                    if grad is not None:
                        grad = fn(grad)
                    # Without a gradient in between, which has to match the tensor at all times.
                    parameter.grad = None
                    parameter.data = data
                    parameter.grad = grad
                    converted[id(parameter)] = parameter
                buffers = module._buffers
                for name, buffer in buffers.items():
                    if buffer is not None:
                        if id(buffer) not in converted:
                            converted[id(buffer)] = fn(buffer)
                        buffers[name] = converted[id(buffer)]
        return self

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """Move to a device, convert to a floating dtype, or both: `to(device)`, `to(dtype)`, `to(device, dtype)`,
        `to(tensor)`. Integer buffers keep their dtype. Works in place and returns the module.

        >>> pn.nn.Linear(2, 2).to(pn.float64).weight.dtype
        pyneuro.float64
        """
        device, dtype = _parse_to(*args, **kwargs)
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(f"Module.to: dtype must be floating point, got {dtype}")

        def convert(tensor: Tensor) -> Tensor:
            if device is not None:
                tensor = tensor.to(device)
            if dtype is not None and tensor.dtype.is_floating_point:
                tensor = tensor.to(dtype)
            return tensor

        return self._apply(convert)

    def float(self: M) -> M:
        """Convert floating parameters and buffers to float32."""
        return self._apply(lambda tensor: tensor.float() if tensor.dtype.is_floating_point else tensor)

    def double(self: M) -> M:
        """Convert floating parameters and buffers to float64."""
        return self._apply(lambda tensor: tensor.double() if tensor.dtype.is_floating_point else tensor)

    def half(self: M) -> M:
        """Convert floating parameters and buffers to float16."""
        return self._apply(lambda tensor: tensor.half() if tensor.dtype.is_floating_point else tensor)

    def bfloat16(self: M) -> M:
        """Convert floating parameters and buffers to bfloat16."""
        return self._apply(lambda tensor: tensor.bfloat16() if tensor.dtype.is_floating_point else tensor)

    def cpu(self: M) -> M:
        """Move to the CPU."""
        return self._apply(lambda tensor: tensor.to("cpu"))

    def gpu(self: M, index: int | None = None) -> M:
        """Move to a GPU: the first, or number `index`."""
        device = "gpu" if index is None else f"gpu:{index}"
        return self._apply(lambda tensor: tensor.to(device))

    # State

    def state_dict(
        self,
        *,
        destination: dict[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by full name: own ones first, then each submodule's.

        The tensors share memory with the module's and are detached unless `keep_vars`.
        """
        state = {} if destination is None else destination
        hooks = self._hooks
        for hook in hooks.of("state_dict_pre") if hooks else ():
            hook.function(self, prefix, keep_vars)
        self._save_to_state_dict(state, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=state, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in hooks.of("state_dict") if hooks else ():
            state = hook.function(self, state, prefix, {}) or state
        return state

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        for name, tensor in (*self._parameters.items(), *self._buffers.items()):
            if tensor is not None and name not in self.__dict__["_unsaved_buffer_names"]:
                destination[prefix + name] = tensor if keep_vars else tensor.detach()

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy the tensors of `state_dict` into this module's parameters and buffers.

        Everything is checked before anything is copied: a state dict that does not fit leaves the module as it was.

        Args:
            state_dict: tensors by full name, as `state_dict` returns them.
            strict: whether missing and unexpected names are an error.
            assign: take the tensors of `state_dict` themselves, with their dtype and device, instead of copying.

        Returns:
            the missing and the unexpected names, both empty if `strict`.

        Raises:
            RuntimeError: names every missing, unexpected or mismatched entry.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: state_dict must be a mapping, got {type(state_dict).__name__}")
        state = dict(state_dict)
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        for prefix, module in _prefixed_modules(self):
            for hook in module._hooks.of("load_state_dict_pre") if module._hooks else ():
                hook.function(module, state, prefix, {}, strict, missing, unexpected, errors)

        targets = {
            prefix + name: (module, name)
            for prefix, module in _prefixed_modules(self)
            for name, tensor in (*module._parameters.items(), *module._buffers.items())
            if tensor is not None and name not in module.__dict__["_unsaved_buffer_names"]
        }
        missing += [key for key in targets if key not in state]
        unexpected += [key for key in state if key not in targets]
        for key, (module, name) in targets.items():
            if key in state:
                errors += _mismatch(key, state[key], module.__dict__[name])
        if strict and unexpected:
            errors.insert(0, "unexpected keys: " + ", ".join(map(repr, unexpected)))
        if strict and missing:
            errors.insert(0, "missing keys: " + ", ".join(map(repr, missing)))
        if errors:
            listing = "\n".join(f"  {error}" for error in errors)
            raise RuntimeError(f"load_state_dict: state_dict does not fit {type(self).__name__}:\n{listing}")

        with no_grad():
            for key, (module, name) in targets.items():
                if key in state:
                    module._load_tensor(name, state[key], assign)
        result = IncompatibleKeys(missing, unexpected)
        for _, module in _prefixed_modules(self):
            for hook in module._hooks.of("load_state_dict") if module._hooks else ():
                hook.function(module, result)
        return result

    def _load_tensor(self, name: str, tensor: Tensor, assign: bool) -> None:
        current = self.__dict__[name]
        if not assign:
            current.copy_(tensor)
            return
        if isinstance(current, Parameter):
            if not isinstance(tensor, Parameter):
                tensor = Parameter(tensor)
            tensor.requires_grad_(current.requires_grad)
        self.__dict__[name] = tensor

    # Copying and printing

    def __copy__(self: M) -> M:
        """A module with the same parameters, buffers and submodules, whose registrations are its own."""
        clone = type(self).__new__(type(self))
        own = {key: value.copy() if key in _REGISTRIES else value for key, value in self.__dict__.items()}
        clone.__dict__.update(own)
        return clone

    def extra_repr(self) -> str:
        """The part of `repr` between the parentheses: the module's own settings."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        settings = self.extra_repr()
        lines = settings.split("\n") if settings else []
        children = [f"({name}): {_indent(repr(module))}" for name, module in self._modules.items()]
        if not children and len(lines) <= 1:
            return f"{self._get_name()}({settings})"
        return "\n  ".join([f"{self._get_name()}(", *lines, *children]) + "\n)"


_REGISTRIES = frozenset({"_parameter_names", "_buffer_names", "_unsaved_buffer_names", "_module_names"})


def _indent(text: str) -> str:
    return text.replace("\n", "\n  ")


def _prefixed_modules(module: Module, prefix: str = "") -> Iterator[tuple[str, Module]]:
    """Every module below, a shared one under each of its names, with the prefix of its entries in a state dict."""
    yield prefix, module
    for name, child in module._modules.items():
        if child is not None:
            yield from _prefixed_modules(child, f"{prefix}{name}.")


def _mismatch(key: str, value: Any, current: Tensor) -> list[str]:
    if not isinstance(value, Tensor):
        return [f"{key}: must be a Tensor, got {type(value).__name__}"]
    if tuple(value.shape) != tuple(current.shape):
        return [f"size mismatch for {key}: must have shape {tuple(current.shape)}, got {tuple(value.shape)}"]
    return []


def _parse_to(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """Sort the arguments of `to` into a device and a dtype, either of which may be None."""
    device = kwargs.pop("device", None)
    dtype = kwargs.pop("dtype", None)
    kwargs.pop("non_blocking", None)
    if kwargs:
        raise TypeError(f"Module.to: unexpected argument {next(iter(kwargs))!r}")
    for arg in args:
        if isinstance(arg, Tensor):
            device, dtype = arg.device, arg.dtype
        elif hasattr(arg, "is_floating_point"):
            dtype = arg
        elif arg is not None and not isinstance(arg, bool):  # a bool is torch's `non_blocking`
            device = arg
    return device, dtype
