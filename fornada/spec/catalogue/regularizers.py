"""What a layer adds to the loss to keep its weights small."""

from fornada.spec.catalogue.arguments import NOT_NEGATIVE
from fornada.spec.catalogue.family import Family, Hand
from fornada.spec.catalogue.objects import Object
from fornada.spec.kinds.compound import Nullable
from fornada.spec.kinds.plain import Choice

REGULARIZERS = {
    "L1": Hand("l1 times the sum of the absolute values.", {"l1": NOT_NEGATIVE}),
    "L2": Hand("l2 times the sum of the squares.", {"l2": NOT_NEGATIVE}),
    "L1L2": Hand("Both.", {"l1": NOT_NEGATIVE, "l2": NOT_NEGATIVE}),
    "OrthogonalRegularizer": Hand(
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
# A layer's argument.
REGULARIZER = Nullable(Object(FAMILY))
