"""What becomes of good and bad jobs, told in this process: Keras is imported once."""

import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from fornada.db.states import FailureCode, StopReason
from fornada.settings import Settings
from fornada.spec import KerasObject
from fornada.spec.catalogue import FAMILIES
from fornada.worker.messages import EpochReport, Failed, Finished, Started, Stopped, WhyStop
from fornada.worker.trainer import preview
from fornada.worker.trainer.evaluate import confusion_matrix, per_class, predicted_labels
from fornada.worker.trainer.failures import TrainingFailed, failure
from fornada.worker.trainer.model.build import _min_pooling
from fornada.worker.trainer.model.keras_objects import CLASSES, METRIC_FUNCTIONS, make
from fornada.worker.trainer.process.pipes import StopRequest
from fornada.worker.trainer.run import JobRun
from tests.services.trainer_jobs import BINARY, CATEGORICAL, document, job, write_images

# Keras converts its variables in a way that this NumPy warns about and the next refuses.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SETTINGS = Settings(max_parameters=10_000_000)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("verdicts")
    write_images(root / "Train", {"a": 12, "b": 12, "c": 12})
    write_images(root / "Test", {"a": 5, "b": 6, "c": 7}, seed=1)
    write_images(root / "Two" / "Train", {"no": 12, "yes": 12})
    write_images(root / "Two" / "Test", {"no": 5, "yes": 6}, seed=1)
    return root


class Told:
    """Bakes a job and keeps what it tells."""

    def __init__(
        self, root: Path, folder: Path, asked: StopRequest | None = None, **changes: Any
    ) -> None:
        self.messages: list[Started | EpochReport] = []
        job_run = JobRun(
            job(document(**changes), root, folder),
            SETTINGS,
            asked or StopRequest(),
            self.messages.append,
        )
        self.verdict = job_run.verdict()

    @property
    def epochs(self) -> list[EpochReport]:
        return [message for message in self.messages if isinstance(message, EpochReport)]

    @property
    def failed(self) -> Failed:
        assert isinstance(self.verdict, Failed)
        return self.verdict

    @property
    def finished(self) -> Finished:
        assert isinstance(self.verdict, Finished), self.verdict
        return self.verdict


