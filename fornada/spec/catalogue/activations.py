"""Activations: functions that Keras knows by name, and the few that take arguments."""

from dataclasses import dataclass

from fornada.spec.catalogue.arguments import AXIS, NOT_NEGATIVE
from fornada.spec.catalogue.family import Family, Hand
from fornada.spec.catalogue.objects import Object
from fornada.spec.kinds.compound import Nullable
from fornada.spec.kinds.kind import Kind
from fornada.spec.kinds.plain import Number
from fornada.spec.kinds.reading import At
from fornada.spec.source import nodes
from fornada.spec.source.nodes import Json, Node
from fornada.spec.values import KerasObject

# Keras saves a function by its name alone, so a model whose activation has arguments loads again
# only where Keras has a layer of the same meaning: these four.
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
    "celu": "As elu, continuous in its slope.",
    "elu": "x above 0, alpha * (exp(x) - 1) below.",
    "exponential": "exp(x).",
    "gelu": "x times the normal distribution up to x.",
    "hard_shrink": "x outside -0.5 to 0.5, else 0.",
    "hard_sigmoid": "The sigmoid in three straight pieces.",
    "hard_silu": "x times the hard sigmoid of x.",
    "hard_tanh": "x held between -1 and 1.",
    "leaky_relu": "x above 0, negative_slope * x below.",
    "linear": "x as it is.",
    "log_sigmoid": "The logarithm of the sigmoid.",
    "log_softmax": "The logarithm of the softmax.",
    "mish": "x times tanh of the softplus of x.",
    "relu": "x above 0, 0 below.",
    "relu6": "x held between 0 and 6.",
    "selu": "elu scaled so that layers keep their mean and variance.",
    "sigmoid": "1 / (1 + exp(-x)): a probability of one class.",
    "silu": "x times the sigmoid of x.",
    "soft_shrink": "x moved 0.5 towards 0.",
    "softmax": "Probabilities of all classes, together 1.",
    "softplus": "log(1 + exp(x)).",
    "softsign": "x / (1 + |x|).",
    "sparse_plus": "A softplus that is exactly 0 below -1.",
    "sparse_sigmoid": "A sigmoid that is exactly 0 below -1 and 1 above 1.",
    "sparsemax": "A softmax that gives exact zeros.",
    "squareplus": "(x + sqrt(x * x + 4)) / 2.",
    "tanh": "The hyperbolic tangent, between -1 and 1.",
    "tanh_shrink": "x - tanh(x).",
}


def _hand(name: str, about: str) -> Hand:
    refused = {argument: _CANNOT.format(argument, name) for argument in _FIXED.get(name, ())}
    return Hand(about, _ARGUMENTS.get(name, {}), refused)


ACTIVATIONS = {name: _hand(name, about) for name, about in _ABOUT.items()}


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
    # Keras's own second names.
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
    """An activation: Keras's name, or `{name: {argument: value}}`; kept as the name alone where
    every argument has its default."""

    words = "an activation, as a name or as {name: {argument: value}}"

    def parse(self, node: Node, at: At) -> str | KerasObject:
        read = Object(FAMILY).parse(node, at)
        given = node if isinstance(node, nodes.Mapping) else None
        if given is None or read.arguments == _plain(read.class_name).arguments:
            return read.class_name
        return read

    def schema(self) -> dict[str, Json]:
        return Object(FAMILY).schema()


def _plain(name: str) -> KerasObject:
    defaults = FAMILY.arguments[name].fields
    return KerasObject(name, {key: one.parsed_default for key, one in defaults.items()})


ACTIVATION = Activation()
# A layer's argument: null is linear, as Keras has it.
OPTIONAL_ACTIVATION = Nullable(ACTIVATION)
