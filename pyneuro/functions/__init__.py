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

attach_methods(comparison, creation, elementwise, index, linalg, methods, movement, random, reduce, sort_scan)
