"""`torch.utils.data` under its own name: everything of `pyneuro.data`."""

from pyneuro.data import *  # noqa: F403 - the whole of it, by another name
from pyneuro.data import __all__ as __all__
