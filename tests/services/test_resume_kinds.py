"""Stopped within an epoch and gone on, for every kind of layer, optimizer, metric and label."""

from pathlib import Path
from typing import Any

import pytest

from fornada.worker.messages import Stopped
from tests.services.resuming import attempt, last_state, outcome, run_job, same
from tests.services.test_parity import CHANGES, MODELS
from tests.services.trainer_jobs import document, write_images

# Keras converts its variables in a way that this NumPy warns about and the next refuses.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

KINDS: dict[str, dict[str, Any]] = {
    **{name: {"model": model} for name, model in MODELS.items()},
    **CHANGES,
    "weights and last": {
        "callbacks": [{"ModelCheckpoint": {"monitor": "val_loss", "save_weights_only": True}}]
    },
}
# In the second of three epochs of four batches; between two whose gradients are added up.
PLACE = (1, 1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kinds")
    write_images(root / "Train", {"a": 12, "b": 13, "c": 12})
    write_images(root / "Two", {"a": 12, "b": 13})
    return root


@pytest.mark.parametrize("name", KINDS)
def test_goes_on_within_an_epoch(name: str, root: Path, tmp_path: Path) -> None:
    spec = document(**{"data__test": None, **KINDS[name]})
    straight = run_job(spec, root, attempt(tmp_path, 1, "straight"))
    first = run_job(spec, root, attempt(tmp_path, 1, "again"), stop=PLACE)
    assert isinstance(first.verdict, Stopped), first.verdict
    assert last_state(first.folder).facts.place.order == PLACE
    second = run_job(spec, root, attempt(tmp_path, 2, "again"), resume_from=[first.folder])
    assert second.started.first_batch == PLACE[1]
    same(outcome(second.folder, second.finished), outcome(straight.folder, straight.finished))
    files = {file.path.name: file.sha256 for file in second.finished.files}
    assert {"best.weights.h5", "last.keras"} <= files.keys() or name != "weights and last"
