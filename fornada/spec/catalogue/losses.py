"""What training makes small, and the labels it takes."""

from fornada.spec.catalogue.arguments import BOOLEAN, NO_DTYPE, SHARE
from fornada.spec.catalogue.family import Family, Hand
from fornada.spec.kinds.compound import Nullable
from fornada.spec.kinds.kind import Kind
from fornada.spec.kinds.plain import Choice, Integer
from fornada.spec.kinds.text import Label

_EVERY: dict[str, Kind] = {
    "from_logits": BOOLEAN,
    # Outputs have two axes, the batch and the classes: both of these name the second.
    "axis": Choice(-1, 1),
    # Not `none`: a training step needs one number.
    "reduction": Choice("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight"),
    "name": Label(),
}
_DTYPE = {"dtype": NO_DTYPE}

LOSSES = {
    "SparseCategoricalCrossentropy": Hand(
        "For classes as integers: label_mode int, one output a class.",
        {**_EVERY, "ignore_class": Nullable(Integer(minimum=0))},
        _DTYPE,
    ),
    "CategoricalCrossentropy": Hand(
        "For classes one-hot: label_mode categorical, one output a class.",
        {**_EVERY, "label_smoothing": SHARE},
        _DTYPE,
    ),
    "BinaryCrossentropy": Hand(
        "For two classes: label_mode binary, one output.",
        {**_EVERY, "label_smoothing": SHARE},
        _DTYPE,
    ),
}
# The label mode that each loss takes.
LABEL_MODES = {
    "SparseCategoricalCrossentropy": "int",
    "CategoricalCrossentropy": "categorical",
    "BinaryCrossentropy": "binary",
}
FAMILY = Family(
    "losses",
    "a loss",
    LOSSES,
    {
        "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy",
        "categorical_crossentropy": "CategoricalCrossentropy",
        "binary_crossentropy": "BinaryCrossentropy",
    },
)
