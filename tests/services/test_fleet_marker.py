"""The file that names the database of an artifacts folder, as others may have left it."""

import errno
import os
import tracemalloc
from pathlib import Path

import pytest

from fornada import fleet_marker

FLEET, OTHER = "a" * 32, "b" * 32


def test_a_last_line_without_an_end_stays_a_line(tmp_path: Path) -> None:
    (tmp_path / fleet_marker.NAME).write_text(OTHER)
    fleet_marker.write(tmp_path, FLEET)
    assert (tmp_path / fleet_marker.NAME).read_text() == f"{OTHER}\n{FLEET}\n"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "artifacts", tmp_path / "elsewhere"
    folder.mkdir()
    (folder / fleet_marker.NAME).symlink_to(elsewhere)
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        fleet_marker.write(folder, FLEET)
    assert not elsewhere.exists()
    elsewhere.write_text(FLEET)
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        fleet_marker.names(folder, FLEET)


def test_only_the_beginning_of_a_huge_marker_is_read(tmp_path: Path) -> None:
    marker = tmp_path / fleet_marker.NAME
    fleet_marker.write(tmp_path, FLEET)
    with marker.open("ab") as file:
        file.truncate(300 * 1024 * 1024)
    tracemalloc.start()
    assert fleet_marker.names(tmp_path, FLEET)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 * 1024 * 1024
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        fleet_marker.write(tmp_path, OTHER)
