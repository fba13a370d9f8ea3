"""Regularizers: they add a penalty for a layer's weights to the loss."""

from fornada.spec.catalogue.arguments import NOT_NEGATIVE
from fornada.spec.catalogue.family import Entry, Family
from fornada.spec.catalogue.objects import Object
from fornada.spec.kinds.compound import Nullable
from fornada.spec.kinds.plain import Choice

REGULARIZERS = {
    "L1": Entry("l1 times the sum of the absolute values.", {"l1": NOT_NEGATIVE}),
    "L2": Entry("l2 times the sum of the squares.", {"l2": NOT_NEGATIVE}),
    "L1L2": Entry("The sum of L1 and L2.", {"l1": NOT_NEGATIVE, "l2": NOT_NEGATIVE}),
    "OrthogonalRegularizer": Entry(
        "Keeps the rows or columns of a matrix orthogonal.",
        {"factor": NOT_NEGATIVE, "mode": Choice("rows", "columns")},
    ),
}
FAMILY = Family(
    "regularizers",
    "a regularizer",
    REGULARIZERS,
    {
        "l1": "L1",
        "l2": "L2",
        "l1l2": "L1L2",
        "l1_l2": "L1L2",
        "orthogonal_regularizer": "OrthogonalRegularizer",
    },
)
# For arguments of layers.
REGULARIZER = Nullable(Object(FAMILY))