def dense(units: int) -> list[Any]:
    return ["Flatten", {"Dense": {"units": units, "activation": "softmax"}}]


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        (
            {"model": [{"Conv2D": {"filters": 2, "kernel_size": 9}}, *dense(3)]},
            FailureCode.MODEL_INVALID,
            "model.0.Conv2D: its kernel_size covers 9 x 9 pixels",
        ),
        (
            {"model": ["Flatten", {"Conv2D": {"filters": 2, "kernel_size": 3}}, *dense(3)]},
            FailureCode.MODEL_INVALID,
            "model.1.Conv2D: its input has the shape",
        ),
        (
            {
                "model": [
                    "Flatten",
                    {"Dense": {"units": 3, "activation": {"softmax": {"axis": -2}}}},
                ]
            },
            FailureCode.MODEL_INVALID,
            "model.1.Dense: axis -2",
        ),
        (
            {"model": ["Flatten", {"BatchNormalization": {"axis": 3}}, *dense(3)[1:]]},
            FailureCode.MODEL_INVALID,
            "model.1.BatchNormalization: axis 3",
        ),
        (
            {"model": [{"LayerNormalization": {"axis": [-1, 3]}}, *dense(3)]},
            FailureCode.MODEL_INVALID,
            "model.0.LayerNormalization: axis -1, 3",
        ),
        (
            {"compile__loss": {"SparseCategoricalCrossentropy": {"ignore_class": 3}}},
            FailureCode.SPEC_INVALID,
            "compile.loss.SparseCategoricalCrossentropy.ignore_class: ",
        ),
        (
            {"model": [*dense(4), {"Reshape": {"target_shape": [4]}}]},
            FailureCode.MODEL_INVALID,
            "model.2.Reshape: the model gives an output of shape (4,)",
        ),
        (
            {"model": dense(4)},
            FailureCode.SPEC_INVALID,
            "model.1.Dense.units: 4 outputs for 3 classes.",
        ),
        (
            {"model": ["Flatten", {"Dense": {"units": 10**6}}, *dense(3)[1:]]},
            FailureCode.RESOURCE_LIMIT,
            "model.1.Dense: the model reaches 193,000,000 parameters",
        ),
        (
            {
                "model": [
                    {"ZeroPadding2D": {"padding": 8000}},
                    "GlobalMaxPooling2D",
                    *dense(3)[1:],
                ],
                "data__batch_size": 4096,
            },
            FailureCode.RESOURCE_LIMIT,
            "model.0.ZeroPadding2D: training would need",
        ),
        (
            {
                "compile__metrics": [{"SparseTopKCategoricalAccuracy": {"k": 2}}],
                "fit__precision": "mixed_bfloat16",
            },
            FailureCode.MODEL_INVALID,
            "compile.SparseTopKCategoricalAccuracy: ",
        ),
        (
            {
                "model": ["Flatten", {"Dense": {"units": 3, "activity_regularizer": "l2"}}],
                "fit__precision": "mixed_float16",
            },
            FailureCode.MODEL_INVALID,
            "model.1.Dense.activity_regularizer: ",
        ),
        ({"data__train": "None"}, FailureCode.DATA_MISSING, "None: "),
        ({"fit__class_weight": {"zebra": 1.0}}, FailureCode.SPEC_INVALID, "zebra: "),
        ({"model": [{"Lambda": {}}]}, FailureCode.SPEC_INVALID, "Lambda"),
    ],
)
def test_what_cannot_be_trained_is_told_before_the_first_epoch(
    root: Path, tmp_path: Path, changes: dict[str, Any], code: FailureCode, words: str
) -> None:
    told = Told(root, tmp_path, **changes)
    assert told.messages == []
    assert told.failed.code is code
    assert words in told.failed.message
    assert told.failed.epoch == 0


def one_hot(metric: Any) -> dict[str, Any]:
    compiled = {"optimizer": "Adam", "loss": "CategoricalCrossentropy", "metrics": [metric]}
    return {**CATEGORICAL, "compile": compiled}


def first(*layers: Any) -> dict[str, Any]:
    return {"model": [*layers, *dense(3)]}


def hidden(**arguments: Any) -> dict[str, Any]:
    return {"model": ["Flatten", {"Dense": {"units": 4, **arguments}}, *dense(3)[1:]]}


FLAT = "Flatten"
OPEN = {"Conv2D": {"filters": "classes", "kernel_size": 1}}
ORTHOGONAL = "OrthogonalRegularizer"


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        (one_hot({"Precision": {"class_id": 7}}), "compile.metrics.Precision.class_id"),
        (first(FLAT, {"BatchNormalization": {"axis": 3}}), "model.1.BatchNormalization"),
        (first(FLAT, {"LayerNormalization": {"axis": [1, 2]}}), "model.1.LayerNormalization"),
        (first({"LayerNormalization": {"axis": [-1, 3]}}), "model.0.LayerNormalization"),
        (
            first({"Normalization": {"mean": [1, 2], "variance": [1, 2]}}),
            "model.0.Normalization",
        ),
        (first({"Rescaling": {"scale": [1, 2]}}), "model.0.Rescaling"),
        # Keras makes two outputs of one here, and says that there is one.
        (
            {
                **BINARY,
                "data__train": "Two/Train",
                "data__test": "Two/Test",
                "model": [*BINARY["model"], {"Rescaling": {"scale": [1, 2]}}],
            },
            "model.2.Rescaling",
        ),
        # A spec alone does not tell the size behind a layer of as many filters as classes.
        (first(OPEN, FLAT, "RandomFlip"), "model.2.RandomFlip"),
        (first(OPEN, FLAT, {"RandomContrast": {"factor": 0.2}}), "model.2.RandomContrast"),
        (first(FLAT, {"Dropout": {"rate": 0.5, "noise_shape": [None]}}), "model.1.Dropout"),
        (first(FLAT, {"Dropout": {"rate": 0.5, "noise_shape": [8, 1]}}), "model.1.Dropout"),
        (hidden(activation={"softmax": {"axis": 3}}), "model.1.Dense"),
        (hidden(kernel_initializer={"Constant": {"value": [1, 2, 3]}}), "model.1.Dense"),
        (hidden(activity_regularizer=ORTHOGONAL), "model.1.Dense"),
        (
            hidden(bias_regularizer=ORTHOGONAL),
            f"model.1.Dense.bias_regularizer.{ORTHOGONAL}",
        ),
        (
            hidden(kernel_constraint={"MaxNorm": {"axis": 2}}),
            "model.1.Dense.kernel_constraint.MaxNorm",
        ),
    ],
)
def test_what_keras_refuses_at_its_first_batch_is_told_before(
    root: Path, tmp_path: Path, changes: dict[str, Any], place: str
) -> None:
    told = Told(root, tmp_path, **changes)
    assert told.messages == []
    assert told.failed.code in (FailureCode.SPEC_INVALID, FailureCode.MODEL_INVALID)
    assert told.failed.message.startswith(f"{place}: ")


