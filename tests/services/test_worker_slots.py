"""Slots of real workers: what their trainers find in the environment, and who holds a lock."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fornada import artifacts
from fornada.errors import SettingsError
from fornada.worker.slots import slots
from fornada.worker.slots.factory import Factory
from fornada.worker.slots.slots import Device, SlotHeld
from tests.servers import RedisServer
from tests.stub_trainer import ENVIRON
from tests.worker_process import STUB, Site, WorkerProcess, stub_spec


@pytest.fixture
def site(sqlite_database_url: str, redis_server: RedisServer) -> Iterator[Site]:
    """A database, a home and a queue of the test's own."""
    made = Site(sqlite_database_url, redis_server.url)
    yield made
    made.close()


def test_trainers_of_declared_gpus_have_one_each(site: Site) -> None:
    with site.worker("--slots", "gpu:0,gpu:1") as worker:
        environments = _environments(site, 2)

        assert {each["CUDA_VISIBLE_DEVICES"] for each in environments} == {"0", "1"}
        for each in environments:
            assert each["TF_GPU_ALLOCATOR"] == "cuda_malloc_async"
            assert each["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
            assert each["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
            assert each["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
        _assert_refused(site, worker)


def test_keras_is_imported_before_there_is_a_device(site: Site) -> None:
    with site.keras_worker("--slots", "gpu:0,gpu:1"):
        factory = site.live_factory()

        assert _environment(factory)["CUDA_VISIBLE_DEVICES"] == "-1"
        assert _environment(factory)["TF_GPU_ALLOCATOR"] == "cuda_malloc_async"
        opened = [str(each.readlink()) for each in Path(f"/proc/{factory}/fd").iterdir()]
        assert not [name for name in opened if name.startswith("/dev/nvidia")]


def test_each_kind_of_slot_has_what_libraries_read_at_their_import(site: Site) -> None:
    with site.worker("--slots", "gpu:0,cpu"):
        environments = _environments(site, 2)

    found = {each["CUDA_VISIBLE_DEVICES"]: each for each in environments}
    assert set(found) == {"0", "-1"}
    assert found["-1"]["TF_ENABLE_ONEDNN_OPTS"] == "1"
    assert "OMP_NUM_THREADS" in found["-1"]
    assert "TF_GPU_ALLOCATOR" not in found["-1"]
    # Nor is it in the environment of the worker.
    assert found["0"].get("TF_ENABLE_ONEDNN_OPTS") == os.environ.get("TF_ENABLE_ONEDNN_OPTS")


def _assert_refused(site: Site, holder: WorkerProcess) -> None:
    second = site.worker("--slots", "gpu:1")

    assert second.process.wait(30) == 5, second.text()
    assert f"slot gpu:1 is held by worker {holder.name}" in second.text()


def test_cpu_slots_share_the_cores_and_see_no_gpu(site: Site) -> None:
    with site.worker("--slots", "2", KERAS_BACKEND="tensorflow"):
        environments = _environments(site, 2)

    share = str(max(1, int(slots.cores() / 2)))
    for each in environments:
        assert each["CUDA_VISIBLE_DEVICES"] == "-1"
        assert each["OMP_NUM_THREADS"] == each["TF_NUM_INTRAOP_THREADS"] == share
        assert each["PJRT_NPROC"] == share
        assert each["KERAS_BACKEND"] == "tensorflow"
        assert "FORNADA_DATABASE_URL" not in each
        assert "FORNADA_BROKER_URL" not in each


def test_a_job_without_a_gpu_sees_none_on_a_gpu_slot(site: Site) -> None:
    with site.worker("--slots", "gpu:0"):
        assert _visible_to(site, 0) == "-1"
        assert _visible_to(site, "auto") == "0"


def _visible_to(site: Site, gpus: int | str) -> str:
    spec = stub_spec("environ-1") | {"resources": {"gpus": gpus}}
    job_id = site.add("job", spec=spec, gpus=str(gpus))
    site.wait(job_id)
    return _of_job(site, job_id)["CUDA_VISIBLE_DEVICES"]


def test_workers_of_a_home_share_out_its_cpu_slots(tmp_path: Path) -> None:
    first = slots.take([Device("cpu", 0), Device("cpu", 0)], tmp_path, "one")
    second = slots.take([Device("cpu", 0)], tmp_path, "two")

    assert [slot.name for slot in (*first, *second)] == ["cpu:0", "cpu:1", "cpu:2"]


def test_a_trainer_holds_its_slot_after_the_worker_has_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "DYING_S", 0.0)
    (slot,) = slots.take([Device("gpu", 0)], tmp_path, "one")

    with closing(Factory(STUB.split(), os.environ)) as factory:
        assert factory.ready(20)
        with factory.trainer({}, slot.lock):
            os.close(slot.lock)
            with pytest.raises(SlotHeld):
                slots.take([Device("gpu", 0)], tmp_path, "two")

    assert slots.take([Device("gpu", 0)], tmp_path, "two")[0].name == "gpu:0"


def test_a_held_gpu_names_its_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "DYING_S", 0.0)
    slots.take([Device("gpu", 0)], tmp_path, "worker ana (process 7)")

    with pytest.raises(SlotHeld, match=r"gpu:0 is held by worker ana \(process 7\)"):
        slots.take([Device("gpu", 0)], tmp_path, "two")


@pytest.mark.parametrize("text", ["tpu", "gpu", "gpu:x", "gpu:0,gpu:0", "0", "", "cpu:3"])
def test_what_is_no_slot_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        slots.devices(text)


def test_declared_slots_are_taken_as_written() -> None:
    assert slots.devices("gpu:1,cpu") == [Device("gpu", 1), Device("cpu", 0)]


def test_a_host_without_a_driver_has_one_cpu_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    # Leaves no GPU to us where there are some.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")

    assert slots.devices(None) == [Device("cpu", 0)]
    assert slots.devices("3") == [Device("cpu", 0)] * 3


def _environments(site: Site, count: int) -> list[dict[str, str]]:
    """What so many jobs at the same time find in their environment."""
    ids = [site.in_epoch(1, "environ") for _ in range(count)]
    found = [_of_job(site, job_id) for job_id in ids]
    site.cancel(*ids)
    return found


def _of_job(site: Site, job_id: int) -> dict[str, str]:
    folder = artifacts.attempt_folder(site.settings, site.show(job_id)["uid"], 1)
    found: dict[str, str] = json.loads((folder / ENVIRON).read_text())
    return found


def _environment(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)
