"""The client names a data set as the trainer does, without decoding it."""

import os
from pathlib import Path

import pytest

from fornada.data import fingerprint
from fornada.errors import DataUnreadable
from fornada.settings import Settings
from fornada.spec import Spec, load
from fornada.worker.trainer.data.sets import read_sets

ROOT = Path(__file__).parents[2]
SUBSET = "{folder: Data/Test, validation_split: 0.3, subset: training}"
SPLIT_FOLDER = "{folder: Data/Test, split: 0.3}"


def spec_of(*overrides: str) -> Spec:
    return load(ROOT / "specs" / "digits.yaml", overrides=overrides, data_root=ROOT)


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("data.validation_split=null", "data.validation=Data/Test"),
        ("data.validation_split=null", f"data.validation={SPLIT_FOLDER}", "data.seed=7"),
        ("data.test=null", "data.shuffle=false"),
        (
            "data.validation_split=null",
            "data.validation=Data/Test",
            f"data.train={SUBSET}",
            f"data.test={SUBSET}",
        ),
    ],
)
def test_client_and_trainer_agree(overrides: tuple[str, ...], tmp_path: Path) -> None:
    spec = spec_of(*overrides)
    settings = Settings(home=tmp_path, data_root=ROOT)
    trained = read_sets(spec, ROOT, settings).fingerprint
    assert fingerprint.of_spec(spec, settings) == trained


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, data_root=tmp_path)
    with pytest.raises(DataUnreadable, match="Data/Train"):
        fingerprint.of_spec(spec_of(), settings)
    folder = tmp_path / "Data" / "Train" / "a"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(DataUnreadable, match=r"pipe\.png"):
        fingerprint.of_spec(spec_of(), settings)
