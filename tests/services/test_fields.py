"""Every field of every section acts: what is read, trained or queued differs where it is changed.

A field that comes into `fornada/spec/sections.py` fails here until `ACTS` says what it changes.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from fornada.client.submission import new_job
from fornada.settings import Settings
from fornada.spec import Spec, from_document
from fornada.spec.datafolder import Folder, Validation
from fornada.spec.sections import COMPILE, DATA, FIT, RESOURCES, RETRY, TOP, Section
from fornada.worker.trainer.callbacks import from_spec
from fornada.worker.trainer.data.order import epoch_order
from fornada.worker.trainer.data.sets import Images, read_sets
from fornada.worker.trainer.engine.xla_rule import compiles
from fornada.worker.trainer.model.build import build
from fornada.worker.trainer.outputs.environment import maker
from fornada.worker.trainer.state.contents import Origin
from fornada.worker.trainer.training import Training
from tests.services.observing import differs, observe
from tests.services.trainer_jobs import document, write_images

# Keras converts its variables in a way that this NumPy warns about and the next refuses.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of images that are not square, and of another size than a spec asks for."""
    root = tmp_path_factory.mktemp("fields")
    for seed, folder in enumerate(("Train", "Other", "Test", "Valid")):
        write_images(root / folder, {"a": 4, "b": 5, "c": 6}, size=(10, 7), seed=seed)
    return root


def read(spec: Spec, root: Path) -> dict[str, Any]:
    """What a training is given: classes, sets, and the order of two epochs."""
    sets = read_sets(spec, root, Settings())
    data, count = spec.data, len(sets.train)
    orders = [epoch_order(count, data.seed, epoch, shuffle=data.shuffle) for epoch in (0, 1)]
    return {
        "classes": sets.classes,
        "train": _set(sets.train),
        "validation": _set(sets.validation),
        "test": _set(sets.test),
        "orders": [order.tolist() for order in orders],
    }


def _set(images: Images | None) -> Any:
    if images is None:
        return None
    pixels = np.asarray(images.pixels[np.arange(len(images))])
    weights = None if images.weights is None else images.weights.tolist()
    return pixels.dtype.str, pixels.tolist(), images.targets.tolist(), weights


def packed(spec: Spec, root: Path) -> Any:
    """Where the pixels of the training set lie."""
    return type(read_sets(spec, root, Settings()).train.pixels).__name__, read(spec, root)["train"]


def run(spec: Spec, root: Path) -> tuple[int, int]:
    """Epochs and steps of a whole training."""
    sets = read_sets(spec, root, Settings())
    model = build(spec.with_classes(3), sets.input_shape, 3, Settings())
    origin = Origin(
        uid="u1",
        attempt=1,
        spec=spec.epoch_hash,
        data=sets.fingerprint,
        maker=maker(jit=False),
        reproducibility=spec.reproducibility,
    )
    with TemporaryDirectory() as folder:
        training = Training(
            spec,
            model,
            sets,
            origin,
            folder=Path(folder),
            every_s=60,
            share=1,
            check=lambda: None,
        )
        training.begin()
        training.run(lambda _: None)
        training.finish()
    return training.epoch, int(model.optimizer.iterations)


def queued(spec: Spec, _: Path) -> dict[str, Any]:
    """The row of the job, without what each job has of its own."""
    row = asdict(new_job(spec))
    return {name: value for name, value in row.items() if name not in ("uid", "spec", "spec_hash")}


def trained(spec: Spec, _: Path) -> Any:
    """Numbers of a few steps."""
    return observe(spec.document())


def compiled(spec: Spec, _: Path) -> bool:
    """Whether XLA compiles the steps of a long training."""
    return compiles(spec, build(spec.with_classes(3), (6, 6, 3), 3, Settings()), 10**6, {"CPU"})


def called(spec: Spec, root: Path) -> list[str]:
    """The callbacks that hear of an epoch."""
    return [type(callback).__name__ for callback in from_spec(spec, root)[0]]


@dataclass(frozen=True)
class Acts:
    """How a field is seen to act.

    Attributes:
        see: what is compared.
        change: values of the field, as a spec writes them; each pair has to differ.
        beside: sections and fields that it needs, as `document` takes them.
        shown: a test that shows what a worker does with the field of the row.
    """

    see: Callable[[Spec, Path], Any]
    change: tuple[Any, ...]
    beside: dict[str, Any]
    shown: str = ""


def acts(see: Callable[[Spec, Path], Any], *change: Any, shown: str = "", **beside: Any) -> Acts:
    """An entry of `ACTS`."""
    return Acts(see, change, beside, shown)


def _parts(folder: str, field: str) -> list[dict[str, Any]]:
    """Subsets of a folder that differ in one field."""
    part = {"folder": folder, "validation_split": 0.4, "subset": "validation"}
    values = {"validation_split": (0.2, 0.4, 0.6), "subset": ("training", "validation")}[field]
    return [part | {field: value} for value in values]


