"""Kinds of arguments that many Keras classes share, and messages for shared refusals."""

from fornada.spec.kinds.compound import Either, ListOf, Nullable, Pair
from fornada.spec.kinds.kind import Kind, found
from fornada.spec.kinds.plain import Boolean, Choice, Integer, Number
from fornada.spec.kinds.reading import At
from fornada.spec.kinds.text import Label
from fornada.spec.source.nodes import Json, Node, Scalar

BOOLEAN = Boolean()
# Numbers of units and filters, and sizes.
COUNT = Integer(minimum=1, classes=True)
# Numbers of epochs or steps, such as `patience`.
NONE_OR_MORE = Integer(minimum=0, classes=True)
ANY_NUMBER = Number()
NOT_NEGATIVE = Number(minimum=0)
POSITIVE = Number(above=0)
SHARE = Number(minimum=0, maximum=1)
# A decay rate such as beta_1. With 1 the running mean never changes and the model learns nothing.
DECAY = Number(minimum=0, below=1)
NAME = Nullable(Label())
PADDING = Choice("valid", "same")
SIZE = Pair(COUNT)
# The seeds that Keras's random number generators accept.
SEED = Nullable(Integer(minimum=0, maximum=2**32 - 1))
# An axis of a layer's output. 0 is the batch axis, and a layer may not compute along it.
AXIS = Either(Integer(minimum=-3, maximum=-1), Integer(minimum=1, maximum=3))
AXES = Either(AXIS, ListOf(AXIS, maximum=3))
# An axis of a layer's weights. They have no batch axis, so 0 is allowed.
WEIGHT_AXIS = Integer(minimum=-4, maximum=3)
WEIGHT_AXES = Either(WEIGHT_AXIS, ListOf(WEIGHT_AXIS, maximum=4))
NUMBERS = Either(ANY_NUMBER, ListOf(ANY_NUMBER))

NO_DTYPE = "dtype is not supported yet.\n  Leave it out: a model computes in float32."
# Refused arguments that every layer of Keras has.
NO_DTYPE_OR_AUTOCAST = {
    "dtype": NO_DTYPE,
    "autocast": "autocast is not supported yet.\n  Leave it out: a model computes in float32.",
}


class ChannelsLast(Kind):
    """The order height, width, channels. null means the same."""

    words = "channels_last"

    def parse(self, node: Node, at: At) -> str:
        if isinstance(node, Scalar) and node.value in (None, "channels_last"):
            return "channels_last"
        hint = ""
        if isinstance(node, Scalar) and node.value == "channels_first":
            hint = "\n  Images are read as height, width, channels."
        raise self.refuse(node, at, f"{found(node)} is not supported.", hint)

    def schema(self) -> dict[str, Json]:
        return {"enum": ["channels_last", None]}


DATA_FORMAT = ChannelsLast()
