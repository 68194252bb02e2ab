"""Make the digits that ship with the package, from the full files of MNIST.

python -m nn.data.make_digits --root FOLDER
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

from tensorgrad.files import replacing

from . import idx
from .mnist import FULL_SHA256, SHIPPED_DIGITS, SHIPPED_SHA256, SPLITS, find_file, refuse_other_bytes

KEPT = {"train": 3000, "test": 500}


def make_digits(root: Path, output: Path = SHIPPED_DIGITS) -> None:
    """Write the first digits of the full files in `root` to gzipped files of the same names in `output`.

    Both what is read and what is written is held against its checksum.

    Raises:
        ValueError: a file is not the one of MNIST.
        FileNotFoundError: a file is missing.
    """
    for split, names in SPLITS.items():
        for name, axes in zip(names, (3, 1), strict=True):
            path = find_file(root, name)
            full = idx.read_bytes(path)
            refuse_other_bytes(full, FULL_SHA256[name], path)
            kept = idx.encode(idx.decode(full, axes, path)[: KEPT[split]])
            refuse_other_bytes(kept, SHIPPED_SHA256[name], output / name)
            with replacing(output / f"{name}.gz") as new:
                new.write_bytes(gzip.compress(kept, mtime=0))


def main() -> None:
    """Read the command line and make the digits."""
    parser = argparse.ArgumentParser(
        prog="python -m nn.data.make_digits", description="Make the digits that ship with the package."
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of the four full files of MNIST, gzipped or not")
    parser.add_argument("--output", type=Path, default=SHIPPED_DIGITS, help="folder to write to (default: %(default)s)")
    flags = parser.parse_args()
    make_digits(flags.root, flags.output)
    print(f"Wrote the first {KEPT['train']:,} training and {KEPT['test']} test digits to {flags.output}.")


if __name__ == "__main__":
    main()
