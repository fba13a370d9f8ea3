"""Layers, and the kinds of arguments that only layers have."""

from dataclasses import dataclass

from fornada.spec.catalogue.activations import ACTIVATION, OPTIONAL_ACTIVATION
from fornada.spec.catalogue.arguments import (
    ANY_NUMBER,
    AXES,
    AXIS,
    BOOLEAN,
    COUNT,
    DATA_FORMAT,
    NAME,
    NO_DTYPE,
    NO_DTYPE_OR_AUTOCAST,
    NOT_NEGATIVE,
    NUMBERS,
    PADDING,
    POSITIVE,
    SEED,
    SHARE,
    SIZE,
)
from fornada.spec.catalogue.constraints import CONSTRAINT
from fornada.spec.catalogue.family import Entry, Family
from fornada.spec.catalogue.initializers import INITIALIZER
from fornada.spec.catalogue.regularizers import REGULARIZER
from fornada.spec.kinds.compound import Either, ListOf, Nullable, Pair
from fornada.spec.kinds.kind import Kind, any_of
from fornada.spec.kinds.plain import Choice, Integer, Number
from fornada.spec.kinds.reading import At
from fornada.spec.source.nodes import Json, Node, Sequence


@dataclass(frozen=True)
class Factor(Kind):
    """The range of a random layer: one number for both directions, or a list [lower, upper]."""

    number: Number

    @property
    def words(self) -> str:
        return f"{self.number.words}; or a list of two of these, the lower first"

    def parse(self, node: Node, at: At) -> float | tuple[float, ...]:
        if isinstance(node, Sequence):
            pair: tuple[float, ...] = ListOf(self.number, 2, 2).parse(node, at)
            if pair[0] > pair[1]:
                raise self.refuse(node, at, f"{pair[0]:g} is above {pair[1]:g}.")
            return pair
        return self.number.parse(node, at)

    def schema(self) -> dict[str, Json]:
        return any_of(self.number.schema(), ListOf(self.number, 2, 2).schema())


@dataclass(frozen=True)
class Margins(Kind):
    """Rows and columns to add: one number, [rows, columns], or [[top, bottom], [left, right]]."""

    words = "an integer, 0 or more; or [rows, columns]; or [[top, bottom], [left, right]]"
    # Two numbers for each axis. The value is stored as ((top, bottom), (left, right)).
    side = Pair(Integer(minimum=0))

    def parse(self, node: Node, at: At) -> tuple[tuple[int, int], ...]:
        if isinstance(node, Sequence) and len(node.items) != 2:
            raise self.refuse(node, at, f"a list of {len(node.items)} is not accepted.")
        if isinstance(node, Sequence):
            return ListOf(self.side, 2, 2).parse(node, at)
        return (self.side.parse(node, at),) * 2

    def schema(self) -> dict[str, Json]:
        return any_of(self.side.kind.schema(), ListOf(self.side, 2, 2).schema())


_LAYER: dict[str, Kind] = {"name": NAME, "trainable": BOOLEAN}
_NOT_HERE = {
    **NO_DTYPE_OR_AUTOCAST,
    "activity_regularizer": "activity_regularizer is not supported for this layer.",
}
_NO_LORA = {
    name: f"{name} is not supported: it is for tuning a model that is already trained."
    for name in ("lora_rank", "lora_alpha", "quantization_config")
}
_KERNEL: dict[str, Kind] = {
    "activation": OPTIONAL_ACTIVATION,
    "use_bias": BOOLEAN,
    "kernel_initializer": INITIALIZER,
    "bias_initializer": INITIALIZER,
    "kernel_regularizer": REGULARIZER,
    "bias_regularizer": REGULARIZER,
    "activity_regularizer": REGULARIZER,
    "kernel_constraint": CONSTRAINT,
    "bias_constraint": CONSTRAINT,
}
_WINDOW: dict[str, Kind] = {
    "filters": COUNT,
    "kernel_size": SIZE,
    "strides": SIZE,
    "padding": PADDING,
    "data_format": DATA_FORMAT,
    "dilation_rate": SIZE,
}
_POOLING: dict[str, Kind] = {
    "pool_size": SIZE,
    "strides": Nullable(SIZE),
    "padding": PADDING,
    "data_format": DATA_FORMAT,
    **_LAYER,
}
_GLOBAL: dict[str, Kind] = {"data_format": DATA_FORMAT, "keepdims": BOOLEAN, **_LAYER}
_SCALED: dict[str, Kind] = {
    "center": BOOLEAN,
    "scale": BOOLEAN,
    "beta_initializer": INITIALIZER,
    "gamma_initializer": INITIALIZER,
    "beta_regularizer": REGULARIZER,
    "gamma_regularizer": REGULARIZER,
    "beta_constraint": CONSTRAINT,
    "gamma_constraint": CONSTRAINT,
    "epsilon": POSITIVE,
}
_FACTOR = Factor(Number(minimum=-1, maximum=1))
# With -1 the image would be zoomed to size 0.
_ZOOM = Factor(Number(above=-1, maximum=1))
_RANDOM: dict[str, Kind] = {"seed": SEED, "data_format": DATA_FORMAT, **_LAYER}
_MOVED: dict[str, Kind] = {
    "fill_mode": Choice("constant", "nearest", "reflect", "wrap"),
    "interpolation": Choice("bilinear", "nearest"),
    "fill_value": ANY_NUMBER,
    **_RANDOM,
}

