"""Optimizers: each gives parameters new values from their gradients, one primitive for each parameter and step."""

from .adam import Adam, AdamW
from .clipping import clip_grad_norm
from .optimizer import Group, Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Group", "Optimizer", "clip_grad_norm"]
