"""Completeness: no op or public function without samples, reference, docstring and declarations; who imports whom."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opinfo import OPS, OpInfo
from opinfo.harness import draws, function

import pyneuro as pn

PACKAGE = Path(pn.__file__).parent
ROOT = PACKAGE.parent
RUST: dict[str, dict[str, Any]] = {op["name"]: op for op in pn._core.op_list()}
BY_NAME: dict[str, list[OpInfo]] = {}
for _info in OPS:
    for _name in (_info.name, *_info.covers):
        BY_NAME.setdefault(_name, []).append(_info)

# Public functions without an entry of their own, each with the test that runs it instead.
ELSEWHERE: dict[str, str] = {
    "manual_seed": "test_random.py::test_global_generator",
    "normal": "test_random.py::test_normal",
    "randint_like": "test_random.py::test_randint_like",
    "multinomial": "test_random.py::test_multinomial",
    "dropout1d": "test_random.py::test_dropout_of_channels",
    "dropout2d": "test_random.py::test_dropout_of_channels",
    "tensor": "test_creation.py::test_tensor_of",
    "as_tensor": "test_creation.py::test_as_tensor_shares",
    "asarray": "test_creation.py::test_as_tensor_shares",
    "uniform_": "test_random.py::test_in_place",
    "normal_": "test_random.py::test_in_place",
    "bernoulli_": "test_random.py::test_in_place",
    "random_": "test_random.py::test_in_place",
    "type_as": "test_creation.py::test_type_as",
    "broadcast_shapes": "test_creation.py::test_broadcast_shapes",
}


def public_functions() -> dict[str, Any]:
    """`pn.*` and `pn.nn.functional.*`: every function that users can call, aliases folded."""
    found: dict[str, Any] = {}
    for family in sorted((PACKAGE / "functions").glob("[a-z]*.py")):
        module = importlib.import_module(f"pyneuro.functions.{family.stem}")
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isfunction(value):
                found.setdefault(value.__name__, value)
    functional = pn.nn.functional
    for name in functional.__all__:
        value = getattr(functional, name)
        if inspect.isfunction(value):
            found.setdefault(value.__name__, value)
    return found


FUNCTIONS = public_functions()


# Ops of the Rust list that change their arguments and have no result to sample, with the test of each.
STEPS: dict[str, str] = {
    "sgd": "optim/test_optimizers.py",
    "adam": "optim/test_optimizers.py",
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_are_tested(name: str) -> None:
    assert name in RUST
    assert name in (ROOT / "tests" / STEPS[name]).read_text().lower()


@pytest.mark.parametrize("name", [n for n in RUST if n not in STEPS])
def test_op_has_samples(name: str) -> None:
    """Every op of the Rust list has an entry, and the entry makes samples and has a reference."""
    assert name in BY_NAME, f"add an OpInfo for {name!r} to tests/opinfo (or name it in the `covers` of one)"
    for info in BY_NAME[name]:
        assert next(draws(info, info.dtypes[0]), None) is not None, "no samples"
        assert info.ref is not None or info.check is not None, "no NumPy reference"


@pytest.mark.parametrize("name", [n for n in RUST if n in BY_NAME])
def test_declarations_agree(name: str) -> None:
    """The entry expects a gradient and a GPU form where the op declares one, and only there."""
    op, infos = RUST[name], [i for i in BY_NAME[name] if i.name == name]
    for info in infos:
        assert op["differentiable"] == (info.grad > 0), op["no_gradient"]
        assert (op["gpu"] is not None) == (info.gpu is None), op["no_gpu"]


@pytest.mark.parametrize("name", RUST)
def test_nothing_is_silent(name: str) -> None:
    """What an op lacks is declared with a reason."""
    op = RUST[name]
    assert op["differentiable"] or op["no_gradient"].strip(), "no gradient and no reason"
    assert op["gpu"] is not None or op["no_gpu"].strip(), "no GPU form and no reason"
    for side in ("cpu", "gpu"):
        assert op[side] != "reference" or op["reference"], f"{side} says reference, and there is none"


def test_names_are_unique() -> None:
    names = [op["name"] for op in pn._core.op_list()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_has_samples(name: str) -> None:
    assert name in BY_NAME or name in ELSEWHERE, f"add an OpInfo for {name!r} to tests/opinfo"


@pytest.mark.parametrize("name", ELSEWHERE)
def test_exceptions_are_needed_and_true(name: str) -> None:
    assert name in FUNCTIONS
    assert name not in BY_NAME
    file, _, test = ELSEWHERE[name].partition("::")
    text = (ROOT / "tests" / file).read_text()
    assert f"def {test}(" in text
    assert name in text


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_documented(name: str) -> None:
    f = FUNCTIONS[name]
    assert f.__doc__, "no docstring"
    for parameter in inspect.signature(f).parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, f"{parameter.name} has no annotation"
    assert inspect.signature(f).return_annotation is not inspect.Signature.empty, "no return annotation"


@pytest.mark.parametrize("info", [pytest.param(i, id=i.name) for i in OPS if i.docs])
def test_op_is_public(info: OpInfo) -> None:
    found = function(info)
    if not callable(info.fn):
        assert found.__doc__, "no docstring"


def test_docs_page_names_every_op() -> None:
    """docs/ops.md is made from the code; the page has a line for every function and op."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "tools" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    page = generate.ops_page()
    missing = [name for name in (*RUST, *FUNCTIONS) if f"| `{name}` |" not in page]
    functional = {n for n in missing if hasattr(pn.nn.functional, n)}
    assert not set(missing) - functional


