"""Saving and loading weights, and whole trainings, in the safetensors format that other frameworks read too."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tensorgrad.files import replacing


def save_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Write the state of a module (or of an optimizer) to a safetensors file.

    The file appears under its name only when it is complete: whatever happens before that, an older file stays
    as it was. A missing folder is made.

    Args:
        model: anything with a `state_dict()` of arrays.
        path: the file; `.safetensors` is its usual ending. An existing one is replaced.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    _write(path, model.state_dict(), None, "save_weights")


def load_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Give a module (or an optimizer) the state in a safetensors file. All names and shapes must fit.

    Args:
        model: anything with `load_state_dict`.
        path: the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no safetensors file; or its names or shapes differ from the model's, which
            the message lists. The model was not changed.
    """
    state, _ = _read(path, "load_weights")
    try:
        model.load_state_dict(state)
    except ValueError as error:
        raise ValueError(f"load_weights: {path} does not fit.\n{error}") from error


def save_checkpoint(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Write arrays, and what else there is to say about a training as plain data, to one safetensors file, whole or not at all.

    Args:
        path: the file.
        arrays: by name; 0-d ones too.
        about: what JSON can hold. Python's floats and whole numbers come back as they were.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    _write(path, arrays, {"about": json.dumps(about)}, "save_checkpoint")


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save_checkpoint` wrote: the arrays, and the plain data about them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or no checkpoint.

    >>> save_checkpoint("a.safetensors", {"w": np.ones(2)}, {"epoch": 3})
    >>> load_checkpoint("a.safetensors")
    ({'w': array([1., 1.])}, {'epoch': 3})
    """
    arrays, metadata = _read(path, "load_checkpoint")
    try:
        return arrays, json.loads(metadata["about"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"load_checkpoint: {path} holds weights, but no training to go on with") from error


def _write(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], about: dict[str, str] | None, what: str) -> None:
    from safetensors.numpy import save_file

    target = Path(path).expanduser()
    if target.is_dir():
        raise IsADirectoryError(f"{what}: {target} is a folder; name a file in it")
    # safetensors writes the memory of arrays as it lies, so it must lie in C order
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    with replacing(target) as new:
        try:
            save_file(ordered, new, metadata=about)
        except Exception as error:
            raise OSError(f"{what}: cannot write {target}: {error}") from error


def _read(path: str | os.PathLike[str], what: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays in a file, and its metadata."""
    from safetensors import SafetensorError, safe_open

    source = Path(path).expanduser()
    if not source.is_file():
        raise FileNotFoundError(f"{what}: there is no file {source}")
    try:
        with safe_open(source, framework="numpy") as file:
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 (no mapping)
            lacking = [f"{name} in {kind}" for name, kind in kinds.items() if kind not in READABLE]
            if lacking:
                raise ValueError(
                    f"{what}: {source} holds {', '.join(lacking[:5])}{', ...' * (len(lacking) > 5)}, which NumPy has no "
                    "numbers for; convert it to F32 or BF16 with the program that wrote it"
                )
            arrays = {name: None if kind == "BF16" else file.get_tensor(name) for name, kind in kinds.items()}
            metadata = file.metadata() or {}
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"{what}: {source} is no safetensors file that NumPy can read, or is damaged ({error!r})") from error
    if "BF16" in kinds.values():
        arrays |= _bfloat16(source, [name for name, kind in kinds.items() if kind == "BF16"])
    return arrays, metadata


READABLE = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"}
"""The dtypes of safetensors that NumPy has, and bfloat16, whose every number is a float32."""


def _bfloat16(source: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Arrays in bfloat16 as float32, exactly: the upper half of its bits. The file has been found to be sound.

    The format: a header's length, the header in JSON, and the bytes that it gives the places of.
    """
    with open(source, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        arrays = {}
        for name in names:
            begin, end = header[name]["data_offsets"]
            file.seek(8 + length + begin)
            bits = np.frombuffer(file.read(end - begin), "<u2").astype(np.uint32) << 16
            arrays[name] = bits.view(np.float32).reshape(header[name]["shape"])
    return arrays
