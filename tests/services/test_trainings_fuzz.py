"""Any spec over any small folder: trained with numbers that mean something, or refused with a code.

`FORNADA_TEST_FULL=1` tries many more.
"""

import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, note, reject, settings
from hypothesis import strategies as st

from fornada.db.states import FailureCode
from fornada.settings import Settings
from fornada.spec import SpecProblems, from_document
from fornada.spec.catalogue import FAMILIES, losses
from fornada.worker.messages import EpochReport, Failed, Finished, Started
from fornada.worker.trainer.process.pipes import StopRequest
from fornada.worker.trainer.run import JobRun
from tests.services.trainer_jobs import job, png
from tests.unit import spec_strategies as specs

pytestmark = [
    # Tracing doubles the time of many trainings.
    pytest.mark.no_cover,
    pytest.mark.timeout(3600),
    # A trainer prints what Keras and NumPy warn of, and goes on.
    pytest.mark.filterwarnings("ignore"),
]

# A third of a second each.
TRAININGS = 3000 if os.environ.get("FORNADA_TEST_FULL") == "1" else 40
LAYERS = sorted(set(FAMILIES["layers"].entries) - {"Input"})
# Layers that keep the outputs as many as they are.
AFTER = ["Activation", "BatchNormalization", "Dropout", "LeakyReLU", "ReLU", "Rescaling"]
NAMES = ["a", "b", "01", "1", "10", "null", "no", "-x", "two words", "São Paulo", "K", "k", "ü"]
CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}


@st.composite
def folders(draw: st.DrawFn, mode: str) -> dict[str, int]:
    """Images by class: few, and not as many of each; rarely a class with none, or but one."""
    count = draw(st.sampled_from([2, 2, 2, 2, 2, 1, 3] if mode == "binary" else [2, 3, 2, 3, 1]))
    names = draw(st.permutations(NAMES))[:count]
    return {name: draw(st.sampled_from([5, 3, 2, 1, 4, 3, 2, 1, 5, 0])) for name in names}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Specs of one epoch, of few layers that meet images and rows alike."""
    spec = draw(specs.specs())
    mode = spec["data"]["label_mode"]
    spec["data"] = {
        "train": "Train",
        "test": draw(st.sampled_from(["Test", None])),
        "label_mode": mode,
        "image_size": draw(st.sampled_from([[4, 4], [5, 6]])),
        "batch_size": draw(st.sampled_from([1, 2, 64])),
        "color_mode": draw(st.sampled_from(sorted(CHANNELS))),
        "shuffle": draw(st.booleans()),
        "pack": "off",
    } | draw(
        st.sampled_from(
            [{}, {"validation_split": 0.4}, {"validation_split": 0.01}, {"validation": "Test"}]
        )
    )
    # Of most folders the five likeliest classes are all.
    spec["compile"]["metrics"] = [
        {"SparseTopKCategoricalAccuracy": {"k": 2, "name": "top"}} if _is_top(one) else one
        for one in spec["compile"]["metrics"]
    ][: draw(st.integers(0, 3))]
    spec["fit"] = draw(
        st.fixed_dictionaries({}, optional={"class_weight": st.just({"0": 2.0, "1": 0.0})})
    ) | {"epochs": 1}
    head = draw(specs.one_object("layers", "Dense"))
    next(iter(head.values()))["units"] = 1 if mode == "binary" else "classes"
    spec["model"] = _unnamed(
        [
            draw(specs.objects("layers", LAYERS)),
            *draw(st.sampled_from([["Flatten"], ["GlobalMaxPooling2D"], []])),
            draw(specs.objects("layers", LAYERS)),
            "Flatten",
            head,
            *draw(st.lists(specs.objects("layers", AFTER), max_size=1)),
        ]
    )
    monitor = "val_loss" if "validation" in str(sorted(spec["data"])) else "loss"
    spec["callbacks"] = draw(
        st.sampled_from([[], ["TerminateOnNaN"], [{"EarlyStopping": {"monitor": monitor}}]])
    )
    return spec | {"resources": None, "retry": None}


def _is_top(metric: Any) -> bool:
    return "sparsetopk" in str(metric).replace("_", "").lower()


def _unnamed(layers: list[Any]) -> list[Any]:
    for layer in layers:
        if isinstance(layer, dict) and (given := next(iter(layer.values()))):
            given.pop("name", None)
    return layers


_RNG = np.random.default_rng(1)
IMAGES = [png(_RNG.integers(0, 255, (5, 6, channels), np.uint8)) for channels in CHANNELS.values()]


def _write(root: Path, counts: dict[str, int]) -> None:
    for part in ("Train", "Test"):
        for name, count in counts.items():
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                image = IMAGES[(number + len(name)) % len(IMAGES)]
                (root / part / name / f"{number}.png").write_bytes(image)


@settings(
    max_examples=TRAININGS,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_every_training_is_told_with_sense(data: st.DataObject) -> None:
    spec = data.draw(documents())
    counts = data.draw(folders(spec["data"]["label_mode"]))
    try:
        from_document(spec)
    except SpecProblems:
        reject()
    note(f"{spec} over {counts}")
    root = Path(tempfile.mkdtemp())
    try:
        _write(root, counts)
        said: list[Started | EpochReport] = []
        job_run = JobRun(
            job(spec, root, root / "jobs" / "1"),
            Settings(max_parameters=1_000_000),
            StopRequest(),
            said.append,
        )
        _check(spec, job_run.verdict(), said)
    finally:
        shutil.rmtree(root)


def _check(spec: dict[str, Any], verdict: object, said: list[Started | EpochReport]) -> None:
    if isinstance(verdict, Failed):
        assert verdict.code is not FailureCode.INTERNAL, verdict.traceback
        # What is refused is refused before anything was trained; only numbers come later.
        if verdict.code is not FailureCode.DIVERGED:
            assert not [one for one in said if isinstance(one, EpochReport)], verdict.message
        return
    assert isinstance(verdict, Finished)
    started, (epoch,) = said[0], said[1:]
    assert isinstance(started, Started)
    assert isinstance(epoch, EpochReport)
    assert all(map(math.isfinite, epoch.metrics.values())), epoch.metrics
    validates = spec["data"].get("validation") or spec["data"].get("validation_split")
    assert bool(started.data.validation) == bool(validates)
    assert ("val_loss" in epoch.metrics) == bool(validates)
    if spec["data"]["test"]:
        assert verdict.test is not None
        assert started.data.test == np.sum(verdict.test.confusion_matrix) > 0
        assert all(map(math.isfinite, [verdict.test.loss, *verdict.test.metrics.values()]))
    single = losses.LABEL_MODES[from_document(spec).compile.loss.class_name] == "binary"
    assert len(started.data.classes) == 2 if single else len(started.data.classes) > 1
