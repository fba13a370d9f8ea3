"""Constraints: conditions that the weights of a layer fulfil after every training step."""

from fornada.spec.catalogue.arguments import NOT_NEGATIVE, POSITIVE, SHARE, WEIGHT_AXES
from fornada.spec.catalogue.family import Entry, Family
from fornada.spec.catalogue.objects import Object
from fornada.spec.kinds.compound import Nullable

CONSTRAINTS = {
    "MaxNorm": Entry(
        "Norms along the axis are at most max_value.",
        {"max_value": POSITIVE, "axis": WEIGHT_AXES},
    ),
    "NonNeg": Entry("No weight is negative."),
    "UnitNorm": Entry("Norms along the axis are 1.", {"axis": WEIGHT_AXES}),
    "MinMaxNorm": Entry(
        "Norms along the axis lie between two values.",
        {
            "min_value": NOT_NEGATIVE,
            "max_value": POSITIVE,
            "rate": SHARE,
            "axis": WEIGHT_AXES,
        },
    ),
}
FAMILY = Family(
    "constraints",
    "a constraint",
    CONSTRAINTS,
    {
        "max_norm": "MaxNorm",
        "non_neg": "NonNeg",
        "unit_norm": "UnitNorm",
        "min_max_norm": "MinMaxNorm",
    },
)
# For arguments of layers.
CONSTRAINT = Nullable(Object(FAMILY))
