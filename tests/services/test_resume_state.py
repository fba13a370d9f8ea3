"""The training state's file and its keeping, with arrays and folders alone."""

import hashlib
import json
import os
import shutil
import struct
import threading
from functools import partial
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest

from fornada.db.states import FailureCode
from fornada.spec import from_document
from fornada.spec.catalogue.callbacks import CALLBACKS as NAMED
from fornada.worker.messages import Best, EpochReport, FileRecord
from fornada.worker.trainer.callbacks import from_spec
from fornada.worker.trainer.failures import TrainingFailed
from fornada.worker.trainer.outputs.atomic_files import link
from fornada.worker.trainer.outputs.history_csv import History
from fornada.worker.trainer.state import tensors
from fornada.worker.trainer.state.contents import Maker, Origin, Place, State, StateHeader, parse
from fornada.worker.trainer.state.finding import find, states
from fornada.worker.trainer.state.live import CALLBACKS, Live
from fornada.worker.trainer.state.store import StateStore, remove_earlier
from fornada.worker.trainer.state.tensors import Arrays, Broken
from tests.services.trainer_jobs import document
from tests.until import until

# Keras converts its variables in a way that this NumPy warns about and the next refuses.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ARRAYS: Arrays = {
    "scalar": np.array(7, np.int64),
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "turned": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    "brain": np.array([1.5, -2.0, 3.14], ml_dtypes.bfloat16),
    "seed": np.array([2**32 - 1, 0], np.uint32),
    "flag": np.array([True, False]),
    "none": np.zeros((0, 3), np.float32),
    "strange": np.array([np.nan, np.inf, -0.0]),
}


def state(epochs: int, batch: int = 0, *, arrays: Arrays | None = None, **facts: Any) -> State:
    maker = Maker(backend="tensorflow", device="CPU", versions={"keras": "3"})
    origin = Origin(uid="job", attempt=1, spec="s", data="d", maker=maker, reproducibility="seeded")
    values: dict[str, Any] = {
        "origin": origin,
        "place": Place(epochs=epochs, batch=batch),
        "stop": False,
        "callbacks": [],
        "best": None,
        "files": {},
        "inexact": None,
    }
    return State(StateHeader(**values | facts), ARRAYS if arrays is None else arrays)


def saved(keeper: StateStore, *found: State) -> StateStore:
    """Save states, each to its end."""
    for each in found:
        keeper.save(partial(State, each.facts, each.arrays))
        keeper.settle()
    return keeper


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "state").iterdir())


def test_arrays_come_back_bit_for_bit(tmp_path: Path) -> None:
    size, sha256 = tensors.write(tmp_path / "x", "é", ARRAYS)
    content = (tmp_path / "x").read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (size, sha256)
    assert tensors.size("é", ARRAYS) == size
    facts, arrays = tensors.read(tmp_path / "x", sha256)
    assert facts == "é"
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape)
        assert arrays[name].tobytes() == np.ascontiguousarray(array).tobytes()


