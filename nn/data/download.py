"""Fetching MNIST from its public mirrors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tensorgrad.files import replacing

from . import idx
from .mnist import FULL_SHA256, find_file, refuse_other_bytes

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
"""Folders that hold the four files, gzipped; the first that answers with the right bytes is taken."""

MOST_BYTES = 2**26
"""No file is as large as this: a mirror that sends more is given up."""


def download_mnist(
    root: str | os.PathLike[str], *, mirrors: Sequence[str] = MIRRORS, timeout: float = 20.0, progress: bool = True
) -> Path:
    """Fetch the four full files of MNIST, 11 MB, into a folder; those already there and whole are kept.

    Each file is held against its checksum before it is written, and is then written whole or not at all.

    Args:
        root: the folder, made if it is missing; then pass it to `load_mnist`.
        mirrors: addresses of folders to fetch from, tried in this order for each file.
        timeout: seconds to wait for a mirror to answer, or to send more.
        progress: whether to show a progress bar, on a terminal.

    Returns:
        The folder.

    Raises:
        OSError: no mirror gave a file. The message says what was wrong with each.
    """
    root = Path(root).expanduser()
    for name, checksum in FULL_SHA256.items():
        try:
            target = find_file(root, name)
            refuse_other_bytes(idx.read_bytes(target), checksum, target)
        except FileNotFoundError:
            target = root / f"{name}.gz"
        except ValueError:
            pass  # what is there is replaced
        else:
            continue
        packed = _fetch(name, checksum, mirrors, timeout, progress)
        with replacing(target) as new:
            new.write_bytes(packed if target.suffix == ".gz" else idx.unpacked(packed, name))
    return root


def _fetch(name: str, checksum: str, mirrors: Sequence[str], timeout: float, progress: bool) -> bytes:
    """The gzipped file from the first mirror that gives the right bytes."""
    from http.client import HTTPException  # here, so that whoever downloads nothing waits for no import

    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{name}.gz"
        try:
            packed = _received(url, name, timeout, progress)
            refuse_other_bytes(idx.unpacked(packed, url), checksum, url)
            return packed
        except (OSError, HTTPException, ValueError) as error:
            failures.append(f"  {url}: {error or type(error).__name__}")
    tried = "\n".join(failures) or "  (no mirrors were given)"
    raise OSError(
        f"download_mnist: no mirror gave {name}:\n{tried}\n"
        "Try again later, or put the four files into the folder by other means; they are in many places."
    )


def _received(url: str, name: str, timeout: float, progress: bool) -> bytes:
    from urllib.request import urlopen

    from tqdm import tqdm

    packed = bytearray()
    with urlopen(url, timeout=timeout) as response:
        length = response.headers.get("Content-Length")
        bar = tqdm(
            total=int(length) if length else None, desc=name, unit="B", unit_scale=True, disable=None if progress else True
        )
        with bar:
            while piece := response.read(2**16):
                packed += piece
                bar.update(len(piece))
                if len(packed) > MOST_BYTES:
                    raise ValueError(f"sends more than {MOST_BYTES:,} bytes; this is no file of MNIST")
    return bytes(packed)
