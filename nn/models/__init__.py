"""Networks from papers and courses, ready to train."""

from .mnist_cnn import MnistCNN

__all__ = ["MnistCNN"]