# --- layers --------------------------------------------------------------------------------------

# Who may know whom: a module imports from its own row and from rows above it.
LAYERS = (
    ("_core", "_typing", "_size", "_repr"),
    ("functions", "cpu", "gpu", "autograd", "serialization"),
    ("nn.functional",),
    ("nn", "optim"),
    ("data", "utils"),
    ("testing", "doctor", "__main__"),
)


def rank(module: str) -> int:
    """The row of `pyneuro.<module>`; the longest prefix counts."""
    for depth in range(len(module.split(".")), 0, -1):
        prefix = ".".join(module.split(".")[:depth])
        for i, row in enumerate(LAYERS):
            if prefix in row:
                return i
    raise AssertionError(f"pyneuro.{module} has no layer: add it to LAYERS in tests/test_meta.py")


def imports(path: Path) -> Iterator[str]:
    """Modules of pyneuro that a file imports, relative to the package.

    Annotations do not count, nor does a module's `__getattr__`: it offers a name and knows nothing about it.
    """
    here = ["pyneuro", *path.relative_to(PACKAGE).with_suffix("").parts]
    tree = ast.parse(path.read_text())
    left_out = {
        id(inner)
        for node in ast.walk(tree)
        if (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        or (isinstance(node, ast.FunctionDef) and node.name == "__getattr__")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = here[: len(here) - node.level]
                base = ".".join([*package, base]).rstrip(".")
            names = (
                [base]
                if (PACKAGE.parent / Path(*base.split("."))).with_suffix(".py").exists()
                else [f"{base}.{a.name}" for a in node.names]
            )
        else:
            continue
        yield from (n.removeprefix("pyneuro.") for n in names if n == "pyneuro" or n.startswith("pyneuro."))


SOURCES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", [pytest.param(p, id=str(p.relative_to(PACKAGE))) for p in SOURCES])
def test_layering(path: Path) -> None:
    module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
    for imported in imports(path):
        if imported == "pyneuro":  # the package as a whole: only for what stands on top of it
            assert rank(module) == len(LAYERS) - 1, f"{module} imports all of pyneuro"
        else:
            assert rank(imported) <= rank(module), f"{module} imports {imported}, which stands above it"


def test_layering_can_fail() -> None:
    """The check sees through every way of writing an import."""
    assert rank("nn.functional.losses") == 2
    assert rank("nn.linear") == 3
    with pytest.raises(AssertionError, match="no layer"):
        rank("nonsense")
    assert "optim" not in set(imports(PACKAGE / "nn" / "linear.py"))
    assert any(name.startswith("_core") for name in imports(PACKAGE / "functions" / "elementwise.py"))


def test_gpu_names_no_op() -> None:
    """`pyneuro.gpu` executes commands; which op a command belongs to is none of its business."""
    names = {n for n in RUST if len(n) > 4 and n not in ("alias", "clone", "slice", "empty", "index")}
    for path in (PACKAGE / "gpu").glob("*.py"):
        words = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not words & names, path.name


@pytest.mark.parametrize("module", ["wgpu", "matplotlib", "tqdm", "PIL", "torch", "asyncio", "multiprocessing"])
def test_import_is_light(module: str) -> None:
    code = (
        f"import sys, numpy; before = set(sys.modules); import pyneuro; print({module!r} in set(sys.modules) - before)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False", f"import pyneuro imports {module}"


def test_tolerances_are_tight() -> None:
    """One table; nothing looser than 1e-2, and every exception in an OpInfo has a reason."""
    from pyneuro.testing import TOLERANCES

    assert all(rtol <= 1e-2 and atol <= 1e-5 for rtol, atol in TOLERANCES.values())
    for info in OPS:
        if info.slack is not None:
            factor, reason = info.slack
            assert 1 < factor <= 10
            assert len(reason) > 10
