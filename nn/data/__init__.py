"""Data to learn from: the MNIST digits, shipped, at hand or downloaded, and batches of them."""

from . import augment
from .batching import Batches, batches
from .download import download_mnist
from .mnist import SHIPPED_DIGITS, load_mnist

__all__ = ["SHIPPED_DIGITS", "Batches", "augment", "batches", "download_mnist", "load_mnist"]
