"""How weights begin."""

from fornada.spec.catalogue.arguments import ANY_NUMBER, NOT_NEGATIVE, NUMBERS, SEED
from fornada.spec.catalogue.family import Family, Hand
from fornada.spec.catalogue.objects import Object

_AXES = dict.fromkeys(
    ("input_axes", "output_axes"), "is not supported yet: Keras finds the axes of its own layers."
)
_SEEDED = {"seed": SEED}
_NORMAL = {"mean": ANY_NUMBER, "stddev": NOT_NEGATIVE, **_SEEDED}

INITIALIZERS = {
    "RandomNormal": Hand("Normally distributed values.", _NORMAL),
    "RandomUniform": Hand(
        "Values evenly between two bounds.",
        {"minval": ANY_NUMBER, "maxval": ANY_NUMBER, **_SEEDED},
    ),
    "TruncatedNormal": Hand(
        "Normally distributed values, drawn again beyond two deviations.", _NORMAL
    ),
    "GlorotUniform": Hand(
        "Evenly within a bound that the layer's inputs and outputs set.", _SEEDED, _AXES
    ),
    "GlorotNormal": Hand(
        "Normally, with a deviation that the layer's inputs and outputs set.", _SEEDED, _AXES
    ),
    "HeUniform": Hand(
        "Evenly within a bound that the layer's inputs set; for relu.", _SEEDED, _AXES
    ),
    "HeNormal": Hand(
        "Normally, with a deviation that the layer's inputs set; for relu.", _SEEDED, _AXES
    ),
    "Zeros": Hand("All 0."),
    "Ones": Hand("All 1."),
    "Constant": Hand("All one value.", {"value": NUMBERS}),
}
FAMILY = Family(
    "initializers",
    "an initializer",
    INITIALIZERS,
    {
        "random_normal": "RandomNormal",
        "random_uniform": "RandomUniform",
        "truncated_normal": "TruncatedNormal",
        "glorot_uniform": "GlorotUniform",
        "glorot_normal": "GlorotNormal",
        "he_uniform": "HeUniform",
        "he_normal": "HeNormal",
        "zeros": "Zeros",
        "ones": "Ones",
        "constant": "Constant",
    },
)
# A layer's argument.
INITIALIZER = Object(FAMILY)
