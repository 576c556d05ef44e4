"""Saving and loading: safetensors for the tensors, JSON for what holds them together. Never pickle.

The file is a plain safetensors file, which any other library reads. The structure (nested dicts and lists, numbers,
strings, optimizer states) is written as JSON into its metadata, and the tensors are named by their place in it: those
of a state dict have its keys.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Mapping
from typing import Any

from pyneuro import _core
from pyneuro._core import Tensor

__all__ = ["load", "save"]

STRUCTURE = "pyneuro.structure"  # the metadata entry that holds the JSON, after its checksum

# What JSON cannot say is written as an object with one of these keys.
TENSOR, TUPLE, DICT, FLOAT = "$tensor", "$tuple", "$dict", "$float"


def save(obj: Any, path: str | os.PathLike[str]) -> None:
    """Save tensors, and dicts, lists, tuples, numbers and strings that hold them, to one file.

    The file appears whole or not at all: a crash while writing leaves what was there before.

    Args:
        obj: for example `model.state_dict()`, or `{"model": ..., "optimizer": ..., "epoch": 3}`.
        path: where to; the usual suffix is `.safetensors`.

    Raises:
        TypeError: something in `obj` is none of these; the message says where.

    >>> import tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "checkpoint.safetensors")
    >>> model = pn.nn.Linear(2, 1)
    >>> pn.save({"model": model.state_dict(), "epoch": 3}, path)
    >>> checkpoint = pn.load(path)
    >>> checkpoint["epoch"], list(checkpoint["model"])
    (3, ['weight', 'bias'])
    """
    path = _path("save", path)
    tensors: dict[str, Tensor] = {}
    # Other readers look a state dict's tensors up by name, so there a tensor with two names is stored under both.
    structure = _encode(obj, (), tensors, None if _is_flat(obj) else {})
    text = json.dumps(structure, allow_nan=False)
    _core.save_safetensors(tensors, path, {STRUCTURE: f"{_checksum(text)} {text}"})


def load(path: str | os.PathLike[str], map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Load what `save` wrote, or any safetensors file as a dict of its tensors.

    Args:
        path: the file.
        map_location: the device for the tensors; the CPU if None.
        weights_only: accepted for torch programs; False is refused, because it asks for pickle.

    Raises:
        ValueError: the file is a pickle, or no valid safetensors file.
    """
    path = _path("load", path)
    if not weights_only:
        raise ValueError("load: weights_only must be True, got False: pyneuro never unpickles")
    _refuse_foreign(path)
    tensors, metadata = _core.load_safetensors(path, map_location)
    if not metadata or STRUCTURE not in metadata:
        return tensors
    checksum, _, text = metadata[STRUCTURE].partition(" ")
    try:
        if checksum != _checksum(text):
            raise ValueError(f"its checksum must be {_checksum(text)}, got {checksum}")
        return _decode(json.loads(text), tensors)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"load: the structure in {path} is damaged ({error!r})") from error


def _checksum(text: str) -> str:
    """Tensors are bounds-checked, but a flipped bit in the structure could pass for another structure."""
    return f"{zlib.crc32(text.encode()):08x}"


def _path(op: str, path: Any) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{op}: path must be a string or os.PathLike, got {type(path).__name__}")
    return os.fsdecode(path)


def _is_flat(obj: Any) -> bool:
    return isinstance(obj, Mapping) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in obj.items()
    )


# ---- structure -------------------------------------------------------------------------------


def _encode(obj: Any, place: tuple[str, ...], tensors: dict[str, Tensor], names: dict[int, str] | None) -> Any:
    """`obj` as JSON. Its tensors go to `tensors`; `names`, if given, finds those that are there already."""
    if isinstance(obj, Tensor):
        if names is not None and id(obj) in names:
            return {TENSOR: names[id(obj)]}
        name = ".".join(place) or "tensor"
        while name in tensors:  # {"a.b": ...} beside {"a": {"b": ...}}
            name += "'"
        tensors[name] = obj
        if names is not None:
            names[id(obj)] = name
        return {TENSOR: name}
    if obj is None or isinstance(obj, (bool, str)):
        return obj
    if isinstance(obj, int):
        return int(obj)
    if isinstance(obj, float):
        return float(obj) if math.isfinite(obj) else {FLOAT: repr(float(obj))}
    if isinstance(obj, (list, tuple)):
        items = [_encode(item, (*place, str(i)), tensors, names) for i, item in enumerate(obj)]
        return {TUPLE: items} if isinstance(obj, tuple) else items
    if isinstance(obj, Mapping):
        for key in obj:
            if not (key is None or isinstance(key, (str, int, float))):
                raise TypeError(f"save: keys must be strings or numbers, got {key!r} at {_where(place)}")
        entries = [(key, _encode(item, (*place, str(key)), tensors, names)) for key, item in obj.items()]
        if all(isinstance(key, str) and not key.startswith("$") for key, _ in entries):
            return dict(entries)
        return {DICT: [[_encode(key, place, tensors, names), item] for key, item in entries]}
    raise TypeError(
        "save: only tensors, numbers, strings, None, dicts, lists and tuples can be saved, "
        f"got {type(obj).__name__} at {_where(place)}"
    )


def _where(place: tuple[str, ...]) -> str:
    return "[" + "][".join(map(repr, place)) + "]" if place else "the top"


def _decode(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(node, list):
        return [_decode(item, tensors) for item in node]
    if not isinstance(node, dict):
        return node
    if len(node) == 1:
        ((key, value),) = node.items()
        if key == TENSOR:
            return tensors[value]
        if key == TUPLE:
            return tuple(_decode(item, tensors) for item in value)
        if key == DICT:
            return {_decode(name, tensors): _decode(item, tensors) for name, item in value}
        if key == FLOAT:
            return float(value)
    return {key: _decode(value, tensors) for key, value in node.items()}


# ---- other formats ---------------------------------------------------------------------------

_SAFE = "save the tensors with the safetensors package instead"

#: How files of other formats begin, and what to say of them.
_FOREIGN = (
    (b"PK", f"refuses pickle (in a zip archive, as torch.save writes); {_SAFE}"),
    *((bytes([0x80, n]), f"refuses pickle (protocol {n}); {_SAFE}") for n in range(1, 6)),
    (
        b"\x93NUMPY",
        "is for safetensors files; read .npy with numpy.load and pn.from_numpy, got one",
    ),
    (b"\x89HDF", "is for safetensors files; convert HDF5 first, got one"),
    (b"GGUF", "is for safetensors files; convert GGUF first, got one"),
)
#: What a pickle in the old text protocol can begin with; it ends with a full stop.
_PROTOCOL_0 = (b"(", b"c", b"}", b"]", b"l", b"d", b"I", b"F", b"V", b"S")


def _refuse_foreign(path: str) -> None:
    """Name what a file is that is not ours, before the parser calls it merely damaged."""
    with open(path, "rb") as file:
        head = file.read(9)
        file.seek(-1 if head else 0, os.SEEK_END)
        last = file.read(1)
    if head[8:] == b"{":  # the JSON header of safetensors, whatever its length (the first 8 bytes) looks like
        return
    for magic, verdict in _FOREIGN:
        if head.startswith(magic):
            raise ValueError(f"load: {verdict}: {path}")
    if head[:1] in _PROTOCOL_0 and last == b".":
        raise ValueError(f"load: refuses pickle (protocol 0); {_SAFE}: {path}")
