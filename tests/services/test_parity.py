"""Three epochs of the trainer against `fit` on the same batches in the same order.

Bit for bit on TensorFlow: both run the same compiled step on the same numbers, so nothing may
differ. On JAX `fit` compiles a step, and we a loop over it: sums may be in another order.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.trainers.trainer import model_supports_jit
from numpy.typing import NDArray

from fornada.settings import Settings
from fornada.spec import Spec, from_document
from fornada.worker.trainer.callbacks import from_spec
from fornada.worker.trainer.data.order import epoch_order
from fornada.worker.trainer.data.sets import Images, Sets, read_sets
from fornada.worker.trainer.model.build import build
from fornada.worker.trainer.outputs.environment import maker
from fornada.worker.trainer.state.contents import Origin
from fornada.worker.trainer.training import Training
from tests.services.trainer_jobs import BINARY, CATEGORICAL, document, write_images

# Keras converts its variables in a way that this NumPy warns about and the next refuses.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

EPOCHS = 3
JAX = keras.backend.backend() == "jax"
# On JAX: some last bits of a number of 24, or 8, or 11, after three epochs.
WITHIN = {"float32": 1e-4, "mixed_bfloat16": 0.05, "mixed_float16": 0.01}
HEAD = ["Flatten", {"Dense": {"units": "classes", "activation": "softmax"}}]
MODELS: dict[str, list[Any]] = {
    "dense": [{"Rescaling": {"scale": 1 / 255}}, "Flatten", {"Dense": {"units": 32}}, *HEAD[1:]],
    "conv": [
        {"Conv2D": {"filters": 4, "kernel_size": 3, "activation": "relu"}},
        {"MaxPooling2D": {"pool_size": 2}},
        {
            "SeparableConv2D": {
                "filters": 4,
                "kernel_size": 2,
                "depthwise_regularizer": {"L2": {"l2": 0.01}},
            }
        },
        *HEAD,
    ],
    "batch norm": [
        {"Conv2D": {"filters": 4, "kernel_size": 3, "use_bias": False}},
        "BatchNormalization",
        "ReLU",
        *HEAD,
    ],
    "dropout": [
        {"SpatialDropout2D": {"rate": 0.2}},
        *HEAD[:1],
        {"Dropout": {"rate": 0.5}},
        *HEAD[1:],
    ],
    "regularized": [
        {
            "Conv2D": {
                "filters": 4,
                "kernel_size": 3,
                "activity_regularizer": {"L2": {"l2": 0.01}},
                "kernel_constraint": {"MaxNorm": {"max_value": 0.5, "axis": [0, 1, 2]}},
            }
        },
        {
            "BatchNormalization": {
                "gamma_regularizer": {"L1": {"l1": 0.1}},
                "beta_constraint": "NonNeg",
            }
        },
        "Flatten",
        {
            "Dense": {
                "units": 8,
                "kernel_regularizer": {"OrthogonalRegularizer": {"mode": "columns"}},
                "bias_regularizer": {"L1L2": {"l1": 0.1, "l2": 0.1}},
                "kernel_constraint": {"MinMaxNorm": {"min_value": 0.2, "rate": 0.5}},
                "bias_constraint": "UnitNorm",
            }
        },
        HEAD[1],
    ],
    "augmenting": [
        {"RandomFlip": {"mode": "horizontal"}},
        {"RandomRotation": {"factor": 0.1}},
        {"RandomZoom": {"height_factor": 0.1}},
        {"RandomTranslation": {"height_factor": 0.1, "width_factor": 0.1}},
        {"RandomContrast": {"factor": 0.2}},
        *HEAD,
    ],
}
# Beside the models: what changes the steps themselves.
CHANGES: dict[str, dict[str, Any]] = {
    "class weights": {"fit__class_weight": {"a": 2.0, "1": 0.5}},
    "binary": {**BINARY, "data__train": "Two"},
    "categorical": CATEGORICAL,
    "schedule": {
        "compile__optimizer": {
            "SGD": {
                "learning_rate": {
                    "ExponentialDecay": {
                        "initial_learning_rate": 0.1,
                        "decay_steps": 5,
                        "decay_rate": 0.5,
                    }
                },
                "momentum": 0.9,
            }
        }
    },
    "warm-up": {
        "compile__optimizer": {
            "SGD": {
                "learning_rate": {
                    "CosineDecay": {
                        "initial_learning_rate": 0.01,
                        "decay_steps": 8,
                        "alpha": 0.1,
                        "warmup_target": 0.1,
                        "warmup_steps": 3,
                    }
                },
                "momentum": 0.9,
                "nesterov": True,
            }
        }
    },
    "pieces": {
        "compile__optimizer": {
            "RMSprop": {
                "learning_rate": {
                    "PiecewiseConstantDecay": {
                        "boundaries": [3, 7],
                        "values": [0.001, 0.01, 0.0001],
                    }
                },
            }
        }
    },
    "weight decay and averages": {
        "compile__optimizer": {"AdamW": {"learning_rate": 0.01, "use_ema": True}}
    },
    "plateau": {
        "callbacks": [{"ReduceLROnPlateau": {"monitor": "val_loss", "patience": 1, "min_delta": 9}}]
    },
    "bfloat16": {"fit__precision": "mixed_bfloat16"},
    "float16": {"fit__precision": "mixed_float16"},
    "accumulated": {
        "compile__optimizer": {"Adam": {"learning_rate": 0.01, "gradient_accumulation_steps": 2}}
    },
    "several metrics": {
        "compile__metrics": [
            "accuracy",
            {"SparseTopKCategoricalAccuracy": {"k": 2}},
            "sparse_categorical_accuracy",
        ]
    },
    "no shuffle": {"data__shuffle": False},
    "early stopping": {
        "callbacks": [
            {"EarlyStopping": {"patience": 1, "min_delta": 9, "restore_best_weights": True}}
        ]
    },
}


# Most of a test is tracing or compiling: steps of whole batches, and again for the batch that is
# left over. Only these have one.
LEFT_OVER = {"dense", "batch norm", "augmenting", "class weights", "bfloat16"}
# What these change is over before the engine has the numbers, or is Keras's step on either backend.
BEFORE_THE_ENGINE = {"categorical", "several metrics", "no shuffle", "early stopping"}
# And a schedule is a schedule.
SCHEDULES = {"warm-up", "pieces"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parity")
    write_images(root / "Train", {"a": 12, "b": 13, "c": 12})
    write_images(root / "Whole", {"a": 12, "b": 12, "c": 8})
    write_images(root / "Two", {"a": 16, "b": 16})
    return root


def of(name: str, changes: dict[str, Any]) -> Spec:
    """A spec of a name's changes, on images that suit it."""
    images = "Train" if name in LEFT_OVER else "Whole"
    return spec_of(**{"data__train": images} | changes)


