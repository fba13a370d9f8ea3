"""What a model gives, against what its loss and metrics take it for.

All of this is a warning: Keras trains such a model too, and only the numbers are not what was
meant. Each rule was compared with `keras/src/losses/losses.py`, `metrics/` and `backend/*/nn.py`.
"""

from fornada.spec.catalogue import losses
from fornada.spec.checks import outputs
from fornada.spec.checks.draft import Draft
from fornada.spec.checks.outputs import Gives, ModelOutput
from fornada.spec.kinds.reading import At
from fornada.spec.values import KerasObject

# What each loss needs; the key is whether one output tells two classes, and `from_logits`.
_FITTING = {
    (False, False): frozenset({Gives.PROBABILITIES}),
    (False, True): frozenset({Gives.LOGITS, Gives.LOGARITHMS}),
    (True, False): frozenset({Gives.SHARES}),
    (True, True): frozenset({Gives.LOGITS}),
}
# What one output always is after these.
_CONSTANT = {"softmax": "1", "sparsemax": "1", "log_softmax": "0"}
# With TensorFlow and in float32, Keras computes the loss from the numbers before these, whatever
# from_logits says: `_get_logits` in `backend/tensorflow/nn.py`.
_REMEMBERED = frozenset({"sigmoid", "softmax"})
# Outputs that from_logits: true may be meant for.
_REAL = frozenset({Gives.LOGITS, Gives.LOGARITHMS})
# What metrics compare with a threshold above 0 are probabilities.
_RIGHT_METRIC = {
    "AUC": "from_logits: true",
    "BinaryAccuracy": "threshold: 0",
    "Precision": "thresholds: 0",
    "Recall": "thresholds: 0",
}


def check(draft: Draft, at: At) -> None:
    """Warn of a head that does not fit its loss, and of metrics that do not fit the head.

    Args:
        draft: whose model, loss and metrics have no problem.
        at: the root of the reading.
    """
    if draft.loss is None or not draft.model:
        return
    output = outputs.of(draft.model)
    if sentence := _unfit(output, draft.loss):
        _place(output, draft, at).warn(sentence)
    for metric in draft.metrics:
        _metric(metric, output, draft.loss, at)


def _unfit(output: ModelOutput, loss: KerasObject) -> str:
    """Why an output does not fit a loss, and what to write; empty where it fits."""
    single, logits = _single(loss), _logits(loss)
    if single and output.function in _CONSTANT:
        value = _CONSTANT[output.function]
        return (
            f"{output.function} of one output is always {value}, so the model tells nothing. "
            f"Expected {_right(output, 'linear' if logits else 'sigmoid')}."
        )
    if output.gives in _FITTING[single, logits]:
        return ""
    return f"{_what(output)}, and {_needs(loss)}. {_effect(output, loss)} {_remedy(output, loss)}"


def _what(output: ModelOutput) -> str:
    name = output.function or _unactivated(output.layer)
    return {
        Gives.PROBABILITIES: f"{name} gives probabilities",
        Gives.SHARES: f"{name} gives numbers between 0 and 1 that do not add up to 1",
        Gives.LOGITS: f"{name} gives any number",
        Gives.LOGARITHMS: f"{name} gives logarithms of probabilities",
        Gives.LIMITED: f"{name} gives neither probabilities nor every number",
        Gives.CHANGED: f"{_changer(output)} changes the probabilities of {output.function}",
        Gives.TWICE: f"{name} takes what is between 0 and 1 already for any number",
        Gives.ASKEW: f"{name} along this axis does not add up to 1 over the classes",
    }[output.gives]


def _unactivated(layer: KerasObject | None) -> str:
    if layer is None:
        return "an image"
    without = " without activation" if "activation" in layer.arguments else ""
    return f"{layer.class_name}{without}"


def _changer(output: ModelOutput) -> str:
    return output.layer.class_name if output.layer else ""


def _needs(loss: KerasObject) -> str:
    if _logits(loss):
        return f"{loss.class_name} with from_logits: true needs any number"
    kind = "a number between 0 and 1" if _single(loss) else "probabilities that add up to 1"
    return f"{loss.class_name} needs {kind}"


