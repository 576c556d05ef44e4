"""Write what follows from the code.

python tools/generate.py stubs            Tensor's attached methods, into pyneuro/_core.pyi
python tools/generate.py stubs --check    fail if that would change the file
python tools/generate.py docs             docs/ops.md: every public function, every op with its devices and gradient
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = ROOT / "pyneuro" / "functions"
FUNCTIONAL = ROOT / "pyneuro" / "nn" / "functional"
STUB = ROOT / "pyneuro" / "_core.pyi"
PAGE = ROOT / "docs" / "ops.md"
BEGIN = "    # attached from pyneuro/functions; written by tools/generate.py\n    # fmt: off\n"
END = "    # fmt: on\n"


class Family:
    """One module of pyneuro/functions, as its source says."""

    def __init__(self, path: Path) -> None:
        self.title = path.stem if path.parent == FUNCTIONS else f"nn.functional: {path.stem}"
        tree = ast.parse(path.read_text())
        self.summary = (ast.get_docstring(tree) or "").splitlines()[0]
        self.definitions: dict[str, list[ast.FunctionDef]] = {}  # with its overloads
        self.aliases: dict[str, str] = {}
        self.public: list[str] = []
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                self.definitions.setdefault(node.name, []).append(node)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    self._assignment(target, node.value)

    def _assignment(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for t, v in zip(target.elts, value.elts, strict=True):
                self._assignment(t, v)
        elif isinstance(target, ast.Name) and target.id == "__all__":
            self.public = ast.literal_eval(value)
        elif isinstance(target, ast.Name) and isinstance(value, ast.Name):
            self.aliases[target.id] = value.id

    def functions(self) -> list[tuple[str, list[ast.FunctionDef]]]:
        """Every public function with its definitions, aliases included."""
        named = ((name, self.aliases.get(name, name)) for name in self.public)
        return [(name, self.definitions[f]) for name, f in named if f in self.definitions]


def families(folder: Path = FUNCTIONS) -> list[Family]:
    return [Family(path) for path in sorted(folder.glob("[a-z]*.py"))]


# ---- stubs -----------------------------------------------------------------------------------------------------------


class Builtins(ast.NodeTransformer):
    """Inside class Tensor, `float` is the method; the type is `builtins.float`."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in ("bool", "float", "int"):
            return ast.Attribute(ast.Name("builtins"), node.id)
        return node


def method_stub(name: str, function: ast.FunctionDef) -> str:
    args = function.args
    receiver = ast.arg(arg=args.args[0].arg, annotation=None)  # its name is part of the signature at run time
    kept = ast.arguments(
        posonlyargs=[],
        args=[receiver, *args.args[1:]],
        vararg=args.vararg,
        kwonlyargs=args.kwonlyargs,
        kw_defaults=[None if d is None else ast.Constant(...) for d in args.kw_defaults],
        kwarg=args.kwarg,
        defaults=[ast.Constant(...) for _ in args.defaults],
    )
    assert function.returns is not None, f"{function.name} has no return annotation"
    arguments, returns = (ast.unparse(Builtins().visit(node)) for node in (kept, function.returns))
    return f"    def {name}({arguments}) -> {returns}: ...\n"


def method_stubs(family: Family, taken: set[str]) -> list[str]:
    """The lines of the methods that this family attaches."""
    lines = []
    for name, definitions in family.functions():
        marks = {d.id for d in definitions[-1].decorator_list if isinstance(d, ast.Name)}
        if not marks & {"tensor_method", "elementwise"}:
            continue
        overloads = definitions[:-1] or definitions
        for method in [name, name + "_"] if "elementwise" in marks else [name]:
            if method in taken:
                continue
            taken.add(method)
            for overload in overloads:
                lines += ["    @overload\n"] * (len(overloads) > 1) + [method_stub(method, overload)]
    return lines


def rust_members(stub: str) -> set[str]:
    """The names that class Tensor has without the attached ones."""
    (tensor,) = (n for n in ast.parse(stub).body if isinstance(n, ast.ClassDef) and n.name == "Tensor")
    names = {n.name for n in tensor.body if isinstance(n, ast.FunctionDef)}
    fields = (n.target for n in tensor.body if isinstance(n, ast.AnnAssign))
    return names | {target.id for target in fields if isinstance(target, ast.Name)}


def new_stub() -> str:
    before, rest = STUB.read_text().split(BEGIN)
    _, after = rest.split(END)
    taken = rust_members(before + after)
    lines = [line for family in families() for line in method_stubs(family, taken)]
    return before + BEGIN + "".join(lines) + END + after


def stubs(check: bool) -> int:
    text = new_stub()
    if STUB.read_text() == text:
        return 0
    if check:
        print(f"{STUB.relative_to(ROOT)} is stale; run `make generate`")
        return 1
    STUB.write_text(text)
    return 0


# ---- docs ------------------------------------------------------------------------------------------------------------


def ops_page() -> str:
    """Every public function by family, then every op of the Rust list."""
    from pyneuro import _core

    lines = ["# Functions and ops", "", "Written by `make docs`.", ""]
    for family in families() + families(FUNCTIONAL):
        lines += [f"## {family.title}", "", family.summary, "", "| function | |", "|---|---|"]
        for name, definitions in family.functions():
            if name in family.aliases:
                summary = f"another name of `{family.aliases[name]}`"
            else:
                summary = (ast.get_docstring(definitions[-1]) or "").splitlines()[0]
            lines.append(f"| `{name}` | {escaped(summary)} |")
        lines.append("")
    lines += ["## The list of ops", "", "What the functions and layers are made of.", ""]
    lines += ["| op | CPU | GPU | gradient |", "|---|---|---|---|"]
    for op in _core.op_list():
        gpu = op["gpu"] or f"no: {op['no_gpu']}"
        gradient = "yes" if op["differentiable"] else f"no: {op['no_gradient']}"
        lines.append(f"| `{op['name']}` | {op['cpu']} | {escaped(gpu)} | {escaped(gradient)} |")
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("stubs", "docs"))
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    args = parser.parse_args()
    if args.what == "stubs":
        return stubs(args.check)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(ops_page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
