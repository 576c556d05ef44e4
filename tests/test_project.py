"""What the project promises about itself: its documentation runs, its layers know only what lies below them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pyneuro as pn

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pyneuro"

# Who may import whom inside pyneuro, from the bottom up. A module may import its own rank and those below it.
LAYERS = (
    ("_core",),
    ("_typing",),
    ("functions", "autograd", "serialization", "gpu", "cpu"),
    ("nn", "optim"),
    ("data", "utils", "testing"),
    ("doctor", "examples"),
)


def python_blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)


def test_readme_quick_start_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = python_blocks("README.md")
    assert len(block.strip().splitlines()) <= 25
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), names)
    loss = names["loss"]
    assert isinstance(loss, pn.Tensor)
    assert loss.item() < 0.05
    assert (tmp_path / "sine.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def test_demo_smoke(device: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if device == "gpu":
        request.getfixturevalue("gpu")
    command = [sys.executable, ROOT / "examples" / "digits_lenet.py", "--smoke", "--device", device]
    done = subprocess.run([*command, "--output", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "final test accuracy" in done.stdout
    assert (tmp_path / f"digits_{device}.png").stat().st_size > 10_000
    assert (tmp_path / "digits_lenet.safetensors").exists()


def test_doctor_explains_and_agrees_with_the_machine() -> None:
    done = subprocess.run([sys.executable, "-m", "pyneuro.doctor"], capture_output=True, text=True, check=False)
    assert done.returncode == (0 if pn.gpu.is_available() else 2), done.stdout + done.stderr
    assert "CPU kernels" in done.stdout
    assert "broken" not in done.stdout


def rank(module: str) -> int | None:
    """The place in LAYERS of `pyneuro.<part>...`; None outside pyneuro, and for pyneuro itself."""
    parts = module.split(".")
    if parts[0] != "pyneuro" or len(parts) == 1:
        return None
    (found,) = (i for i, layer in enumerate(LAYERS) if parts[1] in layer)
    return found


def imports(path: Path) -> list[str]:
    """The modules imported when this one is: imports inside functions are late, and free."""
    found = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += (
                [f"pyneuro.{alias.name}" for alias in node.names if (PACKAGE / alias.name).exists()]
                if node.module == "pyneuro"
                else [node.module]
            )
    return found


@pytest.mark.parametrize(
    "path", [p for p in sorted(PACKAGE.rglob("*.py")) if p.parent != PACKAGE or p.stem != "__init__"], ids=str
)
def test_layers_import_only_downwards(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    own = rank(module)
    assert own is not None
    for imported in imports(path):
        other = rank(imported)
        assert other is None or other <= own, f"{module} imports {imported}, which lies above it"


def test_import_is_light() -> None:
    code = "import sys, pyneuro; print(*[m for m in ('wgpu', 'matplotlib', 'tqdm', 'hypothesis') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
