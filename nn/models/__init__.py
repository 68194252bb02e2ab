"""Networks from papers and courses, ready to train."""

from .alexnet import AlexNet
from .lenet5 import LeNet5
from .mnist_cnn import MnistCNN
from .small_vgg import SmallVGG
from .vgg16 import VGG16

__all__ = ["VGG16", "AlexNet", "LeNet5", "MnistCNN", "SmallVGG"]