def test_the_layout_is_that_of_safetensors(tmp_path: Path) -> None:
    tensors.write(tmp_path / "x", "facts", ARRAYS)
    content = (tmp_path / "x").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert (8 + length) % 8 == 0
    assert header.pop("__metadata__") == {"fornada": "facts"}
    assert header["brain"]["dtype"] == "BF16"
    assert header["matrix"]["shape"] == [2, 3]
    ends = [entry["data_offsets"] for entry in header.values()]
    assert [start for start, _ in ends] == [0, *(end for _, end in ends[:-1])]
    assert len(content) == 8 + length + ends[-1][1]
    start, end = header["matrix"]["data_offsets"]
    assert struct.unpack("<6f", content[8 + length :][start:end]) == (0, 1, 2, 3, 4, 5)


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    file = tmp_path / "x"
    size, sha256 = tensors.write(file, "facts", {"a": np.arange(4)})
    content = file.read_bytes()
    for place in range(0, size, 7):
        changed = bytearray(content)
        changed[place] ^= 1
        file.write_bytes(changed)
        with pytest.raises(Broken, match="sha256"):
            tensors.read(file, sha256)
    file.write_bytes(content[:-1])
    with pytest.raises(Broken, match="sha256"):
        tensors.read(file, sha256)


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\2\0\0\0\0\0\0\0{}", b"\1\0\0\0\0\0\0\0{"])
def test_another_layout_is_no_state(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(Broken, match="layout"):
        tensors.read(tmp_path / "x", hashlib.sha256(content).hexdigest())


def test_a_state_of_another_format_is_not_used() -> None:
    facts = state(1).facts.model_dump_json()
    assert parse(facts, {}).facts == state(1).facts
    with pytest.raises(Broken, match="layout 2, not 1"):
        parse(facts.replace('"format":1', '"format":2'), {})
    with pytest.raises(Broken, match="another layout"):
        parse("{}", {})


def test_facts_hold_what_is_no_number() -> None:
    place = Place(epochs=1, batch=2, logs={"loss": float("inf"), "x": float("nan")})
    facts = state(1).facts.model_copy(update={"place": place})
    found = parse(facts.model_dump_json(), {}).facts.place.logs
    assert found is not None
    assert found["loss"] == float("inf")
    assert np.isnan(found["x"])


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    keeper = StateStore(tmp_path, 60, 1)
    for epochs, batch in ((1, 0), (1, 700), (2, 0), (10, 0)):
        saved(keeper, state(epochs, batch))
        assert keeper.has(Place(epochs=epochs, batch=batch))
    assert names(tmp_path) == ["0000002-0000000", "0000010-0000000"]
    kept = states(tmp_path)
    assert [each.order for each in kept] == [(2, 0), (10, 0)]
    assert kept[-1].read().facts == state(10).facts
    assert len(kept[-1].file.stem) == 64
    (record,) = keeper.close()
    assert names(tmp_path) == ["0000010-0000000"]
    assert (record.kind, record.path, record.sha256) == (
        "training_state",
        kept[-1].file,
        kept[-1].file.stem,
    )


def test_what_was_left_in_the_middle_is_swept(tmp_path: Path) -> None:
    for name in ("writing", "removing"):
        (tmp_path / "state" / name).mkdir(parents=True)
        (tmp_path / "state" / name / "half").touch()
    assert states(tmp_path) == []
    saved(StateStore(tmp_path, 60, 1), state(1))
    assert names(tmp_path) == ["0000001-0000000"]


def test_a_place_that_was_named_without_being_counted_is_saved_again(tmp_path: Path) -> None:
    # As after a disk that was full once the state had its name.
    saved(StateStore(tmp_path, 60, 1), state(1))
    saved(StateStore(tmp_path, 60, 1), state(1, inexact="again"))
    assert names(tmp_path) == ["0000001-0000000"]
    (kept,) = states(tmp_path)
    assert kept.read().facts.inexact == "again"


def test_the_best_model_of_the_moment_is_kept_with_it(tmp_path: Path) -> None:
    model = tmp_path / "best.keras"
    model.write_text("first")
    sha256 = hashlib.sha256(b"first").hexdigest()
    keeper = StateStore(tmp_path, 60, 1)
    keeper.save(lambda: state(1, files={"best.keras": sha256}))
    # The training goes on, and finds a better one.
    beside = tmp_path / "beside"
    beside.write_text("better")
    beside.replace(model)
    keeper.settle()
    (kept,) = states(tmp_path)
    assert (kept.folder / "best.keras").read_text() == "first"
    assert kept.read().facts.files == {"best.keras": sha256}
    (kept.folder / "best.keras").write_text("other")
    with pytest.raises(Broken, match=r"sha256 of best\.keras"):
        kept.read()


def test_a_copy_where_links_cannot_be(tmp_path: Path) -> None:
    # Another file system: the kernel's own memory.
    source = Path("/proc/self/status")
    link(source, tmp_path / "copy")
    assert (tmp_path / "copy").read_text().startswith("Name:")


def test_within_an_epoch_a_save_costs_little(tmp_path: Path) -> None:
    keeper = StateStore(tmp_path, 1e-9, 0.02)
    assert keeper.due
    saved(keeper, state(1, arrays={"large": np.zeros(2**20)}))
    # However often the setting asks for it.
    assert not keeper.due


@pytest.mark.parametrize(("share", "affordable"), [(1.0, True), (1e-9, False)])
def test_after_an_epoch_a_save_may_cost_its_share(
    share: float, affordable: bool, tmp_path: Path
) -> None:
    keeper = StateStore(tmp_path, 60, share)
    assert keeper.affordable
    saved(keeper, state(1))
    assert keeper.affordable is affordable


def test_the_first_save_waits_until_the_time_pays_for_it(tmp_path: Path) -> None:
    large = StateStore(tmp_path, 1e-9, 0.02, lambda: 10**9)
    assert StateStore(tmp_path, 1e-9, 0.02, lambda: 1).affordable
    assert not large.affordable
    assert not large.due
    # Once it is timed, it is what it was: paid for within seconds, where the guess took an hour.
    saved(large, state(1))
    until(lambda: large.affordable, 30)


def test_one_thing_after_the_other_beside_the_training(tmp_path: Path) -> None:
    keeper = StateStore(tmp_path, 1e-9, 0.02)
    seen: list[list[str]] = []
    for epochs in (1, 2):
        keeper.save(partial(state, epochs))
        keeper.after(lambda: seen.append(names(tmp_path)))
    keeper.settle()
    first, second = (f"000000{epochs}-0000000" for epochs in (1, 2))
    assert seen == [[first], [first, second]]
    go_on = threading.Event()
    keeper.after(go_on.wait)
    assert not keeper.due
    go_on.set()
    keeper.settle()


def test_the_furthest_state_is_found(tmp_path: Path) -> None:
    own, other = tmp_path / "job", tmp_path / "other"
    folders = [own / "attempt-3", own / "attempt-2", own / "attempt-1", other / "attempt-9"]
    for folder, places in zip(
        folders, ([(4, 7)], [(5, 1)], [(5, 1), (5, 0)], [(9, 0)]), strict=True
    ):
        folder.mkdir(parents=True)
        for place in sorted(places):
            saved(StateStore(folder, 60, 1), state(*place))
    said: list[str] = []

    def refuse(folder: Path, error: Exception) -> None:
        said.append(str(error))

    def look(*unfit: tuple[int, int]) -> str | None:
        def fits(found: State) -> None:
            if found.facts.place.order in unfit:
                raise Broken("unfit")

        found = find(folders, own, fits, refuse)
        return found and found[1].relative_to(tmp_path).as_posix().replace("/state/00000", " ")

    assert look() == "job/attempt-2 05-0000001"
    assert said == []
    assert look((5, 1)) == "job/attempt-1 05-0000000"
    assert len(said) == 2
    assert "unfit" in said[0]
    assert look((5, 1), (5, 0)) == "job/attempt-3 04-0000007"
    # Another job's only when none of its own can be used.
    assert look((5, 1), (5, 0), (4, 7)) == "other/attempt-9 09-0000000"
    assert look((5, 1), (5, 0), (4, 7), (9, 0)) is None
    # A folder that is not there holds none.
    assert find([tmp_path / "nowhere"], own, print, refuse) is None


@pytest.mark.parametrize("spoilt", ["the file", "the state", "all states"])
def test_what_cannot_be_read_may_be_the_furthest(spoilt: str, tmp_path: Path) -> None:
    (tmp_path / "attempt-1").mkdir()
    for epochs in (1, 2):
        saved(StateStore(tmp_path / "attempt-1", 60, 1), state(epochs))
    newest = states(tmp_path / "attempt-1")[-1]
    path = {"the file": newest.file, "the state": newest.folder}.get(spoilt, newest.folder.parent)
    path.rename(tmp_path / "kept")
    # Not missing, and not to be opened.
    path.symlink_to(path)
    with pytest.raises(OSError, match="Too many levels"):
        find([tmp_path / "attempt-1"], tmp_path, lambda _: None, print)


def test_states_that_a_lost_attempt_replaces_meanwhile_hide_no_later_one(tmp_path: Path) -> None:
    saved(StateStore(tmp_path, 60, 1), state(1))

    def fits(found: State) -> None:
        if found.facts.place.epochs == 1:
            # It trains on, and keeps its newest alone.
            saved(StateStore(tmp_path, 60, 1), state(2))
            shutil.rmtree(states(tmp_path)[0].folder)
            raise Broken("it goes")

    found = find([tmp_path], tmp_path, fits, print)
    assert found is not None
    assert found[0].facts.place.epochs == 2


@pytest.mark.parametrize("missing", ["the file", "the model", "the folder"])
def test_what_is_not_there_is_passed_over(missing: str, tmp_path: Path) -> None:
    (tmp_path / "best.keras").write_text("best")
    sha256 = hashlib.sha256(b"best").hexdigest()
    saved(StateStore(tmp_path, 60, 1), state(1), state(2, files={"best.keras": sha256}))
    newest = states(tmp_path)[-1]
    if missing == "the folder":
        file = newest.file.rename(tmp_path / "aside")
        newest.folder.joinpath("best.keras").unlink()
        newest.folder.rmdir()
        file.rename(newest.folder)
    else:
        (newest.file if missing == "the file" else newest.folder / "best.keras").unlink()
    said: list[str] = []
    found = find([tmp_path], tmp_path, lambda _: None, lambda _, error: said.append(str(error)))
    assert found is not None
    assert found[0].facts.place.epochs == 1
    assert len(said) == 1


def test_earlier_attempts_are_cleared_and_later_ones_left(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        folder = tmp_path / f"attempt-{number}"
        folder.mkdir()
        saved(StateStore(folder, 60, 1), state(number))
    remove_earlier(tmp_path / "attempt-2", 2)
    assert [len(states(tmp_path / f"attempt-{n}")) for n in (1, 2, 3)] == [0, 1, 1]


def test_a_save_that_fails_leaves_the_ones_before(tmp_path: Path) -> None:
    keeper = saved(StateStore(tmp_path, 60, 1), state(1))
    # A model that the facts name and that is not there.
    keeper.save(lambda: state(2, files={"best.keras": "x"}))
    with pytest.raises(FileNotFoundError):
        keeper.settle()
    assert names(tmp_path) == ["0000001-0000000"]
    assert not keeper.has(Place(epochs=2))


def test_no_room_is_said_three_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keeper = saved(StateStore(tmp_path, 60, 1), state(1))
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    # More than the disk has, and no byte of it in memory.
    large = {"large": np.broadcast_to(np.zeros(1), (free // 8,))}
    # Room in between: counted anew.
    without = state(2, arrays=large)
    saved(keeper, without, without, state(3), without, without)
    keeper.save(lambda: without)
    with pytest.raises(TrainingFailed, match="3 training states in a row found no room") as failed:
        keeper.settle()
    assert failed.value.code is FailureCode.DISK_FULL
    assert names(tmp_path) == ["0000001-0000000", "0000003-0000000"]
    said = capsys.readouterr().out
    assert said.count("state: not saved, no room") == 5
    assert f"{free // 8 * 8 // 10**6:,}"[:4] in said


def test_every_callback_of_the_catalogue_has_its_state() -> None:
    assert set(CALLBACKS) == set(NAMED)


@pytest.mark.parametrize("name", CALLBACKS)
def test_all_that_changes_in_a_callback_is_kept(name: str, tmp_path: Path) -> None:
    """Drive it, and see which of its attributes move."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(use_ema=True), "mse")
    model.optimizer.build(model.trainable_variables)
    callback = made(name, tmp_path)
    losses = [3.0, 2.0, 2.0, 2.0, 2.0, float("nan")]
    callback.set_model(model)
    callback.set_params({"epochs": len(losses)})
    callback.on_train_begin()
    before = dict(vars(callback))
    moved = set()
    for epoch, loss in enumerate(losses):
        callback.on_epoch_begin(epoch)
        callback.on_batch_end(0, {"loss": loss})
        callback.on_test_begin()
        # A state is saved within a validation, too.
        moved |= {key for key, value in vars(callback).items() if value is not before.get(key)}
        callback.on_test_end()
        callback.on_epoch_end(epoch, {"loss": loss})
        moved |= {
            key
            for key, value in vars(callback).items()
            if value is not before.get(key) and not _equal(value, before.get(key))
        }
    # Of the monitor and the model, made anew from the spec.
    derived = {"monitor_op", "min_delta", "_current_epoch"}
    assert moved - derived == {*CALLBACKS[name].numbers, *CALLBACKS[name].arrays}


def made(name: str, folder: Path) -> Any:
    """A callback as a job has it."""
    arguments: dict[str, dict[str, Any]] = {
        "EarlyStopping": {"monitor": "loss", "patience": 2, "restore_best_weights": True},
        "ModelCheckpoint": {"monitor": "loss", "save_best_only": True, "filepath": "x.keras"},
        "ReduceLROnPlateau": {"monitor": "loss", "patience": 2, "cooldown": 2},
        "SwapEMAWeights": {"swap_on_epoch": True},
    }
    spec = document(
        callbacks=[{name: arguments.get(name, {})}], compile__optimizer={"SGD": {"use_ema": True}}
    )
    callbacks, best = from_spec(from_document(spec), folder)
    return next(one for one in callbacks if one is not best)


def _equal(one: Any, other: Any) -> bool:
    return not isinstance(one, list) and bool(one == other)


def test_a_state_of_another_model_is_refused() -> None:
    def live(units: int, *callbacks: Any) -> Live:
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])
        model.compile("adam", "mse")
        found = Live(model, (np.zeros((1, 2), np.float32), np.zeros((1, units))), callbacks)
        found.build()
        return found

    def saved(of: Live, changed: Arrays, backend: str = "tensorflow") -> State:
        arrays = of.arrays(with_metrics=True) | changed
        found = state(1, 3, arrays=arrays, callbacks=of.callback_facts())
        maker = found.facts.origin.maker.model_copy(update={"backend": backend})
        origin = found.facts.origin.model_copy(update={"maker": maker})
        return State(found.facts.model_copy(update={"origin": origin}), arrays)

    three = live(3)
    good = saved(three, {})
    three.check(good)
    with pytest.raises(Broken, match=r"kernel has shape \(2, 3\) in it, \(2, 4\) here"):
        live(4).check(good)
    less = State(good.facts, {k: v for k, v in good.arrays.items() if k != "optimizer/0"})
    with pytest.raises(Broken, match="0 variables of optimizer; here are"):
        three.check(less)
    double = {"model/0": good.arrays["model/0"].astype(np.float64)}
    with pytest.raises(Broken, match="kernel is float64 in it, float32 here"):
        three.check(saved(three, double))
    with pytest.raises(Broken, match="it holds the callbacks"):
        live(3, keras.callbacks.TerminateOnNaN()).check(good)
    # Backends count in integers of different length; a float stays what it is.
    count = {"optimizer/0": good.arrays["optimizer/0"].astype(np.int32)}
    three.check(saved(three, count, "jax"))
    with pytest.raises(Broken, match="iteration is int32 in it, int64 here"):
        three.check(saved(three, count))
    with pytest.raises(Broken, match="kernel is float64"):
        three.check(saved(three, double, "jax"))


def test_bfloat16_variables_come_back(tmp_path: Path) -> None:
    variable = keras.Variable(np.array([1.0, 2.5, 3.1]), dtype="bfloat16")
    saved = keras.ops.convert_to_numpy(variable)
    _, sha256 = tensors.write(tmp_path / "x", "", {"v": saved})
    variable.assign([0.0, 0.0, 0.0])
    variable.assign(tensors.read(tmp_path / "x", sha256)[1]["v"])
    assert keras.ops.convert_to_numpy(variable).tobytes() == saved.tobytes()


def test_history_goes_through_arrays() -> None:
    history = History()
    for number in (1, 2):
        file = FileRecord(kind="best_model", path=Path("x"), bytes=1, sha256="y")
        history.add(
            EpochReport(
                number=number,
                seconds=0.1,
                images_per_s=7,
                learning_rate=0.1 * number,
                metrics={"loss": 1 / 3, "x": float("nan")},
                best=Best(epoch=1, monitor="loss", value=1, file=file),
            ),
            attempt=3,
        )
    columns = history.columns()
    assert {str(column.dtype) for column in columns.values()} == {"int64", "float64"}
    again = History.of(columns, inherited=False)
    assert again.columns().keys() == columns.keys()
    first, second = again.rows()
    assert (first.number, first.attempt, first.metrics["loss"], first.best) == (1, 3, 1 / 3, None)
    assert second.learning_rate == 0.2
    assert np.isnan(second.metrics["x"])
    assert [row.attempt for row in History.of(columns, inherited=True).rows()] == [0, 0]
    assert History.of({}, inherited=False).rows() == []