@pytest.mark.filterwarnings("ignore:.*received .from_logits=True:UserWarning")
def test_a_head_that_does_not_fit_is_said_in_the_log(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # With TensorFlow it learns, since the loss is computed from what the sigmoid was given.
    compiled: dict[str, Any] = {"optimizer": "Adam", "metrics": ["accuracy"]}
    compiled["loss"] = {"BinaryCrossentropy": {"from_logits": True}}
    changes = {**BINARY, "data__train": "Two/Train", "data__test": "Two/Test", "compile": compiled}
    told = Told(root, tmp_path, **changes)
    assert "warning: model.1.Dense.activation: sigmoid" in capsys.readouterr().out
    test = told.finished.test
    assert test is not None
    # The confusion matrix says what Keras's accuracy says.
    right = np.trace(np.asarray(test.confusion_matrix)) / np.sum(test.confusion_matrix)
    assert right == pytest.approx(test.metrics["accuracy"])


@pytest.mark.parametrize("callbacks", [[], ["TerminateOnNaN"]])
def test_a_loss_that_turns_nan_has_diverged(
    root: Path, tmp_path: Path, callbacks: list[Any]
) -> None:
    optimizer = {"SGD": {"learning_rate": 1e30}}
    told = Told(root, tmp_path, compile__optimizer=optimizer, callbacks=callbacks)
    assert told.failed.code is FailureCode.DIVERGED
    assert told.failed.epoch == len(told.epochs) + 1
    assert f"epoch {told.failed.epoch}: the loss is" in told.failed.message
    # Nothing that is not finite was ever kept.
    assert told.failed.best is None or math.isfinite(told.failed.best.value)


def test_an_error_of_terminate_on_nan_is_the_verdict(root: Path, tmp_path: Path) -> None:
    callbacks = [{"TerminateOnNaN": {"raise_error": True}}]
    optimizer = {"SGD": {"learning_rate": 1e30}}
    told = Told(root, tmp_path, compile__optimizer=optimizer, callbacks=callbacks)
    assert told.failed.code is FailureCode.DIVERGED
    assert told.failed.epoch == len(told.epochs) + 1
    # Keras's own words, which name the batch.
    assert "loss encountered at batch" in told.failed.message


def test_early_stopping_is_a_reason(root: Path, tmp_path: Path) -> None:
    stopping = {"EarlyStopping": {"monitor": "val_loss", "patience": 1, "min_delta": 9}}
    told = Told(root, tmp_path, callbacks=[stopping], fit__epochs=20)
    assert told.finished.stop_reason is StopReason.EARLY_STOPPING
    assert len(told.epochs) == 2


def test_without_validation_the_loss_decides(root: Path, tmp_path: Path) -> None:
    told = Told(root, tmp_path, data__validation_split=None, data__test=None)
    assert told.finished.best.monitor == "loss"
    assert told.finished.test is None
    assert not (tmp_path / "evaluation.json").exists()


def test_the_first_checkpoint_decides(root: Path, tmp_path: Path) -> None:
    name = "val_sparse_categorical_accuracy"
    checkpoints = [
        {"ModelCheckpoint": {"monitor": name, "mode": "max", "save_best_only": True}},
        {"ModelCheckpoint": {"monitor": "loss", "mode": "min", "save_best_only": True}},
    ]
    told = Told(root, tmp_path, callbacks=checkpoints, fit__epochs=5)
    values = [epoch.metrics[name] for epoch in told.epochs]
    best = told.finished.best
    assert (best.monitor, best.value) == (name, max(values))
    # Of equals the first is kept, as in Keras.
    assert best.epoch == values.index(max(values)) + 1
    assert not (tmp_path / "last.keras").exists()


def test_the_best_model_is_measured_and_not_the_last(root: Path, tmp_path: Path) -> None:
    # The first epoch is "best": every later one has a smaller loss.
    first = {"ModelCheckpoint": {"monitor": "loss", "mode": "max", "save_best_only": False}}
    told = Told(root, tmp_path, callbacks=[first], fit__epochs=5)
    assert told.finished.best.epoch == 1
    test = told.finished.test
    assert test is not None
    data = keras.utils.image_dataset_from_directory(
        root / "Test", image_size=(8, 8), batch_size=8, shuffle=False, verbose=False
    )
    losses = {
        name: keras.models.load_model(tmp_path / name).evaluate(data, verbose=0)[0]
        for name in ("best.keras", "last.keras")
    }
    assert test.loss == pytest.approx(losses["best.keras"], rel=1e-5)
    assert test.loss != pytest.approx(losses["last.keras"], rel=1e-2)


@pytest.mark.parametrize(
    "changes", [{**BINARY, "data__train": "Two/Train", "data__test": "Two/Test"}, CATEGORICAL]
)
def test_other_label_modes_are_measured(
    root: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    told = Told(root, tmp_path, **changes)
    test = told.finished.test
    assert test is not None
    matrix = np.array(test.confusion_matrix)
    accuracy = matrix.trace() / matrix.sum()
    assert test.metrics["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert {*test.metrics, "loss"} == {
        name for name in told.epochs[0].metrics if not name.startswith("val_")
    }


class AskedWhileReading(StopRequest):
    """Asked from the start, as by a cancel that overtakes the job."""

    def __init__(self) -> None:
        super().__init__()
        self.ask(WhyStop.CANCEL)


def test_stop_while_data_are_read(root: Path, tmp_path: Path) -> None:
    told = Told(root, tmp_path, AskedWhileReading())
    assert told.messages == []
    assert isinstance(told.verdict, Stopped)
    assert (told.verdict.reason, told.verdict.best) == (WhyStop.CANCEL, None)


def test_a_folder_that_cannot_be_written(root: Path, tmp_path: Path) -> None:
    (tmp_path / "best.keras").mkdir()
    told = Told(root, tmp_path)
    assert told.failed.code is FailureCode.ARTIFACT_WRITE
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("writing")] == []


def test_looks_at_what_is_right(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert look_at("build", root, tmp_path, {}) == 0
    printed = json.loads(capsys.readouterr().out)["text"]
    for words in ("Total params", "parameters: 3,139", "memory while training"):
        assert words in printed
    assert look_at("data", root, tmp_path, {}) == 0
    printed = json.loads(capsys.readouterr().out)["text"]
    assert "train 27, validation 9, test 18 images" in printed
    assert "fingerprint" in printed


def test_looks_at_what_is_wrong(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_ended = [*dense(4), {"Reshape": {"target_shape": [4]}}]
    assert look_at("build", root, tmp_path, {"model": open_ended}) == 3
    answer = json.loads(capsys.readouterr().out)
    assert answer["code"] == "MODEL_INVALID"
    assert answer["message"].startswith("model.2.Reshape")
    assert look_at("data", root, tmp_path, {"model": "none"}) == 3
    assert json.loads(capsys.readouterr().out)["code"] == "SPEC_INVALID"


def look_at(which: str, root: Path, tmp_path: Path, changes: dict[str, Any]) -> int:
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(document(**changes)))
    return {"build": preview.build, "data": preview.data}[which](file, root)


def test_min_pooling_is_the_least_of_each_window() -> None:
    item = KerasObject("MinPooling2D", {"pool_size": (2, 2), "strides": None, "padding": "same"})
    images = np.random.default_rng(0).normal(size=(2, 5, 5, 3)).astype(np.float32)
    flow: Any = images
    for layer in _min_pooling(item, "model.0.MinPooling2D"):
        flow = layer(flow)
    expected = -np.asarray(keras.layers.MaxPooling2D(padding="same")(-images))
    np.testing.assert_array_equal(np.asarray(flow), expected)
    assert np.asarray(flow)[0, 0, 0, 0] == images[0, :2, :2, 0].min()


def test_measures_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2], np.int32)
    outputs = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 0, 0]]
    predicted = predicted_labels(outputs, from_logits=False)
    matrix = confusion_matrix(labels, predicted, 3)
    assert matrix.tolist() == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]
    measures = per_class(matrix, ("a", "b", "c"))
    assert (measures["a"].precision, measures["a"].recall) == (2 / 4, 2 / 3)
    assert measures["a"].f1 == pytest.approx(2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))
    assert measures["c"].model_dump() == {"precision": 0, "recall": 0, "f1": 0, "support": 1}


