"""Packs on disk: what may be removed, what may be made, and by whom. Without a decoder."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fornada.data.packs import (
    PIXELS,
    NoRoom,
    Pack,
    PackHeader,
    Packs,
    content,
    hold,
    key,
    name,
)

LOOK = {"image_size": [8, 8], "color_mode": "rgb"}
SIZE = 1024**2

# Holds the pixels of a pack, or the right to make one, until it is killed.
HOLD = """
import sys
from fornada.data.packs import hold
file = open(sys.argv[1], "rb")
hold(file.fileno())
print("held", flush=True)
sys.stdin.read()
"""
MAKE = """
import sys
from pathlib import Path
from fornada.data.packs import Packs
with Packs(Path(sys.argv[1])).making(sys.argv[2], lambda: None) as making:
    (making.folder / "float32.npy").write_bytes(bytes(1000))
    print("makes", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def packs(tmp_path: Path) -> Packs:
    """None yet; they may take 10.5 MiB."""
    return Packs(tmp_path / "packs", 10 * SIZE + SIZE // 2)


def make(packs: Packs, text: str, size: int = SIZE, used_s: int = 1_000_000) -> Pack:
    """A pack of one file that holds a text."""
    facts = PackHeader(
        content({"a/1.png": text}), LOOK, "exact", {"a": 1}, 64, "/data", "uint8", size
    )
    with packs.making(key(text), lambda: None) as making:
        with packs.room(size):
            (making.folder / PIXELS).write_bytes(bytes(size))
        pack = making.finish(facts)
    os.utime(pack.folder / "pack.json", (used_s, used_s))
    return pack


@contextmanager
def process(code: str, *words: object) -> Iterator["subprocess.Popen[str]"]:
    """A process that has said that it is there."""
    command = [sys.executable, "-c", code, *map(str, words)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline()
        try:
            yield other
        finally:
            other.kill()


def names(packs: Packs) -> set[str]:
    return {pack.name for pack in packs.all()}


def test_the_name_says_content_look_and_kind() -> None:
    one = content({"a/1.png": "5 x", "b/2.png": "6 y"})
    assert one == content({"b/2.png": "6 y", "a/1.png": "5 x"})
    assert len({
        name(one, LOOK, "exact"),
        name(one, LOOK, "uint8"),
        name(one, LOOK | {"image_size": [9, 8]}, "exact"),
        name(content({"a/1.png": "5 x", "b/2.png": "6 z"}), LOOK, "exact"),
        name(content({"a/1.png": "5 x", "b/3.png": "6 y"}), LOOK, "exact"),
    }) == 5  # fmt: skip


def test_a_pack_is_found_and_listed_by_its_last_use(packs: Packs) -> None:
    first, second = make(packs, "first"), make(packs, "second", used_s=2_000_000)
    assert [pack.name for pack in packs.all()] == [second.name, first.name]
    packs.use(first)
    assert [pack.name for pack in packs.all()] == [first.name, second.name]
    found = packs.find(first.name)
    assert found is not None
    assert found.facts == first.facts
    assert packs.may_hold(1, LOOK, "exact")
    assert not packs.may_hold(2, LOOK, "exact")
    assert not packs.may_hold(1, LOOK, "uint8")


def test_room_is_made_by_the_pack_unused_for_longest(packs: Packs) -> None:
    made = [make(packs, str(i), 3 * SIZE, 1_000_000 + i) for i in range(3)]
    packs.use(made[0])
    new = make(packs, "new", 3 * SIZE)
    assert names(packs) == {made[0].name, made[2].name, new.name}


def test_what_a_killed_maker_left_gives_way_before_any_pack(packs: Packs) -> None:
    kept = {make(packs, text, 4 * SIZE).name for text in ("one", "two")}
    left = packs.folder / "making-left"
    left.mkdir()
    (left / PIXELS).write_bytes(bytes(2 * SIZE))
    new = make(packs, "new", SIZE)
    assert not left.exists()
    assert names(packs) == {*kept, new.name}


def test_a_pack_in_use_stays_and_what_has_no_room_is_not_made(packs: Packs) -> None:
    used, idle = make(packs, "used", 5 * SIZE), make(packs, "idle", 5 * SIZE, 2_000_000)
    with process(HOLD, used.folder / PIXELS):
        assert used.in_use
        assert not idle.in_use
        # Both would have to go; neither does.
        with pytest.raises(NoRoom, match="FORNADA_MAX_PACK_BYTES"), packs.room(6 * SIZE):
            pass
        assert names(packs) == {used.name, idle.name}
        # The one that is used was unused for longer.
        with packs.room(4 * SIZE):
            assert names(packs) == {used.name}
        assert packs.gc(everything=True) == []
    assert not used.in_use
    assert [gone for gone, _ in packs.gc(everything=True)] == [used.name]
    assert names(packs) == set()


def test_the_lock_lasts_as_long_as_the_map(packs: Packs) -> None:
    import mmap

    pack = make(packs, "mapped")
    with (pack.folder / PIXELS).open("rb") as file:
        hold(file.fileno())
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    assert pack.in_use
    pages.close()
    assert not pack.in_use


def test_a_pack_over_the_bound_or_half_of_the_free_disk_is_not_made(tmp_path: Path) -> None:
    packs = Packs(tmp_path / "packs", 10 * SIZE)
    kept = make(packs, "kept")
    with pytest.raises(NoRoom, match="do not fit"), packs.room(10 * SIZE + 1):
        pass
    free = os.statvfs(tmp_path)
    half = free.f_bavail * free.f_frsize * 2 // 3
    with pytest.raises(NoRoom, match="more than half"), Packs(packs.folder, 2**60).room(half):
        pass
    assert names(packs) == {kept.name}


def test_only_one_makes_a_pack_and_one_who_waits_may_stop(packs: Packs) -> None:
    asked = []

    def check() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise InterruptedError

    with process(MAKE, packs.folder, "key"):
        with pytest.raises(InterruptedError), packs.making("key", check):
            pass
        # What is being made is no leftover.
        assert packs.gc(everything=True) == []
        assert packs.taken_bytes() > 0
    # Its maker was killed: what it left is gone when another makes it.
    with packs.making("key", lambda: None) as making:
        assert list(making.folder.iterdir()) == []
    assert list(packs.folder.glob("making-*")) == []


def test_what_a_killed_maker_left_is_removed(packs: Packs) -> None:
    kept = make(packs, "kept")
    with process(MAKE, packs.folder, "key") as maker:
        maker.send_signal(signal.SIGKILL)
        maker.wait()
    junk = packs.folder / "half-removed"
    junk.mkdir()
    (junk / PIXELS).write_bytes(bytes(10))
    assert {gone for gone, _ in packs.gc()} == {"making-key", "half-removed"}
    assert names(packs) == {kept.name}


def test_the_same_content_from_two_folders_is_one_pack(packs: Packs) -> None:
    first = make(packs, "same")
    with packs.making("another folder", lambda: None) as making:
        (making.folder / PIXELS).write_bytes(bytes(SIZE))
        assert making.finish(first.facts).name == first.name
    assert names(packs) == {first.name}
    assert {entry.name for entry in packs.folder.iterdir()} == {first.name, "lock"}


def test_gc_brings_packs_below_a_bound_that_was_lowered(packs: Packs) -> None:
    old, new = make(packs, "old"), make(packs, "new", used_s=2_000_000)
    lowered = Packs(packs.folder, SIZE + SIZE // 2)
    assert [gone for gone, _ in lowered.gc()] == [old.name]
    assert names(packs) == {new.name}
