"""Which module may import which: the arrows between the parts, held by reading the import statements."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import tensorgrad as tg

ROOT = Path(tg.__file__).parent.parent

LEVELS = [
    {"state", "stand_in", "kernels", "graph", "config", "files", "console"},
    {"contexts", "tensor"},
    {"node"},
    {"primitive"},
    {"ops"},
    {"autodiff", "numpy_functions"},
    {"paths", "completion", "testing"},
    {"recorder"},
    {"trace", "collect"},
    {"draw", "replay"},
]
"""The parts of tensorgrad, files and packages, from the bottom up. Each imports from below, and a package from itself."""

CONVENIENCES = {("tensor", "autodiff"), ("tensor", "numpy_functions"), ("tensor", "ops")}
"""What Tensor's operators and methods name, imported at the end of its module."""

SHARED = {"tensorgrad.files"}
"""Inner modules that are for nn and the examples too."""

FROM_METHODS = {("graph", "draw")}
"""What a convenience imports when it is called."""


class Import(NamedTuple):
    """One name that a file imports, and where it stands."""

    file: Path
    line: int
    module: str  # absolute
    name: str | None  # from it; None for a plain `import module`
    late: bool  # inside a function

    @property
    def place(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}"


def imports(file: Path) -> Iterator[Import]:
    """All imports of a file that run, those for type checkers left out."""
    package = ".".join(file.relative_to(ROOT).parent.parts)

    def visit(node: ast.AST, late: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, None, late)
        if isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            for alias in node.names:
                yield Import(file, node.lineno, module, alias.name, late)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, late or isinstance(node, ast.FunctionDef))

    return visit(ast.parse(file.read_text()), late=False)


def imports_of(package: str) -> list[Import]:
    found = [i for file in sorted((ROOT / package).rglob("*.py")) for i in imports(file)]
    assert found, f"no imports in {package}: is it there?"
    return found


def part_of(dotted: str) -> str:
    """The part of tensorgrad that a module belongs to: `ops` for `tensorgrad.ops.shape`."""
    return dotted.split(".")[1]


def level(part: str) -> int:
    for number, parts in enumerate(LEVELS):
        if part in parts:
            return number
    pytest.fail(f"tensorgrad/{part} has no level yet; give it one in {Path(__file__).name}")


def inner_arrows() -> Iterator[tuple[str, str, Import]]:
    """From which part of tensorgrad to which, for each import inside the package."""
    for found in imports_of("tensorgrad"):
        dotted = ".".join(found.file.relative_to(ROOT).with_suffix("").parts)
        if dotted == "tensorgrad.__init__" or found.module.split(".")[0] != "tensorgrad":
            continue
        target = found.module if "." in found.module else f"tensorgrad.{found.name}"  # `from . import ops`
        yield part_of(dotted), part_of(target), found


def test_every_arrow_inside_tensorgrad_points_down():
    wrong = []
    for origin, target, found in inner_arrows():
        known = (origin, target) in CONVENIENCES or (found.late and (origin, target) in FROM_METHODS)
        if origin != target and level(origin) <= level(target) and not known:
            wrong.append(f"{found.place}: {origin} imports {target}")
    assert not wrong


def test_the_known_exceptions_are_needed():
    assert {(origin, target) for origin, target, _ in inner_arrows()} >= CONVENIENCES


def test_kernels_import_nothing_of_ours_but_each_other():
    outside = [
        f.place
        for f in imports_of("tensorgrad/kernels")
        if f.module.split(".")[0] in ("tensorgrad", "nn") and not f.module.startswith("tensorgrad.kernels")
    ]
    assert not outside


def test_tensorgrad_never_imports_nn():
    assert not [f.place for f in imports_of("tensorgrad") if f.module.split(".")[0] in ("nn", "examples", "tests")]


def is_public(name: str) -> bool:
    """Whether `tensorgrad.name` is for everyone: neither private nor one of its inner modules."""
    return not name.startswith("_") and hasattr(tg, name) and not isinstance(getattr(tg, name), ModuleType)


@pytest.mark.parametrize("package", ["nn", "examples"])
def test_outside_the_engine_only_public_names_of_it_are_used(package: str):
    if not (ROOT / package).exists():
        pytest.skip(f"there is no {package}")
    wrong = []
    for found in imports_of(package):
        if found.module == "tensorgrad" and found.name is None:
            continue
        if found.module == "tensorgrad" and is_public(found.name):
            continue
        if found.module.split(".")[0] == "tensorgrad" and found.module not in SHARED:
            wrong.append(f"{found.place}: {found.module}")
    for file in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            of_tg = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tg"
            if of_tg and not is_public(node.attr):
                wrong.append(f"{file.relative_to(ROOT)}:{node.lineno}: tg.{node.attr}")
    assert not wrong


def test_examples_import_public_packages_only():
    if not (ROOT / "examples").exists():
        pytest.skip("there are no examples")
    private = [
        f.place for f in imports_of("examples") if any(p.startswith("_") and p != "__future__" for p in f.module.split("."))
    ]
    assert not private


@pytest.mark.parametrize("package", ["tensorgrad", "nn"])
def test_importing_loads_nothing_heavy(package: str):
    heavy = ["matplotlib", "graphviz", "torch", "PIL", "tqdm", "pytest", "threadpoolctl", "safetensors"]
    heavy += ["http.client", "urllib.request", "ssl", "email", "concurrent.futures", "logging"]  # of the standard library
    program = f"import sys, {package}; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "[]", run.stderr
