"""Augmentation: random changes of images that leave their labels true. Every batch is changed anew, each image in its own way.

    change = nn.data.augment.affine(rotate=10, scale=0.1, shift=2)
    x = change(x, rng)

All changes are movements of the points at which an image is read, so several of them cost one reading.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..arguments import number
from .batching import batch_innermost

Field = tuple[np.ndarray, np.ndarray]
"""From which row and column each pixel is read: two arrays (N, H, W)."""
Move = Callable[[np.ndarray, np.ndarray, tuple[int, int], np.random.Generator], Field]
"""Moves points, rows and columns (N, H, W), of images of a size (H, W)."""


class Augmentation:
    """Moves of the pixels of a batch, done together by one bilinear reading; what comes from outside an image is 0.

    Made by `affine`, `elastic` and their sum `affine(...) + elastic(...)`.
    """

    def __init__(self, *moves: Move) -> None:
        self.moves = moves

    def __add__(self, other: Augmentation) -> Augmentation:
        return Augmentation(*self.moves, *other.moves)

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A changed copy of images (N, C, H, W) of floats, stored with the batch innermost."""
        if images.ndim != 4 or images.dtype.kind != "f":
            raise ValueError(
                f"augmentation takes images (N, C, H, W) of floats, not {images.dtype} of shape {images.shape}; "
                "convert them with astype(np.float32)"
            )
        size = images.shape[2:]
        grid = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in size), indexing="ij")
        rows, columns = (np.broadcast_to(g, (len(images), *size)) for g in grid)  # (N, H, W)
        for move in self.moves:
            rows, columns = move(rows, columns, size, rng)
        return batch_innermost(read(images, rows, columns))


def affine(*, rotate: float = 0.0, scale: float = 0.0, shear: float = 0.0, shift: float = 0.0) -> Augmentation:
    """Turn, scale, shear and shift each image about its centre by amounts drawn uniformly from both sides of none.

    Args:
        rotate: the largest angle, in degrees.
        scale: the largest change of size, as a share; 0.1 gives factors from 0.9 to 1.1.
        shear: the largest slant, as the tangent of its angle.
        shift: the largest shift in each direction, in pixels.

    >>> import numpy as np
    >>> image = np.zeros((1, 1, 5, 5), np.float32)
    >>> image[0, 0, 2, 2] = 1
    >>> bool(np.allclose(affine(rotate=90, scale=0.5)(image, np.random.default_rng(0))[0, 0, 2, 2], 1))  # the centre stays
    True
    """
    rotate, shear, shift = (number("affine", n, v) for n, v in (("rotate", rotate), ("shear", shear), ("shift", shift)))
    scale = number("affine", "scale", scale, high=0.9)

    def move(rows: np.ndarray, columns: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> Field:
        angle, factor, slant, down, right = rng.uniform(-1, 1, (5, len(rows), 1, 1)).astype(np.float32)
        angle = angle * np.float32(math.radians(rotate))
        factor = 1 / (1 + factor * np.float32(scale))
        cos, sin = np.cos(angle) * factor, np.sin(angle) * factor
        middle = (size[0] - 1) / 2, (size[1] - 1) / 2
        y, x = rows - np.float32(middle[0]), columns - np.float32(middle[1])
        x = x + slant * np.float32(shear) * y
        new_rows = cos * y - sin * x + (np.float32(middle[0]) + down * np.float32(shift))
        new_columns = sin * y + cos * x + (np.float32(middle[1]) + right * np.float32(shift))
        return new_rows, new_columns

    return Augmentation(move)


def elastic(amount: float, *, smoothness: float = 4.0) -> Augmentation:
    """Shift every point by a smooth random field, as handwriting varies.

    Simard, Steinkraus and Platt, Best practices for convolutional neural networks applied to visual document analysis, 2003.

    Args:
        amount: the standard deviation of the shifts, in pixels.
        smoothness: the standard deviation of the Gaussian that smooths the field, in pixels.
    """
    amount, smoothness = number("elastic", "amount", amount), number("elastic", "smoothness", smoothness, low=0.1)

    def move(rows: np.ndarray, columns: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> Field:
        down, across = (_smoother(n, smoothness) for n in size)
        noise = rng.standard_normal((2, len(rows), *size), np.float32)  # (2, N, H, W)
        field = down @ noise @ across.T * np.float32(amount)
        return rows + field[0], columns + field[1]

    return Augmentation(move)


def _smoother(size: int, width: float) -> np.ndarray:
    """(size, size): a Gaussian blur as a matrix, whose rows keep the variance of white noise."""
    offset = np.arange(size)[:, None] - np.arange(size)
    weights = np.exp(-0.5 * (offset / width) ** 2)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


def read(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bilinear values of images (N, C, H, W) at points (N, H', W'), counted in pixels; outside an image there is 0."""
    count, channels, height, width = images.shape
    framed = np.zeros((count, channels, height + 2, width + 2), images.dtype)  # a frame of zeros to read from
    framed[:, :, 1:-1, 1:-1] = images
    flat = framed.reshape(count, channels, -1)  # (N, C, (H + 2)(W + 2))
    y = np.clip(rows + 1, 0, height + 1).astype(images.dtype)
    x = np.clip(columns + 1, 0, width + 1).astype(images.dtype)
    top, left = np.minimum(y.astype(np.intp), height), np.minimum(x.astype(np.intp), width)
    y -= top
    x -= left
    corner = (top * (width + 2) + left).reshape(count, 1, -1)  # (N, 1, H' W')

    def at(offset: int) -> np.ndarray:
        found = np.take_along_axis(flat, np.broadcast_to(corner + offset, (count, channels, corner.shape[2])), axis=2)
        return found.reshape(count, channels, *rows.shape[1:])

    y, x = y[:, None], x[:, None]  # (N, 1, H', W')
    upper = at(0) * (1 - x) + at(1) * x
    lower = at(width + 2) * (1 - x) + at(width + 3) * x
    return upper * (1 - y) + lower * y
