"""Measures a model on the test set."""

from collections.abc import Callable

import keras
import numpy as np
from numpy.typing import NDArray

from fornada.spec import Spec
from fornada.spec.checks import outputs
from fornada.worker.messages import PerClass, TestResult
from fornada.worker.trainer.data.sets import Images
from fornada.worker.trainer.engine import Engine


def evaluate(
    engine: Engine,
    spec: Spec,
    images: Images,
    classes: tuple[str, ...],
    check: Callable[[], None],
) -> TestResult:
    """Measure a model on the test set, in its fixed order.

    Args:
        engine: the model's engine.
        spec: its loss and its model.
        images: the test set.
        classes: class names in the order of the labels.
        check: called between blocks of batches; an exception from it ends the evaluation.
    """
    logs = engine.evaluate(images, keras.callbacks.CallbackList(), check)
    logits = bool(spec.compile.loss.arguments["from_logits"])
    # The outputs of a sigmoid are compared with 0.5, whatever `from_logits` says. Keras's
    # `accuracy` does the same.
    between_0_and_1 = outputs.of(spec.model).gives is outputs.Gives.BETWEEN_0_AND_1
    predicted = predicted_labels(
        engine.predict(images, check), from_logits=logits and not between_0_and_1
    )
    matrix = confusion_matrix(images.labels, predicted, len(classes))
    return TestResult(
        loss=logs.pop("loss"),
        metrics=logs,
        classes=list(classes),
        confusion_matrix=matrix.tolist(),
        per_class=per_class(matrix, classes),
    )


def predicted_labels(outputs: NDArray[np.float32], *, from_logits: bool) -> NDArray[np.int64]:
    """The class that a model chooses for each image.

    Args:
        outputs: shape (count, classes), or (count, 1) with `label_mode: binary`.
        from_logits: whether outputs are logits; matters only for shape (count, 1).
    Returns:
        Labels, shape (count,).
    """
    if outputs.shape[1] > 1:
        return np.asarray(outputs.argmax(axis=1), np.int64)
    # A probability of 0.5 is a logit of 0.
    return np.asarray(outputs[:, 0] > (0.0 if from_logits else 0.5), np.int64)


def confusion_matrix(
    labels: NDArray[np.int32], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Count images by true class (rows) and predicted class (columns)."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def per_class(matrix: NDArray[np.int64], classes: tuple[str, ...]) -> dict[str, PerClass]:
    """Precision, recall, F1 and support of each class; 0 instead of a division by zero."""
    correct = matrix.diagonal()
    predicted, support = matrix.sum(axis=0), matrix.sum(axis=1)
    return {
        name: PerClass(
            precision=_share(correct[i], predicted[i]),
            recall=_share(correct[i], support[i]),
            f1=_share(2 * correct[i], predicted[i] + support[i]),
            support=int(support[i]),
        )
        for i, name in enumerate(classes)
    }


def _share(part: np.int64, whole: np.int64) -> float:
    return float(part / whole) if whole else 0.0
