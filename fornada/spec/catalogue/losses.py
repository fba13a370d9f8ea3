"""Losses, and the labels that each expects. Training minimizes the loss."""

from fornada.spec.catalogue.arguments import BOOLEAN, NO_DTYPE, SHARE
from fornada.spec.catalogue.family import Entry, Family
from fornada.spec.kinds.compound import Nullable
from fornada.spec.kinds.kind import Kind
from fornada.spec.kinds.plain import Choice, Integer
from fornada.spec.kinds.text import Label

_EVERY: dict[str, Kind] = {
    "from_logits": BOOLEAN,
    # The output has two axes, batch and classes. Both values mean the axis of the classes.
    "axis": Choice(-1, 1),
    # Keras's `none` is missing: a training step needs the loss as one number.
    "reduction": Choice("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight"),
    "name": Label(),
}
_DTYPE = {"dtype": NO_DTYPE}

LOSSES = {
    "SparseCategoricalCrossentropy": Entry(
        "For labels that are integers: label_mode int, one output for each class.",
        {**_EVERY, "ignore_class": Nullable(Integer(minimum=0))},
        _DTYPE,
    ),
    "CategoricalCrossentropy": Entry(
        "For one-hot labels: label_mode categorical, one output for each class.",
        {**_EVERY, "label_smoothing": SHARE},
        _DTYPE,
    ),
    "BinaryCrossentropy": Entry(
        "For two classes: label_mode binary, one output.",
        {**_EVERY, "label_smoothing": SHARE},
        _DTYPE,
    ),
}
# The label mode that each loss expects.
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
