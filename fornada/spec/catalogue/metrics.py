"""Metrics: they are computed in addition to the loss."""

from fornada.spec.catalogue.arguments import BOOLEAN, COUNT, NO_DTYPE, SHARE
from fornada.spec.catalogue.family import Entry, Family
from fornada.spec.kinds.compound import Either, ListOf, Nullable
from fornada.spec.kinds.kind import Kind
from fornada.spec.kinds.plain import Choice, Integer, Number
from fornada.spec.kinds.text import Label

_DTYPE = {"dtype": NO_DTYPE}
_NAMED: dict[str, Kind] = {"name": Label()}
_THRESHOLDS = Nullable(Either(SHARE, ListOf(SHARE)))
_COUNTING: dict[str, Kind] = {
    "thresholds": _THRESHOLDS,
    "top_k": Nullable(COUNT),
    "class_id": Nullable(Integer(minimum=0)),
    **_NAMED,
}
_AUC: dict[str, Kind] = {
    "num_thresholds": Integer(minimum=2, maximum=100_000),
    "curve": Choice("ROC", "PR"),
    "summation_method": Choice("interpolation", "minoring", "majoring"),
    **_NAMED,
    "thresholds": Nullable(ListOf(SHARE)),
    "multi_label": BOOLEAN,
    "num_labels": Nullable(COUNT),
    "label_weights": Nullable(ListOf(Number(minimum=0))),
    "from_logits": BOOLEAN,
}

METRICS = {
    "accuracy": Entry("How often the answer is right; Keras chooses it to fit the labels."),
    "sparse_categorical_accuracy": Entry(
        "How often the most likely class is right, with label_mode int.",
        with_arguments="SparseCategoricalAccuracy",
    ),
    "categorical_accuracy": Entry(
        "How often the most likely class is right, with label_mode categorical.",
        with_arguments="CategoricalAccuracy",
    ),
    "binary_accuracy": Entry(
        "How often the output lies on the right side of 0.5.",
        with_arguments="BinaryAccuracy",
    ),
    "sparse_top_k_categorical_accuracy": Entry(
        "How often the right class is among the five most likely.",
        with_arguments="SparseTopKCategoricalAccuracy",
    ),
    "SparseCategoricalAccuracy": Entry("sparse_categorical_accuracy, as a class.", _NAMED, _DTYPE),
    "CategoricalAccuracy": Entry("categorical_accuracy, as a class.", _NAMED, _DTYPE),
    "BinaryAccuracy": Entry(
        "How often the output lies on the right side of the threshold.",
        # A threshold of 0 is for logits.
        {**_NAMED, "threshold": Number(minimum=0, below=1)},
        _DTYPE,
    ),
    "SparseTopKCategoricalAccuracy": Entry(
        "How often the right class is among the k most likely.",
        {"k": COUNT, **_NAMED, "from_sorted_ids": BOOLEAN},
        _DTYPE,
    ),
    # Keras would number these names by how many such metrics the process has made before.
    "AUC": Entry(
        "The area under a curve over all thresholds, with label_mode binary or categorical.",
        _AUC,
        _DTYPE,
        defaults={"name": "auc"},
    ),
    "Precision": Entry(
        "The share of the positive answers that are right, with label_mode binary or categorical.",
        _COUNTING,
        _DTYPE,
        defaults={"name": "precision"},
    ),
    "Recall": Entry(
        "The share of the positive images that are found, with label_mode binary or categorical.",
        _COUNTING,
        _DTYPE,
        defaults={"name": "recall"},
    ),
}
_SPARSE = frozenset({"int"})
_ONE_HOT = frozenset({"categorical"})
_OUTPUTS = frozenset({"binary", "categorical"})
# The label modes that each metric works with.
LABEL_MODES = {
    "accuracy": frozenset({"int", "categorical", "binary"}),
    "sparse_categorical_accuracy": _SPARSE,
    "SparseCategoricalAccuracy": _SPARSE,
    "sparse_top_k_categorical_accuracy": _SPARSE,
    "SparseTopKCategoricalAccuracy": _SPARSE,
    "categorical_accuracy": _ONE_HOT,
    "CategoricalAccuracy": _ONE_HOT,
    "binary_accuracy": _OUTPUTS,
    "BinaryAccuracy": _OUTPUTS,
    "AUC": _OUTPUTS,
    "Precision": _OUTPUTS,
    "Recall": _OUTPUTS,
}
FAMILY = Family(
    "metrics",
    "a metric",
    METRICS,
    {"auc": "AUC", "precision": "Precision", "recall": "Recall"},
)
