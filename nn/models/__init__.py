"""Networks from papers and courses, ready to train."""

from .mnist_cnn import MnistCNN
from .small_vgg import SmallVGG

__all__ = ["MnistCNN", "SmallVGG"]