LAYERS = {
    "Input": Entry(
        "The shape of one image: height, width, channels. Optional; it must be the first layer, "
        "and the shape must fit image_size and color_mode.",
        {"shape": ListOf(Integer(minimum=1), 3, 3), "name": NAME},
        {
            name: f"{name} is not supported: the data decides it."
            for name in (
                "batch_size",
                "batch_shape",
                "dtype",
                "sparse",
                "ragged",
                "tensor",
                "optional",
            )
        },
        required=frozenset({"shape"}),
    ),
    "Rescaling": Entry(
        "Multiplies by scale and adds offset: 1/255 scales pixels to between 0 and 1.",
        {"scale": NUMBERS, "offset": NUMBERS, **_LAYER},
        _NOT_HERE,
    ),
    "Normalization": Entry(
        "Subtracts mean and divides by the square root of variance; both must be given.",
        {
            "axis": Nullable(AXES),
            "mean": NUMBERS,
            "variance": Either(NOT_NEGATIVE, ListOf(NOT_NEGATIVE)),
            "invert": BOOLEAN,
            **_LAYER,
        },
        _NOT_HERE,
        required=frozenset({"mean", "variance"}),
    ),
    "Conv2D": Entry(
        "Slides filters of kernel_size over the image.",
        {**_WINDOW, "groups": COUNT, **_KERNEL, **_LAYER},
        NO_DTYPE_OR_AUTOCAST,
    ),
    "SeparableConv2D": Entry(
        "Slides one filter over each channel, then mixes the channels of each pixel.",
        {
            **_WINDOW,
            "depth_multiplier": COUNT,
            "activation": OPTIONAL_ACTIVATION,
            "use_bias": BOOLEAN,
            "depthwise_initializer": INITIALIZER,
            "pointwise_initializer": INITIALIZER,
            "bias_initializer": INITIALIZER,
            "depthwise_regularizer": REGULARIZER,
            "pointwise_regularizer": REGULARIZER,
            "bias_regularizer": REGULARIZER,
            "activity_regularizer": REGULARIZER,
            "depthwise_constraint": CONSTRAINT,
            "pointwise_constraint": CONSTRAINT,
            "bias_constraint": CONSTRAINT,
            **_LAYER,
        },
        NO_DTYPE_OR_AUTOCAST,
    ),
    "MaxPooling2D": Entry(
        "Keeps the largest value of each window; strides: null means the pool_size.",
        _POOLING,
        _NOT_HERE,
    ),
    "MinPooling2D": Entry(
        "Keeps the smallest value of each window. Keras does not have this layer: the worker "
        "builds it as Rescaling(-1), MaxPooling2D, Rescaling(-1).",
        _POOLING,
        _NOT_HERE,
    ),
    "AveragePooling2D": Entry(
        "Keeps the mean of each window; strides: null means the pool_size.", _POOLING, _NOT_HERE
    ),
    "GlobalMaxPooling2D": Entry("The largest value of each channel.", _GLOBAL, _NOT_HERE),
    "GlobalAveragePooling2D": Entry("The mean of each channel.", _GLOBAL, _NOT_HERE),
    "Flatten": Entry(
        "Turns an image into one list of values.",
        {"data_format": DATA_FORMAT, **_LAYER},
        _NOT_HERE,
    ),
    "Dense": Entry(
        "A layer of neurons; every neuron gets all values of the layer before it.",
        {"units": COUNT, **_KERNEL, **_LAYER},
        {**_NO_LORA, **NO_DTYPE_OR_AUTOCAST},
    ),
    "Dropout": Entry(
        "Sets a random share of the values to 0 in each training step.",
        {
            "rate": SHARE,
            "noise_shape": Nullable(ListOf(Nullable(Integer(minimum=1)))),
            "seed": SEED,
            **_LAYER,
        },
        _NOT_HERE,
    ),
    "SpatialDropout2D": Entry(
        "Sets a random share of the channels to 0 in each training step.",
        {"rate": SHARE, "data_format": DATA_FORMAT, "seed": SEED, "name": NAME},
        {"dtype": NO_DTYPE},
    ),
    "BatchNormalization": Entry(
        "Keeps each channel near mean 0 and standard deviation 1, computed over the batch.",
        {
            "axis": AXIS,
            "momentum": SHARE,
            **_SCALED,
            "moving_mean_initializer": INITIALIZER,
            "moving_variance_initializer": INITIALIZER,
            "renorm": BOOLEAN,
            "renorm_momentum": SHARE,
            **_LAYER,
        },
        {
            **_NOT_HERE,
            "renorm_clipping": "renorm_clipping is not supported yet.",
            "synchronized": "synchronized is not supported: a job runs on one device.",
        },
    ),
    "LayerNormalization": Entry(
        "Keeps each image near mean 0 and standard deviation 1.",
        {"axis": AXES, **_SCALED, **_LAYER},
        _NOT_HERE,
    ),
    "Activation": Entry(
        "An activation as a separate layer.", {"activation": ACTIVATION, **_LAYER}, _NOT_HERE
    ),
    "ReLU": Entry(
        "x above threshold, negative_slope * (x - threshold) below; at most max_value.",
        {
            "max_value": Nullable(NOT_NEGATIVE),
            "negative_slope": NOT_NEGATIVE,
            "threshold": NOT_NEGATIVE,
            **_LAYER,
        },
        _NOT_HERE,
    ),
    "LeakyReLU": Entry(
        "x above 0, negative_slope * x below.",
        {"negative_slope": NOT_NEGATIVE, **_LAYER},
        _NOT_HERE,
    ),
    "Reshape": Entry(
        "The same values in another shape, given without the batch axis; one -1 is computed.",
        {"target_shape": ListOf(Either(Integer(minimum=1), Integer(-1, -1)), maximum=8), **_LAYER},
        _NOT_HERE,
    ),
    "ZeroPadding2D": Entry(
        "Adds rows and columns of 0.",
        {"padding": Margins(), "data_format": DATA_FORMAT, **_LAYER},
        _NOT_HERE,
    ),
    "RandomFlip": Entry(
        "Flips images at random, in training only.",
        {"mode": Choice("horizontal_and_vertical", "horizontal", "vertical"), **_RANDOM},
        _NOT_HERE,
    ),
    "RandomRotation": Entry(
        "Rotates images by a random share of a full turn, in training only.",
        {"factor": _FACTOR, **_MOVED},
        _NOT_HERE,
    ),
    "RandomZoom": Entry(
        "Zooms out (above 0) or in (below 0) at random, in training only.",
        {"height_factor": _ZOOM, "width_factor": Nullable(_ZOOM), **_MOVED},
        _NOT_HERE,
    ),
    "RandomTranslation": Entry(
        "Moves images by a random share of their size, in training only.",
        {"height_factor": _FACTOR, "width_factor": _FACTOR, **_MOVED},
        _NOT_HERE,
    ),
    "RandomContrast": Entry(
        "Changes the contrast at random, in training only.",
        {
            "factor": Factor(SHARE),
            "value_range": ListOf(ANY_NUMBER, 2, 2, ascending=True),
            "seed": SEED,
            **_LAYER,
        },
        _NOT_HERE,
    ),
}
FAMILY = Family(
    "layers",
    "a layer",
    LAYERS,
    instead={
        "ELU": "Activation: {activation: elu}",
        "Softmax": "Activation: {activation: softmax}",
    },
)
