"""Data to learn from: the MNIST digits, shipped, at hand or downloaded, and batches of them."""

from . import augment
from .batching import Batches, batches
from .download import download_mnist
from .mnist import SHIPPED_DIGITS, load_mnist
from .prefetching import Prefetch, prefetch

__all__ = ["SHIPPED_DIGITS", "Batches", "Prefetch", "augment", "batches", "download_mnist", "load_mnist", "prefetch"]
