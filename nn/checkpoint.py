"""Saving and loading weights, in the safetensors format that other frameworks read too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from .files import replacing


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
    from safetensors.numpy import save_file

    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"save_weights: {target} is a folder; name a file in it")
    # safetensors writes the memory of arrays as it lies, so it must lie in C order
    arrays = {name: np.asarray(array, order="C") for name, array in model.state_dict().items()}
    with replacing(target) as new:
        try:
            save_file(arrays, new)
        except Exception as error:
            raise OSError(f"save_weights: cannot write {target}: {error}") from error


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
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"load_weights: there is no file {source}")
    try:
        state = load_file(source)
    except (SafetensorError, KeyError, TypeError) as error:  # KeyError: of a dtype that NumPy lacks, such as bfloat16
        raise ValueError(
            f"load_weights: {source} is no safetensors file that NumPy can read, or is damaged ({error!r})"
        ) from error
    try:
        model.load_state_dict(state)
    except ValueError as error:
        raise ValueError(f"load_weights: {source} does not fit.\n{error}") from error
