"""What the project says of itself: its metadata, its README, and what a wheel must hold."""

import ast
import configparser
import re
import sys
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

import pytest

import tensorgrad as tg

ROOT = Path(__file__).parent.parent
PACKAGES = ("tensorgrad", "nn")
IGNORED = {"__pycache__"}
IMPORTED_AS = {"pillow": "PIL"}


@pytest.fixture(scope="module")
def setup():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    return settings


def lines(text):
    return [line for line in text.splitlines() if line]


def requirements(text):
    """The names in a list of requirements, as they are imported."""
    names = {re.match(r"[\w-]+", line)[0].replace("-", "_") for line in lines(text)}
    return {IMPORTED_AS.get(name, name) for name in names}


def imported_by(folder):
    """Top-level packages that the Python files of a folder import, but for Python's own."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names)


@pytest.mark.parametrize("folder", [*PACKAGES, "examples"])
def test_what_is_imported_is_installed(setup, folder):
    needed = imported_by(ROOT / folder) - set(PACKAGES)
    assert "numpy" in needed
    assert needed <= requirements(setup["options"]["install_requires"])


def test_what_tests_import_is_installed_or_optional(setup):
    extras = setup["options.extras_require"]
    installed = requirements(setup["options"]["install_requires"]) | requirements("\n".join(extras.values()))
    beside = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()} | {
        p.stem for p in (ROOT / "tests").rglob("*.py")
    }
    assert imported_by(ROOT / "tests") - beside - set(PACKAGES) <= installed


def test_every_file_of_the_packages_goes_into_the_wheel(setup):
    data = {package: lines(patterns) for package, patterns in setup["options.package_data"].items()}
    for package in PACKAGES:
        folders = [ROOT / package, *(path for path in (ROOT / package).rglob("*") if path.is_dir())]
        for folder in folders:
            if IGNORED & set(folder.parts):
                continue
            if any(folder.glob("*.py")):
                assert (folder / "__init__.py").is_file(), f"{folder} is left out of the wheel, as it has no __init__.py"
            for path in folder.iterdir():
                if path.is_file() and path.suffix != ".py":
                    assert is_packaged(path, data), (
                        f"{path} is left out of the wheel, as [options.package_data] does not name it"
                    )


def is_packaged(path, data):
    """Whether a pattern of the nearest package around a file, or of one further out, names it."""
    for folder in path.relative_to(ROOT).parents:
        package, inside = ".".join(folder.parts), str(path.relative_to(ROOT / folder))
        if any(fnmatch(inside, pattern) for pattern in data.get(package, ())):
            return True
    return False


def test_packages_are_typed():
    for package in PACKAGES:
        assert (ROOT / package / "py.typed").is_file()


def test_versions_agree(setup):
    version = setup["metadata"]["version"]
    assert tg.__version__ == version
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)[1] == version
    assert re.search(r"^version: (\S+)", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)[1] == version
    try:
        assert metadata.version("tensorgrad") == version
    except metadata.PackageNotFoundError:
        pytest.skip("tensorgrad runs from its folder, not installed")


def test_the_readme_begins_with_the_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    train, test = re.findall(r"^```sh\n(.*?)^```$", readme, re.M | re.S)[:2]
    for command in (train, test):
        assert command.count("\n") == 1
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert train.endswith(".venv/bin/python examples/train_mnist.py\n")
    assert ".venv/bin/python -m pytest" in test


def test_files_that_the_readme_links_to_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", readme) if "://" not in link]
    assert links
    for link in links:
        assert (ROOT / link).is_file(), link
