"""The trainer on JAX: tests of it again, in a process whose Keras is imported with that backend."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fornada.worker.messages import Finished
from tests.services.trainer_jobs import TrainerProcess, document, job, write_images

pytestmark = pytest.mark.timeout(1800)

HERE = Path(__file__).parent
ON_JAX = os.environ | {"KERAS_BACKEND": "jax"}
# Compiling is most of what these cost, and what they compare was compiled alike.
QUICKLY = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false"
)
AGAIN = [
    "test_parity.py",
    "test_engine_blocks.py",
    "test_engine_programs.py",
    "test_trainer_again.py::test_every_job_of_a_trainer_ends_as_in_a_fresh_process",
    "test_trainer_again.py::test_many_jobs_leave_nothing_behind",
    "test_checkpoints.py::test_swapped_averages_are_measured_and_kept[float32-False-3]",
    "test_checkpoints.py::test_goes_on_with_averages_and_files[place2]",
]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[ElementTree.Element]]:
    """All of them in one process, which imports Keras once: how the tests of each ended."""
    folder = tmp_path_factory.mktemp("jax")
    report = folder / "report.xml"
    # Equal programs of several tests are compiled once, as in a home; see `keras_import`.
    keep = {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "programs"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.02",
    }
    options = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *AGAIN],
        cwd=HERE,
        env=ON_JAX | keep | {"XLA_FLAGS": QUICKLY},
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 - pytest wrote it
    return {again: [case for case in cases if _is_of(again, case)] for again in AGAIN}


def _is_of(again: str, case: ElementTree.Element) -> bool:
    file, _, name = again.partition("::")
    module = case.attrib["classname"].rpartition(".")[2]
    return module == Path(file).stem and name in ("", case.attrib["name"])


@pytest.mark.parametrize("again", AGAIN)
def test_on_jax(again: str, ended: dict[str, list[ElementTree.Element]]) -> None:
    assert ended[again], "not one of its tests ran"
    failed = {case.attrib["name"]: part.text for case in ended[again] for part in case}
    assert failed == {}


def test_programs_are_found_again_by_later_trainers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    write_images(tmp_path / "Train", {"a": 12, "b": 12})
    write_images(tmp_path / "Test", {"a": 4, "b": 4})

    def programs(uid: str) -> dict[str, int]:
        """What is kept, and when it was last read."""
        with TrainerProcess(tmp_path / "home") as trainer:
            trainer.send(job(document(), tmp_path, tmp_path / uid / "attempt-1"))
            said = trainer.verdict()
            assert isinstance(said, Finished), said
        read = (tmp_path / "home" / "jax").glob("*-atime")
        return {path.name: path.stat().st_mtime_ns for path in read}

    first, second = programs("one"), programs("two")
    assert first
    assert [name for name in first if not second[name] > first[name]] == []


def test_what_is_to_be_deterministic_is_so_before_jax_looks_for_devices(tmp_path: Path) -> None:
    write_images(tmp_path / "Train", {"a": 12, "b": 12})
    write_images(tmp_path / "Test", {"a": 4, "b": 4})
    done = subprocess.run(
        [sys.executable, "-P", "-c", DETERMINISTIC, str(tmp_path)],
        env=ON_JAX | {"FORNADA_HOME": str(tmp_path / "home"), "PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "looked before: False" in done.stdout
    assert "verdict: Finished" in done.stdout


# A trainer in this process, watched: on a CPU the flag changes nothing that could be measured.
DETERMINISTIC = """
import sys
from pathlib import Path
from fornada.settings import Settings
from fornada.worker.trainer.process.keras_import import import_keras
import_keras()
from jax._src import xla_bridge
from tests.services.trainer_jobs import document, job
from fornada.worker.trainer import run
from fornada.worker.trainer.process.pipes import StopRequest

begin = run.make_deterministic

def watched():
    print("looked before:", xla_bridge.backends_are_initialized())
    begin()

run.make_deterministic = watched
root = Path(sys.argv[1])
order = job(document(reproducibility="deterministic"), root, root / "uid" / "attempt-1")
said = run.JobRun(order, Settings(), StopRequest(), lambda told: None).verdict()
print("verdict:", type(said).__name__)
"""
