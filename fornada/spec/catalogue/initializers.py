"""Initializers: they give the weights of a layer their first values."""

from fornada.spec.catalogue.arguments import ANY_NUMBER, NOT_NEGATIVE, NUMBERS, SEED
from fornada.spec.catalogue.family import Entry, Family
from fornada.spec.catalogue.objects import Object

_AXES = dict.fromkeys(
    ("input_axes", "output_axes"), "is not supported yet: Keras finds the axes by itself."
)
_SEEDED = {"seed": SEED}
_NORMAL = {"mean": ANY_NUMBER, "stddev": NOT_NEGATIVE, **_SEEDED}

INITIALIZERS = {
    "RandomNormal": Entry("Normally distributed values.", _NORMAL),
    "RandomUniform": Entry(
        "Uniformly distributed values between minval and maxval.",
        {"minval": ANY_NUMBER, "maxval": ANY_NUMBER, **_SEEDED},
    ),
    "TruncatedNormal": Entry(
        "Normally distributed values; a value beyond two standard deviations is drawn again.",
        _NORMAL,
    ),
    "GlorotUniform": Entry(
        "Uniformly distributed values; the bound depends on the layer's numbers of inputs and "
        "outputs.",
        _SEEDED,
        _AXES,
    ),
    "GlorotNormal": Entry(
        "Normally distributed values; the standard deviation depends on the layer's numbers of "
        "inputs and outputs.",
        _SEEDED,
        _AXES,
    ),
    "HeUniform": Entry(
        "Uniformly distributed values; the bound depends on the layer's number of inputs. For "
        "relu.",
        _SEEDED,
        _AXES,
    ),
    "HeNormal": Entry(
        "Normally distributed values; the standard deviation depends on the layer's number of "
        "inputs. For relu.",
        _SEEDED,
        _AXES,
    ),
    "Zeros": Entry("Every weight is 0."),
    "Ones": Entry("Every weight is 1."),
    "Constant": Entry("Every weight is `value`.", {"value": NUMBERS}),
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
# For arguments of layers.
INITIALIZER = Object(FAMILY)
