"""Files of named checkpoints and averaged weights: what Keras leaves after the same `fit`."""

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from fornada.settings import Settings
from fornada.spec import Spec, from_document
from fornada.worker.messages import Failed, Stopped
from fornada.worker.trainer.callbacks import SwapEMAWeights
from fornada.worker.trainer.data.sets import Sets, read_sets
from fornada.worker.trainer.model.build import build
from fornada.worker.trainer.outputs import atomic_files
from tests.services.resuming import Run, attempt, outcome, run_job, same, weights_of
from tests.services.test_parity import JAX, InOrder, spec_of, training_of, variables
from tests.services.trainer_jobs import document, write_images

# Keras converts its variables in a way that this NumPy warns about and the next refuses.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# On JAX sums may be in another order.
WITHIN = 1e-4 if JAX else 0
EPOCHS = 4
SWAP = {"SwapEMAWeights": {"swap_on_epoch": True}}
# At once: no epoch after the second is better.
STOP = {"EarlyStopping": {"monitor": "val_loss", "patience": 1, "min_delta": 9.0}}
BEST = {"ModelCheckpoint": {"monitor": "val_loss", "save_best_only": True}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkpoints")
    write_images(root / "Train", {"a": 12, "b": 13, "c": 12})
    return root


def averaging(optimizer: str, every: int | None, *callbacks: Any) -> Spec:
    arguments: dict[str, Any] = {
        "learning_rate": 0.01,
        "use_ema": True,
        "ema_momentum": 0.7,
        "ema_overwrite_frequency": every,
    }
    return spec_of(
        fit__epochs=EPOCHS, compile__optimizer={optimizer: arguments}, callbacks=list(callbacks)
    )


def trained(spec: Spec, sets: Sets, folder: Path) -> keras.Model:
    """Train here, as a job does; the model as `last.keras` has it."""
    folder.mkdir()
    model = build(spec, sets.input_shape, len(sets.classes), Settings())
    training = training_of(spec, model, sets, folder)
    training.begin()
    training.run(lambda epoch: None)
    training.finish()
    return model


def fitted(spec: Spec, sets: Sets, callbacks: list[Any]) -> keras.Model:
    """Train with `fit` and these callbacks, on the same batches."""
    model = build(spec, sets.input_shape, len(sets.classes), Settings())
    train = InOrder(spec, sets.train, shuffle=True)
    assert sets.validation is not None
    model.fit(
        train,
        epochs=EPOCHS,
        validation_data=InOrder(spec, sets.validation, shuffle=False),
        callbacks=[train.follow(), *callbacks],
        shuffle=False,
        verbose=0,
    )
    return model


def alike(mine: keras.Model, its: keras.Model) -> None:
    for our, their in zip(variables(mine), variables(its), strict=True):
        np.testing.assert_allclose(our, their, rtol=WITHIN, atol=WITHIN)


def loaded(path: Path) -> keras.Model:
    return keras.models.load_model(path)


# Every optimizer; one of those that decay weights and one that does not overwrites them as well.
@pytest.mark.parametrize(
    ("every", "optimizer"),
    [(None, "Adam"), (None, "AdamW"), (None, "RMSprop"), (None, "SGD"), (3, "AdamW"), (3, "SGD")],
)
def test_averages_end_as_under_fit(
    optimizer: str, every: int | None, root: Path, tmp_path: Path
) -> None:
    spec = averaging(optimizer, every, BEST)
    sets = read_sets(spec, root, Settings())
    spec = spec.with_classes(3)
    mine = trained(spec, sets, tmp_path / "ours")
    keras_own = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True)
    its = fitted(spec, sets, [keras_own])
    alike(mine, its)
    alike(loaded(tmp_path / "ours" / "last.keras"), its)
    alike(loaded(tmp_path / "ours" / "best.keras"), loaded(tmp_path / "best.keras"))
    # The averages are none of the weights that were measured.
    best, last = (loaded(tmp_path / "ours" / name) for name in ("best.keras", "last.keras"))
    assert not np.array_equal(weights(best)[-1], weights(last)[-1])


