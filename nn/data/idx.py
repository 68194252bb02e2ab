"""The idx format of the MNIST files: a magic number, the size of each axis, and the bytes.

    00 00 08 03 | 00 00 ea 60 | 00 00 00 1c | 00 00 00 1c | pixels ...      60000 x 28 x 28 bytes

The magic number says the type of the elements (08 is an unsigned byte, the only one MNIST uses) and the
number of axes; everything is big-endian.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

UNSIGNED_BYTE = 0x08
GZIP_MAGIC = b"\x1f\x8b"


def read_bytes(path: Path) -> bytes:
    """The contents of a file, unpacked if it is gzipped, whatever it is called."""
    return unpacked(path.read_bytes(), path)


def unpacked(contents: bytes, source: object) -> bytes:
    """The contents themselves, or what is packed in them if they are gzipped.

    Raises:
        ValueError: the gzipped data is truncated or corrupt.
    """
    if not contents.startswith(GZIP_MAGIC):
        return contents
    try:
        return gzip.decompress(contents)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{source}: the gzipped data is truncated or corrupt ({error}); fetch the file again") from error


def decode(contents: bytes, axes: int, source: object) -> np.ndarray:
    """The array in the contents of an idx file of unsigned bytes.

    Args:
        contents: of the file, unpacked.
        axes: how many the array must have: 3 in a file of images, 1 in a file of labels.
        source: what errors call the file.

    Raises:
        ValueError: another magic number, or fewer or more bytes than the header announces.
    """
    expected = struct.pack(">HBB", 0, UNSIGNED_BYTE, axes)
    if contents[:4] != expected:
        kind = "images" if axes == 3 else "labels"
        raise ValueError(
            f"{source}: begins with {contents[:4].hex(' ') or 'nothing'}, where an idx file of {kind} has {expected.hex(' ')}; "
            "it is another kind of file, or corrupt"
        )
    start = 4 + 4 * axes
    if len(contents) < start:
        raise ValueError(f"{source}: truncated within the header, after {len(contents)} of {start} bytes; fetch the file again")
    shape = struct.unpack(f">{axes}I", contents[4:start])
    announced, there = math.prod(shape), len(contents) - start
    if announced != there:
        state = "truncated" if there < announced else "too long"
        sizes = " x ".join(map(str, shape))
        raise ValueError(
            f"{source}: {state}; the header announces {sizes} = {announced:,} bytes and it holds {there:,}; fetch it again"
        )
    return np.frombuffer(contents, np.uint8, offset=start).reshape(shape)


def encode(array: np.ndarray) -> bytes:
    """The contents of an idx file for an array of unsigned bytes.

    >>> encode(np.array([7, 2, 1], np.uint8)).hex(" ")
    '00 00 08 01 00 00 00 03 07 02 01'
    """
    if array.dtype != np.uint8:
        raise TypeError(f"idx: the array must be of uint8, not {array.dtype}")
    return struct.pack(f">HBB{array.ndim}I", 0, UNSIGNED_BYTE, array.ndim, *array.shape) + array.tobytes()
