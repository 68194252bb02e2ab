"""Cutting a set of examples into batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from ..arguments import Rng, generator, whole

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""A random change of a batch of images, as those of `nn.data.augment` are."""


class Batches:
    """The batches of one epoch after the other: each `for` over it is an epoch, in a new order if it shuffles.

    Made by `batches`. `len()` is the number of batches in an epoch.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        *,
        shuffle: bool,
        replace: bool,
        augment: Change | None,
        rng: np.random.Generator,
    ) -> None:
        self.images = images
        self.labels = labels
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.replace = replace
        self.augment = augment
        self.rng = rng

    def __len__(self) -> int:
        return math.ceil(len(self.images) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        count = len(self.images)
        order = self.rng.permutation(count) if self.shuffle and not self.replace else np.arange(count)
        for start in range(0, count, self.batch_size):
            chosen = order[start : start + self.batch_size]
            if self.replace:
                chosen = self.rng.integers(count, size=self.batch_size)
            images = self.images[chosen] if self.augment is None else self.augment(self.images[chosen], self.rng)
            yield batch_innermost(images), self.labels[chosen]

    def __repr__(self) -> str:
        how = "drawn with replacement" if self.replace else "shuffled" if self.shuffle else "in order"
        return f"<{len(self)} batches of {self.batch_size} from {len(self.images)} examples, {how}>"


def batches(
    images: ArrayLike,
    labels: ArrayLike,
    batch_size: int,
    *,
    shuffle: bool,
    replace: bool = False,
    augment: Change | None = None,
    rng: Rng = None,
) -> Batches:
    """Cut examples into batches; iterate over the result once for each epoch.

    Images keep their dtype, so convert a data set to float32 once, before. In each batch they are laid out with
    the batch innermost in memory, as the convolution kernels like it, under the shape they had.

    Args:
        images: (N, ...), one example for each index of the first axis; any array will do.
        labels: (N,) or (N, ...).
        batch_size: the examples in a batch. The last batch of an epoch without replacement has those that are left.
        shuffle: whether each epoch has a new random order; else it has the order given.
        replace: whether each batch is drawn from all examples with replacement, ceil(N / batch_size) times an epoch.
        augment: a random change of the images of each batch, such as `nn.data.augment.affine(...)`.
        rng: the generator of the random order and changes, or a seed for one; None makes a new one without a seed.

    Returns:
        An iterable of (images, labels), with a length.

    Raises:
        ValueError: no examples, not as many labels as images, a batch size below 1, `replace` without `shuffle`, or
            an `rng` that is none.

    >>> import numpy as np
    >>> digits, labels = np.zeros((5, 1, 28, 28), np.float32), np.arange(5)
    >>> for x, t in batches(digits, labels, 2, shuffle=True, rng=0):
    ...     print(x.shape, t)
    (2, 1, 28, 28) [2 4]
    (2, 1, 28, 28) [3 0]
    (1, 1, 28, 28) [1]
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if not images.ndim or not labels.ndim or len(images) != len(labels):
        raise ValueError(
            f"batches: images of shape {images.shape} and labels of shape {labels.shape}; "
            "their first axis counts the examples and must have the same size"
        )
    if not len(images):
        raise ValueError("batches: there are no examples; images and labels are empty")
    batch_size = whole("batches", "batch_size", batch_size)
    if replace and not shuffle:
        raise ValueError("batches: drawing with replacement is random; pass shuffle=True with replace=True")
    rng = generator("batches", rng)
    return Batches(images, labels, batch_size, shuffle=bool(shuffle), replace=bool(replace), augment=augment, rng=rng)


def batch_innermost(images: np.ndarray) -> np.ndarray:
    """The array stored with its first axis innermost in memory; one that is already so is returned itself.

    >>> import numpy as np
    >>> batch_innermost(np.zeros((200, 3, 32, 32), np.float32)).strides
    (4, 819200, 25600, 800)
    """
    count = len(images)
    return np.ascontiguousarray(images.reshape(count, -1).T).T.reshape(images.shape)
