"""Whether XLA compiles the training steps: the rule, its numbers, and a state's choice."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from fornada.settings import Settings
from fornada.spec import from_document
from fornada.spec.catalogue import layers
from fornada.worker.messages import Stopped
from fornada.worker.trainer.data.sets import Images, Sets
from fornada.worker.trainer.engine import xla_rule
from fornada.worker.trainer.engine.interface import Block
from fornada.worker.trainer.engine.philox import philox
from fornada.worker.trainer.engine.tensorflow import TensorFlowProgram
from fornada.worker.trainer.engine.xla_rule import compiles
from fornada.worker.trainer.model.build import build
from tests.services.resuming import attempt, last_state, noisy, outcome, run_job, same, write_noisy
from tests.services.test_parity import ours, theirs
from tests.services.trainer_jobs import document

# Keras converts its variables in a way that this NumPy warns about and the next refuses.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CONVOLUTION = [
    {"Conv2D": {"filters": 2, "kernel_size": 3}},
    "Flatten",
    {"Dense": {"units": "classes", "activation": "softmax"}},
]
TURNING = [{"RandomRotation": {"factor": 0.1}}, *CONVOLUTION]
DENSE: list[Any] = [
    {"Rescaling": {"scale": 1 / 255}},
    "Flatten",
    {"Dropout": {"rate": 0.2}},
    "BatchNormalization",
    {"Dense": {"units": "classes", "activation": "softmax"}},
]
# Of batches of eight.
LONG, SHORT = 8 * 4000, 8 * 3999
CPU, GPU = {"CPU"}, {"CPU", "GPU"}


@pytest.mark.parametrize(
    ("model", "jit", "images", "devices", "expected"),
    [
        (DENSE, "auto", LONG, CPU, True),
        (DENSE, "auto", SHORT, CPU, False),
        (CONVOLUTION, "auto", LONG, CPU, False),
        (CONVOLUTION, "auto", SHORT, GPU, True),
        (TURNING, "auto", LONG, GPU, False),
        (DENSE, True, SHORT, CPU, True),
        (CONVOLUTION, True, SHORT, CPU, True),
        (DENSE, False, LONG, CPU, False),
        (DENSE, False, LONG, GPU, False),
    ],
)
def test_the_rule(
    model: list[Any], jit: Any, images: int, devices: set[str], expected: bool
) -> None:
    spec = from_document(document(model=model, fit={"epochs": 1, "jit": jit}))
    built = build(spec.with_classes(3), (8, 8, 3), 3, Settings())
    assert compiles(spec, built, images, devices) == expected


def test_layers_that_xla_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    spec = from_document(document(model=TURNING, fit={"epochs": 1, "jit": True}))
    built = build(spec.with_classes(3), (8, 8, 3), 3, Settings())
    assert not compiles(spec, built, LONG, CPU)
    assert "fit.jit: off" in capsys.readouterr().out


def test_the_rule_knows_its_layers() -> None:
    assert set(layers.FAMILY.arguments) >= xla_rule._DENSE


def sets(train_on: int, validate_on: int) -> Sets:
    """Images at random, so many of each set; batches of eight."""
    count = train_on + validate_on
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (count, 8, 8, 3), np.uint8)
    labels = rng.integers(0, 3, count).astype(np.int32)
    train, validation = (
        Images(pixels[p], labels[p], labels[p]) for p in (slice(train_on), slice(train_on, count))
    )
    return Sets(("a", "b", "c"), train, validation, None, "data")


# A batch that is left over is compiled too, which most of the time of each goes into: one has it.
@pytest.mark.parametrize(
    ("precision", "train_on", "validate_on"),
    [("float32", 28, 9), ("mixed_bfloat16", 24, 8), ("mixed_float16", 24, 8)],
)
def test_numbers_are_near_those_of_fit_under_xla(
    precision: str, train_on: int, validate_on: int, tmp_path: Path
) -> None:
    # Sums in another order: some last bits of a number of 24, or 8, or 11. Dropout draws its own
    # numbers under XLA, and the same in both.
    within = {"float32": 1e-4, "mixed_bfloat16": 0.05, "mixed_float16": 0.01}[precision]
    fit = {"epochs": 3, "jit": True, "precision": precision}
    spec = from_document(document(model=DENSE, fit=fit)).with_classes(3)
    both = sets(train_on, validate_on)
    our_history, our_variables = ours(spec, both, tmp_path, jit=True)
    their_history, their_variables = theirs(spec, both, tmp_path, jit=True)
    for our, their in zip(our_history, their_history, strict=True):
        assert our == pytest.approx(their, rel=within, abs=within)
    for mine, its in zip(our_variables, their_variables, strict=True):
        np.testing.assert_allclose(mine, its, rtol=within, atol=within)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("xla")
    write_noisy(site)
    return site


def test_resuming_with_xla_is_exact(site: Path) -> None:
    spec = noisy(4, model=DENSE, fit={"epochs": 4, "jit": True})
    straight = run_job(spec, site, attempt(site, 1, "straight"))
    first = run_job(spec, site, attempt(site, 1, "again"), stop=(2, 3))
    assert isinstance(first.verdict, Stopped), first.verdict
    second = run_job(spec, site, attempt(site, 2, "again"), resume_from=[first.folder])
    same(outcome(second.folder, second.finished), outcome(straight.folder, straight.finished))
    environment = json.loads((second.folder / "environment.json").read_text())
    assert environment["jit"] is True
    assert environment["precision"] == "float32"
    assert last_state(second.folder).facts.origin.maker.jit


def test_the_choice_of_a_state_wins(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Twenty steps do not earn a compilation; the forty of the job that continues it would.
    monkeypatch.setattr(xla_rule, "_EARNS_STEPS", 40)
    short, long = (noisy(epochs, model=DENSE, callbacks=[]) for epochs in (4, 8))
    first = run_job(short, site, attempt(site, 1, "short"))
    more = run_job(long, site, attempt(site, 1, "long"), resume_from=[first.folder])
    assert more.started.inexact is None
    fresh = run_job(long, site, attempt(site, 1, "fresh"))
    makers = [last_state(run.folder).facts.origin.maker for run in (first, more, fresh)]
    assert [maker.jit for maker in makers] == [False, False, True]
    assert more.finished.best is not None
    straight = run_job(
        noisy(8, model=DENSE, callbacks=[], fit={"epochs": 8, "jit": False}),
        site,
        attempt(site, 1, "without"),
    )
    same(outcome(more.folder, more.finished), outcome(straight.folder, straight.finished))


def drawn(name: str) -> Any:
    """Random numbers of a function of `keras.random`, drawn by XLA as a layer draws them."""
    seed, shape = keras.random.SeedGenerator(1_234_567), (4, 33)
    return tf.function(lambda: _draw(name, shape, seed), jit_compile=True)().numpy()


def _draw(name: str, shape: tuple[int, ...], seed: Any) -> Any:
    draw = getattr(keras.random, name)
    if name == "dropout":
        return draw(keras.ops.ones(shape), 0.2, seed=seed)
    if name == "categorical":
        return draw(keras.ops.zeros((5, 9)), 40, seed=seed)
    return draw(shape, 0, 9, seed=seed)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(
    "name", ["categorical", "dropout", "normal", "randint", "truncated_normal", "uniform"]
)
def test_named_random_numbers_are_those_that_keras_draws_under_xla(name: str, dtype: str) -> None:
    keras.config.set_dtype_policy(dtype)
    try:
        with philox():
            named = drawn(name)
        chosen = drawn(name)
    finally:
        keras.config.set_dtype_policy("float32")
    assert len(np.unique(named)) > 1
    np.testing.assert_array_equal(named, chosen)


def test_a_compiled_step_names_the_algorithm_of_its_random_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, function = [], tf.function

    def seen(*given: Any, **named: Any) -> Any:
        made.append(function(*given, **named))
        return made[-1]

    monkeypatch.setattr(tf, "function", seen)
    layers = [{"SpatialDropout2D": {"rate": 0.2}}, *DENSE]
    spec = from_document(document(model=layers)).with_classes(3)
    program = TensorFlowProgram(build(spec, (8, 8, 3), 3, Settings()))
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 255, (16, 8, 8, 3), np.uint8), rng.integers(0, 3, 16)
    columns = (program.put(pixels), program.put(labels.astype(np.int32)))
    order = program.put(np.arange(16).reshape(2, 8))
    program.train(Block(columns, order, 0, 2), jit=True)
    (step,) = made
    traced = step.get_concrete_function(
        tuple(tf.TensorSpec([None, *c.shape[1:]], c.dtype) for c in columns),
        tf.TensorSpec([None, None], order.dtype),
        *(tf.TensorSpec([], tf.int32) for _ in range(2)),
    )
    algorithms = {}
    for body in traced.graph.as_graph_def().library.function:
        constants = {node.name: node.attr["value"].tensor for node in body.node_def}
        for node in body.node_def:
            if node.op == "StatelessRandomUniformV2":
                name = node.input[3].partition(":")[0]
                algorithms[node.name] = int(tf.make_ndarray(constants[name]))
    assert len(algorithms) == 2
    assert set(algorithms.values()) == {tf.random.Algorithm.PHILOX.value}