# Each value beside each value of the others.
@pytest.mark.parametrize(
    ("precision", "stops", "every"),
    [
        ("float32", False, 3),
        ("float32", True, None),
        ("mixed_float16", False, None),
        ("mixed_float16", True, 3),
    ],
)
def test_swapped_averages_are_measured_and_kept(
    every: int | None, stops: bool, precision: str, root: Path, tmp_path: Path
) -> None:
    spec = averaging("Adam", every, SWAP, *([STOP] if stops else []), BEST)
    spec = spec_of_precision(spec, precision)
    sets = read_sets(spec, root, Settings())
    spec = spec.with_classes(3)
    mine = trained(spec, sets, tmp_path / "ours")
    stop = keras.callbacks.EarlyStopping("val_loss", patience=1, min_delta=9.0)
    keras_own = [
        keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
        *([stop] if stops else []),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
    ]
    its = fitted(spec, sets, keras_own)
    alike(mine, its)
    alike(loaded(tmp_path / "ours" / "best.keras"), loaded(tmp_path / "best.keras"))
    best = loaded(tmp_path / "ours" / "best.keras")
    assert sets.validation is not None
    again = best.evaluate(InOrder(spec, sets.validation, shuffle=False), verbose=0)
    assert again[0] == pytest.approx(float(keras_own[-1].best), rel=1e-2 if JAX else 1e-3)


def spec_of_precision(spec: Spec, precision: str) -> Spec:
    found = spec.document()
    found["fit"]["precision"] = precision
    return from_document(found)


def weights(model: keras.Model) -> list[NDArray[Any]]:
    return [np.asarray(weight) for weight in model.get_weights()]


CHECKPOINTS: dict[str, dict[str, Any]] = {
    "every epoch": {"filepath": "{epoch:02d}-{val_loss:.2f}.keras"},
    "weights in a folder": {
        "filepath": "all/{epoch}.weights.h5",
        "save_weights_only": True,
        "monitor": "loss",
    },
    "the best by accuracy": {
        "filepath": "accurate.keras",
        "monitor": "val_sparse_categorical_accuracy",
        "save_best_only": True,
        "verbose": 1,
    },
    "above a threshold": {
        "filepath": "below.keras",
        "monitor": "val_loss",
        "save_best_only": True,
        "initial_value_threshold": 1e-9,
    },
    "the worst": {"filepath": "worst-{epoch}.keras", "mode": "max", "save_best_only": True},
}


def checkpoint(name: str) -> dict[str, Any]:
    return {"ModelCheckpoint": {"monitor": "val_loss", **CHECKPOINTS[name]}}


def test_each_checkpoint_writes_the_files_that_keras_writes(root: Path, tmp_path: Path) -> None:
    named = [checkpoint(name) for name in CHECKPOINTS]
    spec = spec_of(fit__epochs=EPOCHS, callbacks=[BEST, *named])
    sets = read_sets(spec, root, Settings())
    spec = spec.with_classes(3)
    trained(spec, sets, tmp_path / "ours")
    theirs = tmp_path / "theirs"
    keras_own = []
    for arguments in CHECKPOINTS.values():
        path = theirs / str(arguments["filepath"])
        keras_own.append(keras.callbacks.ModelCheckpoint(**{**arguments, "filepath": path}))
    # Keras makes folders for some and not for others.
    (theirs / "all").mkdir(parents=True)
    fitted(spec, sets, keras_own)
    written = {str(path.relative_to(theirs)) for path in theirs.rglob("*") if path.is_file()}
    assert len(written) > 2 * EPOCHS
    for name in written:
        mine, its = (model_of(spec, sets, folder / name) for folder in (tmp_path / "ours", theirs))
        alike(mine, its)
    ours = {str(path.relative_to(tmp_path / "ours")) for path in (tmp_path / "ours").rglob("*")}
    models = {name for name in ours if name.endswith((".keras", ".h5"))}
    own = {name for name in models if name.startswith(("best", "state/"))}
    assert models - own == written


def model_of(spec: Spec, sets: Sets, path: Path) -> keras.Model:
    if path.suffix == ".keras":
        return loaded(path)
    model = build(spec, sets.input_shape, len(sets.classes), Settings())
    model.optimizer.build(model.trainable_variables)
    model.load_weights(path)
    return model


def all_of_them(**changes: Any) -> dict[str, Any]:
    """A job with averages and every kind of file."""
    return document(
        data__test=None,
        fit__epochs=EPOCHS,
        compile__optimizer={"Adam": {"learning_rate": 0.01, "use_ema": True, "ema_momentum": 0.7}},
        callbacks=[SWAP, BEST, *(checkpoint(name) for name in CHECKPOINTS)],
        **changes,
    )


