"""Compares the numbers that a model gives with what its loss and metrics expect.

All of this is only a warning: Keras trains such a model too, but the numbers are probably not what
the person meant. Each rule was compared with `keras/src/losses/losses.py`, `metrics/` and
`backend/*/nn.py`.
"""

from fornada.spec.catalogue import losses
from fornada.spec.checks import outputs
from fornada.spec.checks.draft import Draft
from fornada.spec.checks.outputs import Gives, ModelOutput
from fornada.spec.kinds.reading import At
from fornada.spec.values import KerasObject

# The outputs that fit a loss. The first part of a key says whether the loss takes a single output
# for two classes, the second is its `from_logits`.
_FITTING = {
    (False, False): frozenset({Gives.PROBABILITIES}),
    (False, True): frozenset({Gives.LOGITS, Gives.LOGARITHMS}),
    (True, False): frozenset({Gives.BETWEEN_0_AND_1}),
    (True, True): frozenset({Gives.LOGITS}),
}
# These activations turn a single output into a constant: this number.
_CONSTANT = {"softmax": "1", "sparsemax": "1", "log_softmax": "0"}
# With TensorFlow in float32, Keras computes the loss from the inputs of these activations, for any
# value of from_logits: `_get_logits` in `backend/tensorflow/nn.py`.
_REMEMBERED = frozenset({"sigmoid", "softmax"})
# Outputs for which from_logits: true makes sense.
_REAL = frozenset({Gives.LOGITS, Gives.LOGARITHMS})
# The argument with which each metric takes logits. With a threshold above 0 it takes probabilities.
_RIGHT_METRIC = {
    "AUC": "from_logits: true",
    "BinaryAccuracy": "threshold: 0",
    "Precision": "thresholds: 0",
    "Recall": "thresholds: 0",
}


def check(draft: Draft, at: At) -> None:
    """Warn about an output that does not fit the loss, and metrics that do not fit the output.

    Args:
        draft: model, loss and metrics must have no problem.
        at: the root of the reading.
    """
    if draft.loss is None or not draft.model:
        return
    output = outputs.of(draft.model)
    if sentence := _mismatch(output, draft.loss):
        _output_place(output, draft, at).warn(sentence)
    for metric in draft.metrics:
        _check_metric(metric, output, draft.loss, at)


def _mismatch(output: ModelOutput, loss: KerasObject) -> str:
    """Why an output does not fit a loss, and what to write instead; empty if it fits."""
    single, logits = _one_output(loss), _from_logits(loss)
    if single and output.function in _CONSTANT:
        value = _CONSTANT[output.function]
        return (
            f"{output.function} of one output is always {value}, so every image gets the same "
            f"answer. Expected {_right(output, 'linear' if logits else 'sigmoid')}."
        )
    if output.gives in _FITTING[single, logits]:
        return ""
    what = f"{_description(output)}, and {_requirement(loss)}."
    return f"{what} {_effect(output, loss)} {_remedy(output, loss)}"


def _description(output: ModelOutput) -> str:
    name = output.function or _unactivated(output.layer)
    return {
        Gives.PROBABILITIES: f"{name} gives probabilities",
        Gives.BETWEEN_0_AND_1: f"{name} gives numbers between 0 and 1 that do not add up to 1",
        Gives.LOGITS: f"{name} gives any number",
        Gives.LOGARITHMS: f"{name} gives logarithms of probabilities",
        Gives.LIMITED: f"{name} gives only some numbers, and they are not probabilities",
        Gives.CHANGED: f"{_changer(output)} changes the probabilities of {output.function}",
        Gives.ACTIVATED_TWICE: f"{name} expects any number, but gets numbers between 0 and 1",
        Gives.WRONG_AXIS: f"{name} along this axis does not add up to 1 over the classes",
    }[output.gives]


def _unactivated(layer: KerasObject | None) -> str:
    if layer is None:
        return "an image"
    without = " without activation" if "activation" in layer.arguments else ""
    return f"{layer.class_name}{without}"


def _changer(output: ModelOutput) -> str:
    return output.layer.class_name if output.layer else ""


def _requirement(loss: KerasObject) -> str:
    if _from_logits(loss):
        return f"{loss.class_name} with from_logits: true needs any number"
    kind = "a number between 0 and 1" if _one_output(loss) else "probabilities that add up to 1"
    return f"{loss.class_name} needs {kind}"


def _effect(output: ModelOutput, loss: KerasObject) -> str:
    if output.gives in (Gives.ACTIVATED_TWICE, Gives.CHANGED, Gives.WRONG_AXIS):
        return "The model learns less than it could, or nothing."
    if output.function in _REMEMBERED:
        return (
            "The loss with TensorFlow then differs from the loss with JAX or in mixed precision, "
            "and the model may learn little."
        )
    if _from_logits(loss):
        return "The model can never be certain of some answers."
    if output.gives is Gives.BETWEEN_0_AND_1:
        return "The loss divides them by their sum, but the model itself gives no probabilities."
    return "The loss clips the outputs to between 0 and 1, and the model learns little or nothing."


