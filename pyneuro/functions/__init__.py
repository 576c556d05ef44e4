"""The public functions, family by family; `pyneuro` re-exports them all.

Each is a short `def` over the extension. Importing this package also attaches them to Tensor as methods
(see `_common`).
"""

from pyneuro.functions import (
    comparison,
    creation,
    elementwise,
    index,
    linalg,
    methods,
    movement,
    random,
    reduce,
    sort_scan,
)
from pyneuro.functions._common import attach_methods
from pyneuro.functions.comparison import *
from pyneuro.functions.creation import *
from pyneuro.functions.elementwise import *
from pyneuro.functions.index import *
from pyneuro.functions.linalg import *
from pyneuro.functions.movement import *
from pyneuro.functions.random import *
from pyneuro.functions.reduce import *
from pyneuro.functions.sort_scan import *

__all__ = []
__all__ += comparison.__all__
__all__ += creation.__all__
__all__ += elementwise.__all__
__all__ += index.__all__
__all__ += linalg.__all__
__all__ += movement.__all__
__all__ += random.__all__
__all__ += reduce.__all__
__all__ += sort_scan.__all__

attach_methods(comparison, elementwise, index, linalg, methods, movement, random, reduce, sort_scan)
