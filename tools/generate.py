"""Write what follows from the code: Tensor's attached methods in `_core.pyi`, and docs/ops.md.

python tools/generate.py            write
python tools/generate.py --check    fail where a file is not what would be written
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = ROOT / "pyneuro" / "functions"
STUB = ROOT / "pyneuro" / "_core.pyi"
BEGIN = "    # fmt: off - attached from pyneuro/functions; written by tools/generate.py\n"
END = "    # fmt: on - end of the generated part\n"


class Family:
    """One module of pyneuro/functions, as its source says."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
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


def decorators(function: ast.FunctionDef) -> set[str]:
    return {d.id for d in function.decorator_list if isinstance(d, ast.Name)}


def method_stubs(family: Family, taken: set[str]) -> list[str]:
    """The lines of the methods that this family attaches."""
    lines = []
    for name, definitions in family.functions():
        marks = decorators(definitions[-1])
        if not marks & {"tensor_method", "elementwise"}:
            continue
        names = [name, name + "_"] if "elementwise" in marks else [name]
        for method in names:
            if method in taken:
                continue
            taken.add(method)
            stubs = definitions[:-1] or definitions
            for stub in stubs:
                if len(stubs) > 1:
                    lines.append("    @overload\n")
                lines.append(method_stub(method, stub))
    return lines


class Builtins(ast.NodeTransformer):
    """Inside class Tensor, `float` is the method; the type is `builtins.float`."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in ("bool", "float", "int"):
            return ast.Attribute(ast.Name("builtins"), node.id)
        return node


def method_stub(name: str, function: ast.FunctionDef) -> str:
    args = function.args
    first = (args.posonlyargs or args.args)[0]
    bare = ast.arg(arg=first.arg, annotation=None)
    kept = ast.arguments(
        posonlyargs=args.posonlyargs,
        args=[bare, *args.args[1:]],
        vararg=args.vararg,
        kwonlyargs=args.kwonlyargs,
        kw_defaults=[None if d is None else ast.Constant(...) for d in args.kw_defaults],
        kwarg=args.kwarg,
        defaults=[ast.Constant(...) for _ in args.defaults],
    )
    assert function.returns is not None, f"{function.name} has no return annotation"
    arguments, returns = (ast.unparse(Builtins().visit(node)) for node in (kept, function.returns))
    return f"    def {name}({arguments}) -> {returns}: ...\n"


def rust_methods(stub: str) -> set[str]:
    """The names that class Tensor defines outside the generated part."""
    (tensor,) = (n for n in ast.parse(stub).body if isinstance(n, ast.ClassDef) and n.name == "Tensor")
    names = {n.name for n in tensor.body if isinstance(n, ast.FunctionDef)}
    return names | {n.target.id for n in tensor.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}


def new_stub(families: list[Family]) -> str:
    before, rest = STUB.read_text().split(BEGIN)
    _, after = rest.split(END)
    taken = rust_methods(before + "    ...\n" + after)
    lines = [line for family in families for line in method_stubs(family, taken)]
    return before + BEGIN + "".join(lines) + END + after


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    families = [Family(p) for p in sorted(FUNCTIONS.glob("[a-z]*.py"))]
    stale = []
    for path, text in ((STUB, new_stub(families)),):
        if path.exists() and path.read_text() == text:
            continue
        stale.append(path)
        if not check:
            path.write_text(text)
    for path in stale:
        print(f"{path.relative_to(ROOT)}: {'stale; run `make generate`' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
