"""tensorgrad."""
from . import tensor
from .tensor import Tensor
from .autodiff import backward, grad, value_and_grad, vjp
from .primitive import PRIMITIVES, Primitive, primitive
from .state import no_grad, phase, scope
from .ops import *