def _effect(output: ModelOutput, loss: KerasObject) -> str:
    if output.gives in (Gives.TWICE, Gives.CHANGED, Gives.ASKEW):
        return "The model learns less than it could, or nothing."
    if output.function in _REMEMBERED:
        return (
            "The loss is then another one with TensorFlow than with JAX or in mixed precision, "
            "and the model may learn little."
        )
    if _logits(loss):
        return "Some answers can never be given with certainty."
    if output.gives is Gives.SHARES:
        return "Keras divides them by their sum, so the model itself gives no probabilities."
    return "Keras cuts the outputs to between 0 and 1, and the model learns little or nothing."


def _remedy(output: ModelOutput, loss: KerasObject) -> str:
    function = "sigmoid" if _single(loss) else "softmax"
    if output.gives is Gives.CHANGED and not _logits(loss):
        return f"Expected {_changer(output)} before {output.function}, or not at all."
    if output.gives is Gives.ASKEW:
        return "Expected axis: -1."
    if output.gives is Gives.TWICE:
        return f"Expected one of the two, and {function} as the last."
    if not _logits(loss):
        either = " or from_logits: true in the loss" if output.gives in _REAL else ""
        return f"Expected {_right(output, function)}{',' if either else ''}{either}."
    if output.function == function:
        return f"Expected from_logits: false in the loss, or {_right(output, 'linear')}."
    return f"Expected {_right(output, 'linear')}, or {function} and from_logits: false in the loss."


def _right(output: ModelOutput, function: str) -> str:
    """How to write an activation where the output is made."""
    if output.layer is None:
        return f"a last layer Dense: {{units: classes, activation: {function}}}"
    if "activation" in output.layer.arguments:
        return f"activation: {function}"
    return f"Activation: {{activation: {function}}} as the last layer"


def _place(output: ModelOutput, draft: Draft, at: At) -> At:
    here = at.place_of(output.layer or draft.model[-1])
    if output.layer is not None and "activation" in output.layer.arguments:
        return here.key("activation")
    return here


def _metric(metric: KerasObject, output: ModelOutput, loss: KerasObject, at: At) -> None:
    here = at.place_of(metric)
    logits = _takes_logits(metric, single=_single(loss))
    # Where the head does not fit the loss, mending one of the two mends the metric too.
    if logits is None or logits in (output.gives in _REAL, _logits(loss)):
        return
    key, argument = _deciding(metric)
    here = here.key(key) if key else here
    if logits:
        here.warn(
            f"{argument} is for logits, and the model gives probabilities: the value says little. "
            f"Expected {'from_logits: false' if key == 'from_logits' else 'a number above 0'}."
        )
    else:
        here.warn(
            f"{argument} is for probabilities, and the model gives logits: the value is another "
            f"one than is meant. Expected {_for_logits(metric, loss)}."
        )


def _takes_logits(metric: KerasObject, *, single: bool) -> bool | None:
    """Whether a metric takes outputs for logits; None where it does not matter."""
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


def _deciding(metric: KerasObject) -> tuple[str, str]:
    """The argument that says what a metric takes, and how to call it."""
    if metric.class_name not in _RIGHT_METRIC:
        return "", "the threshold of 0.5"
    key = _RIGHT_METRIC[metric.class_name].partition(":")[0]
    value = metric.arguments.get(key)
    if key == "from_logits":
        return key, f"{key}: {'true' if value else 'false'}"
    return key, f"a threshold {'of' if value in (0, (0,)) else 'above'} 0"


def _for_logits(metric: KerasObject, loss: KerasObject) -> str:
    function = "sigmoid" if _single(loss) else "softmax"
    head = f"{function} in the model and from_logits: false in the loss"
    # No threshold of logits means one half where softmax would make the probabilities.
    if not _single(loss) and metric.class_name != "AUC":
        return head
    right = _RIGHT_METRIC.get(metric.class_name, "{BinaryAccuracy: {threshold: 0}}")
    return f"{right}, or {head}"


def _single(loss: KerasObject) -> bool:
    """Whether one output tells two classes."""
    return losses.LABEL_MODES[loss.class_name] == "binary"


def _logits(loss: KerasObject) -> bool:
    return loss.arguments.get("from_logits") is True