_WHOLE: dict[str, Any] = {"data__validation_split": None}
_CATEGORICAL = {"compile__loss": "CategoricalCrossentropy", "compile__metrics": []}
_DENSE = {"Dense": {"units": "classes", "activation": "softmax"}}
ACTS: dict[str, Acts] = {
    "name": acts(queued, "one", "two"),
    "tags": acts(queued, {"a": "1"}, {"a": "2"}),
    "model": acts(trained, ["Flatten", _DENSE], [{"Rescaling": {"scale": 0.5}}, "Flatten", _DENSE]),
    "callbacks": acts(called, [], ["TerminateOnNaN"]),
    "reproducibility": acts(
        lambda spec, _: spec.reproducibility,
        "seeded",
        "deterministic",
        shown="test_resume_deterministic.py::test_two_runs_give_the_same_bits",
    ),
    "data.train": acts(read, "Train", "Other"),
    "data.test": acts(read, None, "Test", "Other"),
    "data.validation": acts(read, None, "Valid", "Other", **_WHOLE),
    "data.validation_split": acts(read, None, 0.25, 0.5),
    "data.image_size": acts(read, [8, 8], [8, 6]),
    "data.color_mode": acts(read, "rgb", "rgba", "grayscale"),
    "data.batch_size": acts(run, 8, 5),
    "data.shuffle": acts(read, True, False, **_WHOLE),
    "data.seed": acts(read, 1, 2, **_WHOLE),
    "data.label_mode": acts(lambda spec, root: read(spec, root)["train"], "int", "categorical"),
    "data.class_names": acts(read, None, ["c", "b", "a"]),
    "data.interpolation": acts(
        read,
        *("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5"),
        *("gaussian", "mitchellcubic"),
    ),
    "data.crop_to_aspect_ratio": acts(read, False, True),
    "data.pack": acts(packed, "exact", "uint8", "off"),
    "train and test.folder": acts(read, {"folder": "Train"}, {"folder": "Other"}),
    "train and test.validation_split": acts(read, *_parts("Train", "validation_split"), **_WHOLE),
    "train and test.subset": acts(read, *_parts("Train", "subset"), **_WHOLE),
    "validation.validation_split": acts(read, *_parts("Valid", "validation_split"), **_WHOLE),
    "validation.subset": acts(read, *_parts("Valid", "subset"), **_WHOLE),
    "validation.folder": acts(read, {"folder": "Valid"}, {"folder": "Other"}, **_WHOLE),
    "validation.split": acts(
        read, *({"folder": "Valid", "split": share} for share in (None, 0.2, 0.5)), **_WHOLE
    ),
    "compile.optimizer": acts(trained, "SGD", "Adam"),
    "compile.loss": acts(
        trained,
        "SparseCategoricalCrossentropy",
        {"SparseCategoricalCrossentropy": {"reduction": "sum"}},
    ),
    "compile.metrics": acts(trained, [], ["accuracy"]),
    "fit.epochs": acts(run, 1, 2),
    "fit.class_weight": acts(read, None, {"index": {"0": 5.0}}, {"name": {"b": 0}}, "balanced"),
    "fit.precision": acts(trained, "float32", "mixed_bfloat16", "mixed_float16"),
    "fit.jit": acts(compiled, True, False),
    "resources.gpus": acts(
        queued, "auto", 0, 1, shown="test_store_claims.py::test_a_gpu_job_needs_a_gpu_slot"
    ),
    "resources.queue": acts(
        queued,
        "default",
        "other",
        shown="test_store_claims.py::test_a_claim_takes_jobs_only_from_the_queues_it_names",
    ),
    "resources.priority": acts(
        queued,
        0,
        5,
        shown="test_store_claims.py::test_claims_take_the_highest_priority_first_and_then_the_oldest",
    ),
    "resources.time_limit": acts(
        queued, None, 60, shown="test_worker_queue.py::test_a_time_limit_ends_a_job"
    ),
    "retry.attempts": acts(
        queued, 3, 1, shown="test_store_retries.py::test_a_job_with_one_try_is_not_retried"
    ),
}
FIELDS = [
    *(name for name, field in TOP.fields.items() if not isinstance(field.kind, Section)),
    *(
        f"{its.owner}.{name}"
        for its in (DATA, Folder.fields, Validation.fields, COMPILE, FIT, RESOURCES, RETRY)
        for name in its.fields
    ),
]


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_acts(field: str, root: Path) -> None:
    assert field in ACTS, f"{field}: add to ACTS what it changes."
    here = ACTS[field]
    assert len(here.change) > 1
    seen = [here.see(_spec(field, value, here.beside), root) for value in here.change]
    for number, now in enumerate(seen):
        for then in seen[:number]:
            assert differs(then, now) if here.see is trained else then != now, field


def _spec(field: str, value: Any, beside: dict[str, Any]) -> Spec:
    section, _, name = field.rpartition(".")
    if section in ("resources", "retry"):
        # The small spec leaves these sections out.
        return from_document(document(**{section: {name: value}}))
    # Of a subset the whole is given.
    parts = {"": name, "validation": "data__validation", "train and test": "data__train"}
    place = parts.get(section, f"{section}__{name}")
    head = _CATEGORICAL if value == "categorical" else {}
    return from_document(document(**{**head, **beside, place: value}))


def test_the_tests_that_show_the_rest_are_there() -> None:
    for here in ACTS.values():
        file, _, name = here.shown.partition("::")
        if here.shown:
            assert f"def {name}(" in (TESTS / file).read_text()
    assert set(ACTS) == set(FIELDS)
