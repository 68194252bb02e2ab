"""Layout engines: programs that turn DOT into SVG, PNG and PDF. Each runs as a process of its own, with a timeout."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "TENSORGRAD_ENGINE"
CURES = (
    "install Graphviz (apt install graphviz, brew install graphviz), or pip install graphviz-pure, or pip install pygraphviz; "
    "or save as .html, .dot or .json, which need no engine"
)
PYGRAPHVIZ = """
import sys, pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
"""


class EngineError(RuntimeError):
    """No layout engine could draw; the message names the reasons and the cures.

    Attributes:
        dot: where the DOT was saved, so that it can be drawn elsewhere, or None.
    """

    def __init__(self, message: str, dot: Path | None = None) -> None:
        super().__init__(message)
        self.dot = dot


class EngineTimeoutError(EngineError):
    """A layout engine took too long: the picture is too large for it."""


@dataclass(frozen=True)
class Engine:
    """A program that draws DOT.

    Attributes:
        name: "dot", "graphviz-pure", "pygraphviz", or a path.
        command: makes the command line for a format and its options.
        formats: those that it knows; None for all.
    """

    name: str
    command: Callable[[str, list[str]], list[str]]
    formats: tuple[str, ...] | None = None

    def draw(self, source: str, format: str, options: list[str], timeout: float) -> bytes:
        """The drawing, or an EngineError with the reason."""
        try:
            done = subprocess.run(self.command(format, options), input=source.encode(), capture_output=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise EngineTimeoutError(f"{self.name} took longer than {timeout:g} seconds") from None
        except OSError as error:
            raise EngineError(f"{self.name} can't be run: {error.strerror or error}") from error
        if done.returncode != 0 or not done.stdout:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise EngineError(f"{self.name} failed with code {done.returncode}: {said[-1]}")
        return done.stdout


def render(source: str, format: str, *, engine: str | None = None, timeout: float = 30.0, dpi: int | None = None) -> bytes:
    """DOT drawn as "svg", "png" or "pdf".

    Args:
        source: the DOT.
        format: what to draw.
        engine: "dot", "graphviz-pure", "pygraphviz", or the path of a program that takes the options of `dot`. Without it, the
            environment variable TENSORGRAD_ENGINE says which ("none" for none at all). One that is named must do it; else the
            first that can: `dot` on the PATH, graphviz-pure, pygraphviz.
        timeout: seconds for each call.
        dpi: dots per inch of a bitmap.

    Raises:
        EngineTimeoutError: an engine took too long; a smaller picture would help, another engine hardly.
        EngineError: there is none that can do it.
    """
    options = [f"-Gdpi={dpi}"] if dpi and format == "png" else []
    named = engine or os.environ.get(VARIABLE) or None
    if named and named != "none":
        return find(named).draw(source, format, options, timeout)
    reasons = []
    for candidate in available():
        if candidate.formats is not None and format not in candidate.formats:
            reasons.append(f"{candidate.name} draws no {format}")
            continue
        try:
            return candidate.draw(source, format, options, timeout)
        except EngineTimeoutError:
            raise
        except EngineError as error:
            reasons.append(str(error))
    why = "; ".join(reasons) or (f"{VARIABLE} is none" if named else "none was found")
    raise EngineError(f"no layout engine can draw this as {format} ({why}); {CURES}")


def available() -> list[Engine]:
    """The engines that are installed, in the order in which they are tried; none where TENSORGRAD_ENGINE says "none"."""
    if os.environ.get(VARIABLE) == "none":
        return []
    return [found for look in (_system_dot, _graphviz_pure, _pygraphviz) if (found := look()) is not None]


def find(name: str) -> Engine:
    """The engine of this name, or the program at this path."""
    by_name = {"dot": _system_dot, "graphviz-pure": _graphviz_pure, "pygraphviz": _pygraphviz}
    found = by_name[name]() if name in by_name else _program(name)
    if found is None:
        raise EngineError(f"the layout engine {name!r} was asked for and is not installed; {CURES}")
    return found


def _system_dot() -> Engine | None:
    path = shutil.which("dot")
    return None if path is None else Engine("dot", lambda format, options: [path, f"-T{format}", *options])


def _graphviz_pure() -> Engine | None:
    """The program in the wheel, which may lie off the PATH; the wheel's list of files says where."""
    path = shutil.which("graphviz-pure")
    if path is None:
        try:
            files = importlib.metadata.distribution("graphviz-pure").files or []
        except importlib.metadata.PackageNotFoundError:
            return None
        programs = [Path(file.locate()) for file in files if file.stem == "graphviz-pure" and file.suffix in ("", ".exe")]
        path = next((str(program.resolve()) for program in programs if program.is_file()), None)
    if path is None:
        return None
    return Engine("graphviz-pure", lambda format, options: [path, "-Kdot", f"-T{format}", *options], ("svg", "png"))


def _pygraphviz() -> Engine | None:
    if importlib.util.find_spec("pygraphviz") is None:
        return None
    return Engine("pygraphviz", lambda format, options: [sys.executable, "-c", PYGRAPHVIZ, format])


def _program(name: str) -> Engine | None:
    path = shutil.which(name)
    return None if path is None else Engine(name, lambda format, options: [path, f"-T{format}", *options])
