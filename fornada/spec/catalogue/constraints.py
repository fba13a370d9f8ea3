"""What a layer's weights must keep to after every step."""

from fornada.spec.catalogue.arguments import NOT_NEGATIVE, POSITIVE, SHARE, WEIGHT_AXES
from fornada.spec.catalogue.family import Family, Hand
from fornada.spec.catalogue.objects import Object
from fornada.spec.kinds.compound import Nullable

CONSTRAINTS = {
    "MaxNorm": Hand(
        "Norms along the axis are at most max_value.",
        {"max_value": POSITIVE, "axis": WEIGHT_AXES},
    ),
    "NonNeg": Hand("No weight is negative."),
    "UnitNorm": Hand("Norms along the axis are 1.", {"axis": WEIGHT_AXES}),
    "MinMaxNorm": Hand(
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
# A layer's argument.
CONSTRAINT = Nullable(Object(FAMILY))
