"""`pn.save` and `pn.load`: round trips, plain safetensors, refusals."""

from __future__ import annotations

import io
import json
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyneuro as pn
from pyneuro import nn, optim


def header(path: Path) -> dict[str, Any]:
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    parsed: dict[str, Any] = json.loads(raw[8 : 8 + length])
    return parsed


def test_a_flat_state_dict_is_a_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    layer = nn.Linear(3, 2)
    pn.save(layer.state_dict(), path)
    entries = header(path)
    entries.pop("__metadata__", None)
    assert {name: (entry["dtype"], entry["shape"]) for name, entry in entries.items()} == {
        "weight": ("F32", [2, 3]),
        "bias": ("F32", [2]),
    }
    begin, end = entries["weight"]["data_offsets"]
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    stored = np.frombuffer(raw[8 + length + begin : 8 + length + end], np.float32).reshape(2, 3)
    np.testing.assert_array_equal(stored, layer.weight.detach().numpy())
    other = nn.Linear(3, 2)
    other.load_state_dict(pn.load(path))
    assert other.weight.tolist() == layer.weight.tolist()


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = optim.Adam(model.parameters(), amsgrad=True)
    schedule = optim.lr_scheduler.MultiStepLR(optimizer, [2, 3])
    model(pn.randn(4, 3)).sum().backward()
    optimizer.step()
    schedule.step()
    pn.save(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "epoch": 3,
        },
        path,
    )
    loaded = pn.load(path)
    assert loaded["epoch"] == 3

    twin = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    twin.load_state_dict(loaded["model"])
    resumed = optim.Adam(twin.parameters(), lr=9.0)
    resumed.load_state_dict(loaded["optimizer"])
    optim.lr_scheduler.MultiStepLR(resumed, []).load_state_dict(loaded["schedule"])
    x = pn.randn(4, 3)
    for m, o in ((model, optimizer), (twin, resumed)):
        o.zero_grad()
        m(x).square().sum().backward()
        o.step()
    assert [p.tolist() for p in twin.parameters()] == [p.tolist() for p in model.parameters()]


@pytest.mark.parametrize(
    "obj",
    [
        {},
        {"a": 1, "b": [1.5, None, True, "text"], "c": {}},
        (1, (2, [3, ()])),
        {1: "int key", None: "none key", False: "bool key", 2.5: "float key"},
        {"$tensor": "not a tensor", "$tuple": [1]},
        {"": {"": 1}, "a.b": 1, "a": {"b": 2}},
        [10**30, -(2**63), 1e-320],
        "ünïcode \u0000 \U0001f600",
    ],
)
def test_plain_values(tmp_path: Path, obj: Any) -> None:
    pn.save(obj, tmp_path / "file")
    loaded = pn.load(tmp_path / "file")
    assert loaded == obj and repr(loaded) == repr(obj)


def test_numbers_that_json_cannot_say(tmp_path: Path) -> None:
    pn.save([math.inf, -math.inf, math.nan], tmp_path / "file")
    plus, minus, nan = pn.load(tmp_path / "file")
    assert plus == math.inf and minus == -math.inf and math.isnan(nan)


@pytest.mark.parametrize(
    "dtype",
    [
        "float32",
        "float64",
        "float16",
        "bfloat16",
        "int8",
        "uint8",
        "int16",
        "int32",
        "int64",
        "bool",
    ],
)
def test_every_dtype_and_layout(tmp_path: Path, dtype: str) -> None:
    x = (pn.arange(12) % 5).reshape(3, 4).to(getattr(pn, dtype))
    tensors = {
        "plain": x,
        "transposed": x.T,
        "strided": x[:, ::2],
        "scalar": x[1, 2],
        "empty": x[:0],
    }
    pn.save(tensors, tmp_path / "file")
    for name, loaded in pn.load(tmp_path / "file").items():
        assert loaded.dtype == x.dtype and loaded.shape == tensors[name].shape
        assert loaded.tolist() == tensors[name].tolist()


def test_loading_does_not_share_with_the_source(tmp_path: Path) -> None:
    x = pn.ones(2, requires_grad=True)
    pn.save({"x": x, "nested": {"x": x}}, tmp_path / "file")
    with pn.no_grad():
        x.zero_()
    loaded = pn.load(tmp_path / "file")
    assert loaded["x"].tolist() == [1.0, 1.0] and not loaded["x"].requires_grad
    assert loaded["nested"]["x"] is loaded["x"], "one tensor in two places is stored once"