def test_one_output_is_cut_at_one_half() -> None:
    outputs = np.array([[0.2], [0.7]], np.float32)
    assert predicted_labels(outputs, from_logits=False).tolist() == [0, 1]
    assert predicted_labels(outputs, from_logits=True).tolist() == [1, 1]


def test_the_table_holds_what_a_spec_may_name() -> None:
    named = {
        name: family
        for family, catalogue in FAMILIES.items()
        for name in catalogue.entries
        # The model's builder knows these two, `from_spec` the third; activations are by name.
        if name not in {"Input", "MinPooling2D", "ModelCheckpoint"} and family != "activations"
    }
    functions = {name for name in named if name == name.lower()}
    assert functions == METRIC_FUNCTIONS
    assert set(CLASSES) == set(named) - functions
    for name, family in named.items():
        if name in CLASSES:
            modules = {"schedules": keras.optimizers.schedules}
            assert CLASSES[name] is getattr(modules.get(family, getattr(keras, family, None)), name)


@pytest.mark.parametrize("name", FAMILIES["activations"].entries)
def test_activations_survive_saving(name: str, tmp_path: Path) -> None:
    with_arguments = {name: value.parsed_default for name, value in _arguments(name).items()}
    made = make(KerasObject(name, with_arguments), "model.0") if with_arguments else name
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation=made)])
    model.save(tmp_path / "model.keras")
    inputs = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(inputs), model(inputs))


def _arguments(name: str) -> Any:
    return FAMILIES["activations"].arguments[name].fields


def test_nothing_outside_the_table_can_be_made() -> None:
    for name in ("Lambda", "TorchModuleWrapper", "StringLookup", "keras.utils.set_random_seed"):
        with pytest.raises(TrainingFailed, match="not supported"):
            make(KerasObject(name, {}), "model.0")


class ResourceExhaustedError(Exception):
    """As TensorFlow's is called."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), FailureCode.HOST_OOM),
        (ResourceExhaustedError("OOM on /job:localhost/device:CPU:0"), FailureCode.HOST_OOM),
        (ResourceExhaustedError("OOM on /job:localhost/device:GPU:0"), FailureCode.GPU_OOM),
        (ResourceExhaustedError("x; No space left on device"), FailureCode.DISK_FULL),
        (OSError(28, "No space left on device"), FailureCode.DISK_FULL),
        (OSError(5, "Input/output error"), FailureCode.ARTIFACT_WRITE),
        (ZeroDivisionError(), FailureCode.INTERNAL),
    ],
)
def test_codes_of_exceptions(error: Exception, code: FailureCode) -> None:
    assert failure(error).code is code
