"""Hostile specs are refused with the right code, in under a second, and with little memory."""

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fornada.spec import SpecProblems, from_document, load, loads
from tests.services.hostile_specs import DOCUMENTS, GOOD, ROWS, TEXT, Row, write

ROOT = Path("/srv/data")
# Processor time in seconds and memory in MiB that reading may take. We promise one second.
WITHIN_S = 1.0
WITHIN_MIB = 64


@contextmanager
def at_once() -> Iterator[None]:
    """Check that the block takes little time and memory, with coverage off: it adds to both."""
    tracer = sys.gettrace()
    sys.settrace(None)
    began, size = time.process_time(), _peak_mib()
    try:
        yield
        took_s, took_mib = time.process_time() - began, _peak_mib() - size
    finally:
        sys.settrace(tracer)
    assert took_s < WITHIN_S
    assert took_mib < WITHIN_MIB


def refused(row: Row, folder: Path) -> SpecProblems:
    file = write(row, folder / "hostile.yaml", json.dumps)
    with pytest.raises(SpecProblems) as caught:
        load(file, data_root=ROOT, base=ROOT)
    return caught.value


def test_the_spec_without_a_hostile_part_is_accepted() -> None:
    assert from_document(GOOD) == loads(TEXT.format(""), data_root=ROOT, base=ROOT)


@pytest.mark.parametrize("name", ROWS)
def test_a_hostile_file_is_refused_with_its_code_at_once(name: str, tmp_path: Path) -> None:
    with at_once():
        problems = refused(ROWS[name], tmp_path)

    assert {problem.code for problem in problems.problems} == {ROWS[name].code}
    # The messages may not control a terminal, or fill it.
    assert str(problems).replace("\n", "").isprintable()
    assert len(str(problems)) < 4000


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_hostile_document_is_refused_with_its_code_at_once(name: str) -> None:
    with at_once(), pytest.raises(SpecProblems) as caught:
        from_document(DOCUMENTS[name].document or {})

    assert caught.value.code == DOCUMENTS[name].code


def test_a_link_that_leads_out_of_the_data_root_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "Data").symlink_to("/etc")

    with pytest.raises(SpecProblems) as caught:
        loads(TEXT.format(""), data_root=root, base=root)

    assert caught.value.code == "PATH_REFUSED"


@pytest.mark.parametrize("name", ["/dev/zero", "/proc/self/mem", "/", "/nowhere"])
def test_a_path_that_is_not_a_regular_file_is_refused(name: str) -> None:
    with pytest.raises(SpecProblems) as caught:
        load(Path(name), data_root=ROOT, base=ROOT)

    assert caught.value.code == "SPEC_SYNTAX"


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