def test_names_do_not_collide(tmp_path: Path) -> None:
    obj = {"a.b": pn.ones(1), "a": {"b": pn.zeros(2)}, "": [pn.full((3,), 2.0)]}
    pn.save(obj, tmp_path / "file")
    loaded = pn.load(tmp_path / "file")
    assert loaded["a.b"].tolist() == [1.0] and loaded["a"]["b"].tolist() == [0.0, 0.0]
    assert loaded[""][0].tolist() == [2.0] * 3


def test_one_tensor_and_ordered_dicts(tmp_path: Path) -> None:
    pn.save(pn.arange(3), tmp_path / "file")
    assert pn.load(tmp_path / "file").tolist() == [0, 1, 2]
    pn.save(OrderedDict(b=1, a=2), tmp_path / "file")
    assert list(pn.load(tmp_path / "file")) == ["b", "a"]


def test_parameters_are_saved_as_tensors(tmp_path: Path) -> None:
    pn.save(dict(nn.Linear(1, 1).named_parameters()), tmp_path / "file")
    assert type(pn.load(tmp_path / "file")["weight"]) is pn.Tensor


# ---- refusals --------------------------------------------------------------------------------


class Something:
    pass


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (
            {"model": {"layers": [1, Something()]}},
            r"got Something at \['model'\]\['layers'\]\['1'\]",
        ),
        ({"x": {1, 2}}, r"got set at \['x'\]"),
        ({"x": np.zeros(2)}, r"got ndarray at \['x'\]"),
        (Something(), "got Something at the top"),
        ({"x": {(1, 2): 3}}, r"keys must be strings or numbers, got \(1, 2\) at \['x'\]"),
    ],
)
def test_unknown_objects(tmp_path: Path, obj: Any, message: str) -> None:
    path = tmp_path / "file"
    with pytest.raises(TypeError, match=message):
        pn.save(obj, path)
    assert not path.exists()


def test_a_failed_save_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    pn.save({"x": pn.ones(1)}, path)
    with pytest.raises(TypeError):
        pn.save({"x": pn.zeros(1), "bad": Something()}, path)
    assert pn.load(path)["x"].item() == 1
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_are_refused_by_name(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps({"weight": [1.0]}, protocol))
    with pytest.raises(ValueError, match=r"load: refuses pickle \(protocol \d\).*model\.pt"):
        pn.load(path)


def test_torch_archives_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    with pytest.raises(ValueError, match=r"refuses pickle .*zip"):
        pn.load(path)
    with pytest.raises(ValueError, match="weights_only must be True"):
        pn.load(path, weights_only=False)


def test_a_header_length_that_looks_like_a_pickle_is_none(tmp_path: Path) -> None:
    """A header of 640 bytes begins with 0x80 0x02, as pickles of protocol 2 do."""
    path = tmp_path / "file"
    entry = {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    path.write_bytes(struct.pack("<Q", 640) + json.dumps(entry).encode().ljust(640) + struct.pack("<f", 2.5))
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert pn.load(path)["x"].tolist() == [2.5]


def test_other_formats_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"numpy.load"):
        pn.load(tmp_path / "array.npy")


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    pn.save({"model": {"x": pn.ones(100)}, "epoch": 1}, path)
    whole = path.read_bytes()
    for cut in (0, 4, 8, 9, 50, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError):
            pn.load(path)
    changed = whole.replace(b"epoch", b"epocH")
    assert changed != whole
    path.write_bytes(changed)
    with pytest.raises(ValueError, match=r"load: the structure in .* is damaged .*checksum"):
        pn.load(path)


def test_paths(tmp_path: Path) -> None:
    pn.save({"x": pn.ones(1)}, str(tmp_path / "file"))
    assert pn.load(str(tmp_path / "file"))["x"].item() == 1
    with pytest.raises(TypeError, match=r"save: path must be a string or os.PathLike, got BytesIO"):
        pn.save({}, io.BytesIO())  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        pn.load(tmp_path / "missing")
    with pytest.raises(OSError):
        pn.save({"x": pn.ones(1)}, tmp_path / "no" / "such" / "folder")


def test_map_location(tmp_path: Path) -> None:
    pn.save({"x": pn.ones(1)}, tmp_path / "file")
    assert str(pn.load(tmp_path / "file", map_location="cpu")["x"].device) == "cpu"
