"""Every argument of a callback that a spec accepts acts, driven by plain lists of values."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from fornada.spec import Spec, SpecProblems, from_document
from fornada.spec.catalogue import FAMILIES
from fornada.worker.trainer.callbacks import from_spec
from fornada.worker.trainer.failures import TrainingFailed
from tests.services.trainer_jobs import document
from tests.services.witnesses import SHOWN_ELSEWHERE, Where, others

# Keras converts its variables in a way that this NumPy warns about and the next refuses.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CALLBACKS = FAMILIES["callbacks"].arguments
ARGUMENTS = [
    (name, argument)
    for name, its in CALLBACKS.items()
    for argument in its.fields
    if (name, argument) not in SHOWN_ELSEWHERE
]
# Of each epoch. The best val_loss is that of the fourth; the loss only falls.
LOGS = [
    {"loss": loss, "val_loss": val_loss}
    for loss, val_loss in zip(
        range(9, 1, -1), (3.0, 2.5, 2.6, 1.9, 2.4, 2.3, 2.2, 2.1), strict=True
    )
]
_MONITOR = Where(values=("loss",))
# A loss is better when it is lower.
_MODE = Where(same={"min": "auto"})
# By class and argument, or by argument alone.
WHERE: dict[tuple[str, str] | str, Where] = {
    "monitor": _MONITOR,
    "mode": _MODE,
    ("EarlyStopping", "baseline"): Where({"patience": 2}, values=(2.0,)),
    ("EarlyStopping", "min_delta"): Where({"patience": 1}, values=(0.9,)),
    ("EarlyStopping", "start_from_epoch"): Where(values=(4,)),
    ("ModelCheckpoint", "filepath"): Where(values=("x.keras", "{epoch}-{loss}.keras")),
    ("ModelCheckpoint", "initial_value_threshold"): Where(
        {"filepath": "x.keras", "save_best_only": True}, values=(1.5,)
    ),
    ("ModelCheckpoint", "save_freq"): Where(values=(), refused=(100,)),
    ("ReduceLROnPlateau", "monitor"): Where({"patience": 1}, values=_MONITOR.values),
    ("ReduceLROnPlateau", "mode"): Where({"patience": 1}, same=_MODE.same),
    ("ReduceLROnPlateau", "verbose"): Where({"patience": 1}),
    ("ReduceLROnPlateau", "factor"): Where({"patience": 1}),
    ("ReduceLROnPlateau", "patience"): Where(values=(1, 2)),
    ("ReduceLROnPlateau", "min_delta"): Where({"patience": 1}, values=(0.9,)),
    ("ReduceLROnPlateau", "cooldown"): Where({"patience": 1}, values=(2,)),
    ("ReduceLROnPlateau", "min_lr"): Where({"patience": 1}, values=(0.05,)),
}


def where(name: str, argument: str) -> Where:
    """The entry of an argument: its own, or that of all callbacks."""
    return WHERE.get((name, argument)) or WHERE.get(argument) or Where()


def spec_of(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A spec of one callback."""
    return document(callbacks=[{name: dict(arguments)}])


def driven(spec: Spec, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What a spec's callbacks do with the epochs of `LOGS`, whose last batch has no loss.

    Returns:
        Learning rate of each epoch that ran, the last weights, how it ended, the files with the
        epoch that each was written in, and what was printed.
    """
    folder.mkdir()
    made, _ = from_spec(spec, folder)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd")
    callbacks = keras.callbacks.CallbackList(made, model=model)
    rates: list[float] = []
    ended = "all epochs"
    capsys.readouterr()
    model.stop_training = False
    callbacks.on_train_begin()
    for epoch, logs in enumerate(LOGS):
        model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        rates.append(float(model.optimizer.learning_rate))
        callbacks.on_epoch_end(epoch, dict(logs))
        if model.stop_training:
            ended = "stopped"
            break
    else:
        try:
            callbacks.on_train_batch_end(0, {"loss": math.nan})
        except TrainingFailed as error:
            ended = error.code
    callbacks.on_train_end()
    written = {path.name: _epoch(path) for path in sorted(folder.iterdir())}
    weights = [weight.tolist() for weight in model.get_weights()]
    printed = capsys.readouterr().out
    return {"rates": rates, "weights": weights, "ended": ended, "files": written, "said": printed}


def _epoch(path: Path) -> float:
    """The epoch whose model a file holds."""
    if path.suffix == ".keras":
        return float(keras.models.load_model(path, compile=False).get_weights()[0][0, 0])
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.load_weights(path)
    return float(model.get_weights()[0][0, 0])


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_an_argument_of_a_callback_acts_or_its_value_is_refused(
    name: str, argument: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, its = where(name, argument), CALLBACKS[name].fields[argument]
    try:
        values = others(its.kind, its.default) if here.values is None else here.values
    except KeyError as error:
        pytest.fail(f"{name}.{argument}: no second value is known of {error}. Add some to WHERE.")
    seen: dict[str, Any] = {}
    for number, value in enumerate([its.default, *values]):
        spec = from_document(spec_of(name, {**here.beside, argument: value}))
        now = driven(spec, tmp_path / str(number), capsys)
        for text, then in seen.items():
            assert str(here.same.get(str(value), value)) == text or then != now, (
                f"{name}.{argument}: {text} and {value} do the same. Refuse one of them, or add to "
                "WHERE the arguments beside which they differ."
            )
        seen[str(value)] = now
    for value in here.refused:
        with pytest.raises(SpecProblems):
            from_document(spec_of(name, {argument: value}))
    assert len(seen) > 1 or here.refused, f"{name}.{argument}: add values to WHERE."
