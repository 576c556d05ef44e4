"""What the project promises about itself: its documentation, its demo and its doctor run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import pyneuro as pn

ROOT = Path(__file__).resolve().parent.parent


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