def spec_of(**changes: Any) -> Spec:
    spec = document(data__test=None, fit__epochs=EPOCHS)
    for place, value in changes.items():
        section, _, field = place.partition("__")
        if field:
            spec[section][field] = value
        else:
            spec[section] = value
    return from_document(spec)


def ours(
    spec: Spec, sets: Sets, folder: Path, *, jit: bool = False
) -> tuple[list[dict[str, float]], list[Any]]:
    model = build(spec, sets.input_shape, len(sets.classes), Settings())
    training = training_of(spec, model, sets, folder, jit=jit)
    training.begin()
    history: list[dict[str, float]] = []
    training.run(lambda epoch: history.append(epoch.metrics))
    training.finish()
    return history, variables(model)


def training_of(
    spec: Spec, model: keras.Model, sets: Sets, folder: Path, *, jit: bool = False
) -> Training:
    origin = Origin(
        uid="u1",
        attempt=1,
        spec=spec.epoch_hash,
        data=sets.fingerprint,
        maker=maker(jit=jit),
        reproducibility="seeded",
    )
    return Training(
        spec, model, sets, origin, folder=folder, every_s=60, share=1, check=lambda: None
    )


def theirs(
    spec: Spec, sets: Sets, folder: Path, *, jit: bool = False
) -> tuple[list[dict[str, float]], list[Any]]:
    model = build(spec, sets.input_shape, len(sets.classes), Settings())
    # JAX without it computes an operation at a time; Keras wants that for layers that move images.
    model.jit_compile = jit or (JAX and model_supports_jit(model))
    assert sets.validation is not None
    callbacks, best = from_spec(spec, folder)
    train = InOrder(spec, sets.train, shuffle=spec.data.shuffle)
    history = model.fit(
        train,
        epochs=EPOCHS,
        validation_data=InOrder(spec, sets.validation, shuffle=False),
        callbacks=[train.follow(), *(callback for callback in callbacks if callback is not best)],
        class_weight={0: 2.0, 1: 0.5} if spec.fit.class_weight else None,
        # Else Keras would shuffle the batches once more.
        shuffle=False,
        verbose=0,
    ).history
    length = len(history["loss"])
    return [{name: values[i] for name, values in history.items()} for i in range(length)], (
        variables(model)
    )


