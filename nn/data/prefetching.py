"""Preparing batches in a thread of their own, while the step before runs."""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..arguments import whole

END = object()
"""Stands behind the last batch."""


class Prefetch:
    """Batches that a thread prepares ahead of the loop that takes them; made by `prefetch`."""

    def __init__(self, batches: Iterable[Any], ahead: int) -> None:
        self.batches = batches
        self.ahead = ahead

    @property
    def rng(self) -> np.random.Generator | None:
        """The generator of the batches, which during an epoch is the thread's alone."""
        return getattr(self.batches, "rng", None)

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        from concurrent.futures import ThreadPoolExecutor  # here, as it takes a while

        settings = contextvars.copy_context()  # such as NumPy's, of floating-point errors
        with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
            source = iter(self.batches)
            ready = deque(thread.submit(settings.run, next, source, END) for _ in range(self.ahead))
            while (batch := ready.popleft().result()) is not END:
                ready.append(thread.submit(settings.run, next, source, END))
                yield batch

    def __repr__(self) -> str:
        return f"<{self.batches!r}, prepared {self.ahead} ahead>"


def prefetch(batches: Iterable[Any], ahead: int = 2) -> Prefetch:
    """The same batches, prepared in a thread while the loop works on those before: shuffled, gathered, augmented.

    The batches come in their order, and draw from their generator what they would draw otherwise. That generator
    must be nobody else's while an epoch runs, not that of a model's dropout for instance. An error in the
    thread is raised in the loop, in place of the batch. A loop that is left early waits for the batches begun:
    after k batches, k + `ahead` are drawn.

    Args:
        batches: any iterable, such as `nn.data.batches` returns. Each `for` over the result is one over these.
        ahead: how many batches are prepared, or being prepared, while the loop works on one.

    >>> import nn
    >>> images, labels = np.zeros((5, 1, 8, 8), np.float32), np.arange(5)
    >>> draws = nn.data.batches(images, labels, 2, shuffle=True, augment=nn.data.augment.affine(rotate=10), rng=0)
    >>> for x, t in nn.data.prefetch(draws):
    ...     print(x.shape, t)
    (2, 1, 8, 8) [2 4]
    (2, 1, 8, 8) [3 0]
    (1, 1, 8, 8) [1]
    """
    if not isinstance(batches, Iterable):
        raise TypeError(f"prefetch: takes an iterable of batches, not {type(batches).__name__}")
    return Prefetch(batches, whole("prefetch", "ahead", ahead))