def files_of(folder: Path) -> dict[str, str]:
    """Weights of every model file but the states' and a best model's second name, by name."""
    names = {str(path.relative_to(folder)) for path in folder.rglob("*.keras")}
    passing = {name for name in names if name.startswith(("state/", "best-"))}
    return {name: weights_of(folder / name) for name in names - passing}


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """That job from start to end."""
    return run_job(all_of_them(), root, attempt(tmp_path_factory.mktemp("whole"), 1))


# Between two epochs, within one, and within its validation, when the averages are in the model.
@pytest.mark.parametrize("place", [(2, 0), (2, 2), (2, 4), (3, 4)])
def test_goes_on_with_averages_and_files(
    place: tuple[int, int], whole: Run, root: Path, tmp_path: Path
) -> None:
    first = run_job(all_of_them(), root, attempt(tmp_path, 1, "again"), stop=place)
    assert isinstance(first.verdict, Stopped), first.verdict
    # Written after the state that is gone on from: no part of it.
    (first.folder / "worst-99.keras").write_bytes(b"later")
    second = run_job(all_of_them(), root, attempt(tmp_path, 2, "again"), resume_from=[first.folder])
    same(outcome(second.folder, second.finished), outcome(whole.folder, whole.finished))
    assert files_of(second.folder) == files_of(whole.folder)
    reported = {file.path for file in second.finished.files if file.kind == atomic_files.CHECKPOINT}
    named = [path for path in second.folder.rglob("*") if path.suffix in (".keras", ".h5")]
    own = {"best.keras", "last.keras"}
    assert reported == {
        path
        for path in named
        if path.name not in own and "state" not in path.parts and "best-" not in path.name
    }
    assert first.folder / "all" / "1.weights.h5" not in reported


def test_a_validation_that_is_continued_swaps_once() -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(use_ema=True), "mse")
    model.optimizer.build(model.trainable_variables)
    # The averages are zeros.
    model.set_weights([np.full((1, 1), 3.0), np.full(1, 4.0)])
    callback = SwapEMAWeights(swap_on_epoch=True)
    callback.set_model(model)
    callback.on_test_begin()
    # Here it is stopped; who goes on tells the callbacks of the epoch once more.
    callback.on_epoch_begin(2)
    assert not any(weight.any() for weight in weights(model))
    callback.on_test_begin()
    assert not any(weight.any() for weight in weights(model))
    callback.on_test_end()
    assert [float(weight.ravel()[0]) for weight in weights(model)] == [3.0, 4.0]


def test_a_finished_job_goes_on_from_what_is_not_averaged(
    whole: Run, root: Path, tmp_path: Path
) -> None:
    half = run_job(all_of_them() | half_of(EPOCHS // 2), root, attempt(tmp_path, 1, "half"))
    more = run_job(all_of_them(), root, attempt(tmp_path, 1, "more"), resume_from=[half.folder])
    assert more.started.first_epoch == EPOCHS // 2 + 1
    found, expected = (outcome(run.folder, run.finished) for run in (more, whole))
    assert found.numbers == expected.numbers
    assert weights_of(more.folder / "last.keras") == weights_of(whole.folder / "last.keras")


def half_of(epochs: int) -> dict[str, Any]:
    return {"fit": {**all_of_them()["fit"], "epochs": epochs}}


def test_a_checkpoint_without_room_ends_the_job_and_keeps_what_is_there(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(tmp_path)
    folder = attempt(tmp_path, 1)

    def full(path: Path) -> Any:
        # As a disk that the second epoch's files fill.
        return free._replace(free=0 if (folder / "2.keras").exists() else free.free)

    monkeypatch.setattr(shutil, "disk_usage", full)
    spec = document(
        data__test=None,
        callbacks=[BEST, {"ModelCheckpoint": {"monitor": "loss", "filepath": "{epoch}.keras"}}],
    )
    run = run_job(spec, root, folder)
    assert isinstance(run.verdict, Failed)
    assert run.verdict.code == "DISK_FULL"
    assert {path.name for path in folder.glob("[12].keras")} == {"1.keras", "2.keras"}
    assert run.verdict.best is not None
