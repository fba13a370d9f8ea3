"""Activations: functions that Keras knows by name. A few of them take arguments."""

from collections.abc import Mapping
from dataclasses import dataclass

from fornada.spec.catalogue.arguments import AXIS, NOT_NEGATIVE
from fornada.spec.catalogue.family import Entry, Family
from fornada.spec.catalogue.objects import Object
from fornada.spec.kinds.compound import Nullable
from fornada.spec.kinds.kind import Kind
from fornada.spec.kinds.plain import Number
from fornada.spec.kinds.reading import At
from fornada.spec.source import nodes
from fornada.spec.source.nodes import Json, Node
from fornada.spec.values import KerasObject, Value

# Keras saves an activation function by its name alone, without arguments. Only these four may have
# arguments: Keras has a layer for each, and that layer saves them.
_ARGUMENTS: dict[str, dict[str, Kind]] = {
    "relu": {
        "negative_slope": NOT_NEGATIVE,
        "max_value": Nullable(NOT_NEGATIVE),
        "threshold": NOT_NEGATIVE,
    },
    "leaky_relu": {"negative_slope": NOT_NEGATIVE},
    "elu": {"alpha": Number()},
    "softmax": {"axis": AXIS},
}
_CANNOT = "{} of {} cannot be given: Keras does not save it with the model."
# Arguments that Keras has and does not save.
_FIXED = {
    "celu": ("alpha",),
    "gelu": ("approximate",),
    "hard_shrink": ("threshold",),
    "log_softmax": ("axis",),
    "soft_shrink": ("threshold",),
    "sparsemax": ("axis",),
    "squareplus": ("b",),
}
_ABOUT = {
    "celu": "Like elu, but with a continuous slope.",
    "elu": "x above 0, alpha * (exp(x) - 1) below.",
    "exponential": "exp(x).",
    "gelu": "x times the cumulative normal distribution of x.",
    "hard_shrink": "0 between -0.5 and 0.5, x elsewhere.",
    "hard_sigmoid": "A sigmoid made of three straight lines.",
    "hard_silu": "x times the hard sigmoid of x.",
    "hard_tanh": "x, limited to between -1 and 1.",
    "leaky_relu": "x above 0, negative_slope * x below.",
    "linear": "x itself.",
    "log_sigmoid": "The logarithm of the sigmoid.",
    "log_softmax": "The logarithm of the softmax.",
    "mish": "x times tanh of the softplus of x.",
    "relu": "x above 0, 0 below.",
    "relu6": "x, limited to between 0 and 6.",
    "selu": "elu, scaled so that the outputs of layers keep their mean and variance.",
    "sigmoid": "1 / (1 + exp(-x)): the probability of one class.",
    "silu": "x times the sigmoid of x.",
    "soft_shrink": "x moved by 0.5 towards 0; 0 between -0.5 and 0.5.",
    "softmax": "Probabilities of all classes, which add up to 1.",
    "softplus": "log(1 + exp(x)).",
    "softsign": "x / (1 + |x|).",
    "sparse_plus": "A softplus that is exactly 0 below -1.",
    "sparse_sigmoid": "A sigmoid that is exactly 0 below -1 and 1 above 1.",
    "sparsemax": "A softmax that gives exact zeros.",
    "squareplus": "(x + sqrt(x * x + 4)) / 2.",
    "tanh": "The hyperbolic tangent, between -1 and 1.",
    "tanh_shrink": "x - tanh(x).",
}


def _entry(name: str, about: str) -> Entry:
    refused = {argument: _CANNOT.format(argument, name) for argument in _FIXED.get(name, ())}
    return Entry(about, _ARGUMENTS.get(name, {}), refused)


ACTIVATIONS = {name: _entry(name, about) for name, about in _ABOUT.items()}


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


_SPELLINGS = {
    "ReLU": "relu",
    "ReLU6": "relu6",
    "LeakyReLU": "leaky_relu",
    "ELU": "elu",
    "CELU": "celu",
    "SELU": "selu",
    "GELU": "gelu",
    "SiLU": "silu",
    "HardSiLU": "hard_silu",
    # Second names that Keras itself has.
    "swish": "silu",
    "Swish": "silu",
    "hard_swish": "hard_silu",
    "HardSwish": "hard_silu",
}
FAMILY = Family(
    "activations",
    "an activation",
    ACTIVATIONS,
    {_camel(name): name for name in ACTIVATIONS} | _SPELLINGS,
)


@dataclass(frozen=True)
class Activation(Kind):
    """An activation: a name, or `{name: {argument: value}}`.

    It is stored as the name alone if every argument has its default.
    """

    words = "an activation, as a name or as {name: {argument: value}}"

    def parse(self, node: Node, at: At) -> str | KerasObject:
        activation = Object(FAMILY).parse(node, at)
        without_arguments = not isinstance(node, nodes.Mapping)
        if without_arguments or activation.arguments == _defaults(activation.class_name):
            return activation.class_name
        return activation

    def schema(self) -> dict[str, Json]:
        return Object(FAMILY).schema()


def _defaults(name: str) -> Mapping[str, Value]:
    fields = FAMILY.arguments[name].fields
    return {key: field.parsed_default for key, field in fields.items()}


ACTIVATION = Activation()
# For the `activation` argument of layers: null means linear, as in Keras.
OPTIONAL_ACTIVATION = Nullable(ACTIVATION)
