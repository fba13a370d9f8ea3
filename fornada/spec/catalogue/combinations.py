"""Checks that compare the arguments of one Keras class with each other."""

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

from fornada.spec.kinds.reading import At
from fornada.spec.values import Value

Arguments: TypeAlias = Mapping[str, Value]


def _in_order(low: str, high: str) -> Callable[[Arguments, At], None]:
    """A check that argument `low` is at most argument `high`."""

    def check(arguments: Arguments, at: At) -> None:
        first, second = arguments.get(low), arguments.get(high)
        if isinstance(first, float) and isinstance(second, float) and first > second:
            at.key(low).refuse(None, f"{first:g} is above {high}.\n  Expected at most {second:g}.")

    return check


def _convolution(arguments: Arguments, at: At) -> None:
    if _over_one(arguments.get("strides")) and _over_one(arguments.get("dilation_rate")):
        at.key("dilation_rate").refuse(
            None, "is above 1 beside strides above 1.\n  Expected one of the two to be 1."
        )
    filters, groups = arguments.get("filters"), arguments.get("groups")
    if isinstance(filters, int) and isinstance(groups, int) and filters % groups:
        at.key("groups").refuse(
            None, f"{groups} does not divide filters.\n  Expected a divisor of {filters}."
        )


def _separable(arguments: Arguments, at: At) -> None:
    _convolution(arguments, at)
    strides = arguments.get("strides")
    if isinstance(strides, tuple) and len(set(strides)) > 1:
        # TensorFlow's depthwise convolution accepts only equal strides.
        at.key("strides").refuse(
            None, f"{list(strides)} are different.\n  Expected the same for height and width."
        )


def _over_one(value: Value) -> bool:
    return isinstance(value, tuple) and any(isinstance(n, int) and n > 1 for n in value)


def _reshape(arguments: Arguments, at: At) -> None:
    shape = arguments.get("target_shape")
    if isinstance(shape, tuple) and shape.count(-1) > 1:
        at.key("target_shape").refuse(
            None, f"{list(shape)} has more than one unknown size.\n  Expected at most one -1."
        )


def _normalization(arguments: Arguments, at: At) -> None:
    mean, variance = arguments.get("mean"), arguments.get("variance")
    if isinstance(mean, tuple) and isinstance(variance, tuple) and len(mean) != len(variance):
        at.key("variance").refuse(
            None,
            f"a list of {len(variance)} is not accepted.\n"
            f"  Expected a list of {len(mean)}, as for mean.",
        )
    for name in ("mean", "variance"):
        if isinstance(arguments.get(name), tuple) and arguments.get("axis", 0) is None:
            at.key(name).refuse(
                None, "is a list beside axis: null.\n  Expected one number for all values."
            )


def _optimizer(arguments: Arguments, at: At) -> None:
    clips = ("clipnorm", "clipvalue", "global_clipnorm")
    given = [name for name in clips if arguments.get(name) is not None]
    for name in given[1:]:
        at.key(name).refuse(
            None, f"is given beside {given[0]}.\n  Expected at most one of: {', '.join(clips)}."
        )


def _piecewise(arguments: Arguments, at: At) -> None:
    boundaries, values = arguments.get("boundaries"), arguments.get("values")
    if isinstance(boundaries, tuple) and isinstance(values, tuple):
        expected = len(boundaries) + 1
        if len(values) != expected:
            at.key("values").refuse(
                None,
                f"a list of {len(values)} is not accepted.\n"
                f"  Expected a list of {expected}, one more than boundaries.",
            )


def _auc(arguments: Arguments, at: At) -> None:
    if arguments.get("multi_label") is not False:
        _auc_of_each(arguments, at)
        return
    for name in ("num_labels", "label_weights"):
        if arguments.get(name) is not None:
            at.key(name).refuse(
                None, "needs multi_label: true.\n  Expected null, or multi_label: true beside it."
            )


def _one_threshold(arguments: Arguments, at: At) -> None:
    thresholds = arguments.get("thresholds")
    if isinstance(thresholds, tuple) and len(thresholds) > 1:
        at.key("thresholds").refuse(
            None,
            f"a list of {len(thresholds)} gives {len(thresholds)} numbers, but an epoch records "
            "one number for each metric.\n"
            "  Expected one threshold. For several thresholds, give one metric for each, with "
            "different names.",
        )


def _top_k(arguments: Arguments, at: At) -> None:
    if arguments.get("from_sorted_ids") is True:
        at.key("from_sorted_ids").refuse(
            None,
            "needs a model that gives a list of classes, the most likely first; this model gives "
            "a value for each class.\n  Expected false.",
        )


def _auc_of_each(arguments: Arguments, at: At) -> None:
    thresholds, weights = arguments.get("thresholds"), arguments.get("label_weights")
    if isinstance(thresholds, tuple) and not _are_even(thresholds):
        # Keras's `update_confusion_matrix_variables` cannot be compiled with uneven thresholds.
        at.key("thresholds").refuse(
            None,
            "are not evenly spaced between 0 and 1, which Keras needs for multi_label.\n"
            "  Expected num_thresholds instead.",
        )
    if isinstance(weights, tuple) and not any(weights):
        at.key("label_weights").refuse(
            None, "are all 0, so there is no weighted mean.\n  Expected at least one above 0."
        )


def _are_even(thresholds: tuple[Value, ...]) -> bool:
    given = sorted(one for one in thresholds if isinstance(one, float))
    steps = len(given) + 1
    return all(math.isclose(one, (i + 1) / steps, abs_tol=1e-7) for i, one in enumerate(given))


CHECKS: dict[str, Callable[[Arguments, At], None]] = {
    "Conv2D": _convolution,
    "SeparableConv2D": _separable,
    "Reshape": _reshape,
    "Normalization": _normalization,
    "RandomUniform": _in_order("minval", "maxval"),
    "MinMaxNorm": _in_order("min_value", "max_value"),
    "Adam": _optimizer,
    "AdamW": _optimizer,
    "RMSprop": _optimizer,
    "SGD": _optimizer,
    "PiecewiseConstantDecay": _piecewise,
    "AUC": _auc,
    "Precision": _one_threshold,
    "Recall": _one_threshold,
    "SparseTopKCategoricalAccuracy": _top_k,
}
