"""Optimizers and learning-rate schedulers, with torch's names and defaults."""

from pyneuro.optim import lr_scheduler
from pyneuro.optim.adam import Adam, AdamW
from pyneuro.optim.optimizer import Optimizer
from pyneuro.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
