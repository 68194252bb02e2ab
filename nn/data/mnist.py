"""MNIST: 70,000 handwritten digits of 28 x 28 grey pixels (LeCun, Cortes, Burges 1998).

The first 3,000 training and 500 test digits ship with the package, as idx files of the same names
as the full ones; `nn.data.make_digits` made them.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from . import idx

SHIPPED_DIGITS = Path(__file__).with_name("digits")
"""The folder of the shipped digits, a `root` for `load_mnist` like any other."""

SPLITS = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
"""The files of images and labels of each split."""

FULL_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Checksums of the full files, unpacked."""

SHIPPED_SHA256 = {
    "train-images-idx3-ubyte": "fc10080e92e48998cf561522ec74cfcd9fdc1d3eb6d815e4b8d6392c71460463",
    "train-labels-idx1-ubyte": "fb68983ef4dddd9fd08a65eeffd7110e567eb77e5ef20f1b57f69a7269e7d425",
    "t10k-images-idx3-ubyte": "de0a55d8eb2a23fce4f596c5234b08b9c8ee685583a2b0e52f3a78eca48f9d89",
    "t10k-labels-idx1-ubyte": "60e902e82445d902e245e1b039469f36936d63cb28e81527a7bbba247c240af3",
}
"""Checksums of the shipped files, unpacked."""


def load_mnist(split: str, *, root: str | os.PathLike[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Load MNIST's images and labels.

    Args:
        split: "train" or "test".
        root: a folder with the four idx files, gzipped or not. Without it the environment variable TENSORGRAD_MNIST names
            the folder; without that too, these are the shipped digits: the first 3,000 for training and 500 for testing.

    Returns:
        images: uint8 (N, 1, 28, 28), 0 for paper and 255 for ink.
        labels: int64 (N,), from 0 to 9.

    Raises:
        ValueError: an unknown split; or a file that is truncated, corrupt, of another kind, or at odds with its partner.
        FileNotFoundError: a file is missing.

    >>> images, labels = load_mnist("train")
    >>> images.shape[1:], images.dtype, labels[:5]
    ((1, 28, 28), dtype('uint8'), array([5, 0, 4, 1, 9]))
    """
    if split not in SPLITS:
        raise ValueError(f"load_mnist: the split must be 'train' or 'test', not {split!r}")
    folder = Path(root or os.environ.get("TENSORGRAD_MNIST") or SHIPPED_DIGITS).expanduser()
    image_path, label_path = (find_file(folder, name) for name in SPLITS[split])
    images = _decoded(image_path, axes=3)
    labels = _decoded(label_path, axes=1)
    if images.shape[1:] != (28, 28):
        raise ValueError(f"{image_path}: the images are {images.shape[1]} x {images.shape[2]} pixels; MNIST's are 28 x 28")
    if len(images) != len(labels):
        raise ValueError(
            f"{image_path} holds {len(images):,} images and {label_path.name} {len(labels):,} labels; "
            "they must come from the same set"
        )
    if labels.size and labels.max() > 9:
        raise ValueError(f"{label_path}: holds the label {labels.max()}; digits have the labels 0 to 9")
    return images.reshape(-1, 1, 28, 28).copy(), labels.astype(np.int64)  # a copy, as what was read cannot be written to


def find_file(folder: Path, name: str) -> Path:
    """The file of that name in a folder, or its gzipped form."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{folder} holds neither {name} nor {name}.gz; nn.data.download_mnist({str(folder)!r}) fetches the four files of MNIST"
    )


def refuse_other_bytes(contents: bytes, expected: str, source: object) -> None:
    """Raise a ValueError unless the contents have the SHA-256 checksum expected."""
    found = hashlib.sha256(contents).hexdigest()
    if found != expected:
        raise ValueError(f"{source}: corrupt, or another data set; its SHA-256 checksum is {found}, and must be {expected}")


def _decoded(path: Path, *, axes: int) -> np.ndarray:
    contents = idx.read_bytes(path)
    if path.parent == SHIPPED_DIGITS:
        refuse_other_bytes(contents, SHIPPED_SHA256[path.stem], path)
    return idx.decode(contents, axes, path)