def _remedy(output: ModelOutput, loss: KerasObject) -> str:
    function = "sigmoid" if _one_output(loss) else "softmax"
    if output.gives is Gives.CHANGED and not _from_logits(loss):
        return f"Expected {_changer(output)} before {output.function}, or no {_changer(output)}."
    if output.gives is Gives.WRONG_AXIS:
        return "Expected axis: -1."
    if output.gives is Gives.ACTIVATED_TWICE:
        return f"Expected only one of the two, and {function} as the last activation."
    if not _from_logits(loss):
        either = " or from_logits: true in the loss" if output.gives in _REAL else ""
        return f"Expected {_right(output, function)}{',' if either else ''}{either}."
    if output.function == function:
        return f"Expected from_logits: false in the loss, or {_right(output, 'linear')}."
    return f"Expected {_right(output, 'linear')}, or {function} and from_logits: false in the loss."


def _right(output: ModelOutput, function: str) -> str:
    """How to write an activation in the layer that makes the output, or in a layer after it."""
    if output.layer is None:
        return f"a last layer Dense: {{units: classes, activation: {function}}}"
    if "activation" in output.layer.arguments:
        return f"activation: {function}"
    return f"Activation: {{activation: {function}}} as the last layer"


def _output_place(output: ModelOutput, draft: Draft, at: At) -> At:
    here = at.place_of(output.layer or draft.model[-1])
    if output.layer is not None and "activation" in output.layer.arguments:
        return here.key("activation")
    return here


def _check_metric(metric: KerasObject, output: ModelOutput, loss: KerasObject, at: At) -> None:
    here = at.place_of(metric)
    logits = _takes_logits(metric, single=_one_output(loss))
    # Only metrics that fit neither the output nor the loss are reported. If output and loss do not
    # fit each other, that is reported, and correcting one of them corrects the metric too.
    if logits is None or logits in (output.gives in _REAL, _from_logits(loss)):
        return
    key, argument = _deciding_argument(metric)
    here = here.key(key) if key else here
    if logits:
        here.warn(
            f"{argument} is for logits, but the model gives probabilities, so the metric is not "
            "meaningful. "
            f"Expected {'from_logits: false' if key == 'from_logits' else 'a number above 0'}."
        )
    else:
        here.warn(
            f"{argument} is for probabilities, but the model gives logits, so the metric does not "
            f"measure what you expect. Expected {_for_logits(metric, loss)}."
        )


def _takes_logits(metric: KerasObject, *, single: bool) -> bool | None:
    """Whether a metric expects logits; None if it works with logits and with probabilities."""
    arguments, name = metric.arguments, metric.class_name
    if name == "AUC":
        return arguments.get("from_logits") is True
    if name in ("Precision", "Recall"):
        thresholds = arguments.get("thresholds")
        if thresholds is None and arguments.get("top_k") is not None:
            return None
        given = thresholds if isinstance(thresholds, tuple) else (thresholds,)
        return set(given) == {0}
    if name == "BinaryAccuracy":
        return arguments.get("threshold") == 0
    return False if name == "binary_accuracy" or (name == "accuracy" and single) else None


def _deciding_argument(metric: KerasObject) -> tuple[str, str]:
    """The argument that decides whether a metric expects logits: its key, and its description."""
    if metric.class_name not in _RIGHT_METRIC:
        return "", "the threshold of 0.5"
    key = _RIGHT_METRIC[metric.class_name].partition(":")[0]
    value = metric.arguments.get(key)
    if key == "from_logits":
        return key, f"{key}: {'true' if value else 'false'}"
    return key, f"a threshold {'of' if value in (0, (0,)) else 'above'} 0"


def _for_logits(metric: KerasObject, loss: KerasObject) -> str:
    """What to write so that a metric fits a model that gives logits."""
    function = "sigmoid" if _one_output(loss) else "softmax"
    head = f"{function} in the model and from_logits: false in the loss"
    # With softmax, no threshold for logits corresponds to a probability of 0.5.
    if not _one_output(loss) and metric.class_name != "AUC":
        return head
    right = _RIGHT_METRIC.get(metric.class_name, "{BinaryAccuracy: {threshold: 0}}")
    return f"{right}, or {head}"


def _one_output(loss: KerasObject) -> bool:
    """Whether the loss takes a single output for two classes."""
    return losses.LABEL_MODES[loss.class_name] == "binary"


def _from_logits(loss: KerasObject) -> bool:
    return loss.arguments.get("from_logits") is True