class InOrder(keras.utils.PyDataset):  # type: ignore[misc]
    """Keras's own way to feed `fit` batches of one's choice."""

    def __init__(self, spec: Spec, images: Images, *, shuffle: bool) -> None:
        super().__init__()
        self.data, self.images, self.shuffle = spec.data, images, shuffle
        self.epoch = 0

    def __len__(self) -> int:
        return (len(self.images) + self.data.batch_size - 1) // self.data.batch_size

    def __getitem__(self, step: int) -> tuple[NDArray[Any], NDArray[Any]]:
        order = epoch_order(len(self.images), self.data.seed, self.epoch, shuffle=self.shuffle)
        chosen = order[step * self.data.batch_size :][: self.data.batch_size]
        return self.images.pixels[chosen].astype(np.float32), self.images.targets[chosen]

    def follow(self) -> Any:
        # Not `on_epoch_end` of this class, which Keras calls once more before the first epoch.
        return keras.callbacks.LambdaCallback(on_epoch_begin=self._begin)

    def _begin(self, epoch: int, logs: object) -> None:
        self.epoch = epoch


def variables(model: keras.Model) -> list[NDArray[Any]]:
    """All that training changes: weights, moving averages, seeds, the optimizer's state."""
    return [keras.ops.convert_to_numpy(v) for v in (*model.variables, *model.optimizer.variables)]


def compare(spec: Spec, root: Path, folder: Path) -> list[dict[str, float]]:
    sets = read_sets(spec, root, Settings())
    spec = spec.with_classes(len(sets.classes))
    our_history, our_variables = ours(spec, sets, folder)
    their_history, their_variables = theirs(spec, sets, folder)
    assert [list(epoch) for epoch in our_history] == [list(epoch) for epoch in their_history]
    within = WITHIN[spec.fit.precision] if JAX else 0
    for our_epoch, their_epoch in zip(our_history, their_history, strict=True):
        assert our_epoch == pytest.approx(their_epoch, rel=within, abs=within)
    for our, their in zip(our_variables, their_variables, strict=True):
        np.testing.assert_allclose(our, their, rtol=within, atol=within)
    return our_history


@pytest.mark.parametrize("name", MODELS)
def test_models_end_as_under_fit(name: str, root: Path, tmp_path: Path) -> None:
    history = compare(of(name, {"model": MODELS[name]}), root, tmp_path)
    assert len({epoch["loss"] for epoch in history}) == EPOCHS


@pytest.mark.parametrize(
    "name", [name for name in CHANGES if not (JAX and name in BEFORE_THE_ENGINE | SCHEDULES)]
)
def test_settings_act_as_under_fit(name: str, root: Path, tmp_path: Path) -> None:
    history = compare(of(name, CHANGES[name]), root, tmp_path)
    assert len(history) == (2 if name == "early stopping" else EPOCHS)
    assert ("learning_rate" in history[0]) == (name == "plateau")


def test_what_layers_add_to_the_loss_is_in_the_loss(root: Path, tmp_path: Path) -> None:
    sets = read_sets(spec_of(), root, Settings())
    losses = []
    for number, share in enumerate((0.0, 0.5)):
        dense = {"units": "classes", "activity_regularizer": {"L2": {"l2": share}}}
        (tmp_path / str(number)).mkdir()
        spec = spec_of(model=["Flatten", {"Dense": dense}], fit__epochs=1).with_classes(3)
        (epoch,), _ = ours(spec, sets, tmp_path / str(number))
        losses.append(epoch)
    # The outputs are some hundreds: half of their squares outweighs every cross-entropy.
    assert all(losses[1][name] > 10 * losses[0][name] for name in ("loss", "val_loss"))


def test_another_seed_ends_elsewhere(root: Path, tmp_path: Path) -> None:
    sets = read_sets(spec_of(), root, Settings())
    histories = []
    for number, seed in enumerate((1, 1, 2)):
        spec = spec_of(data__seed=seed).with_classes(3)
        (tmp_path / str(number)).mkdir()
        histories.append(ours(spec, sets, tmp_path / str(number))[0])
    assert histories[0] == histories[1]
    assert histories[0] != histories[2]
