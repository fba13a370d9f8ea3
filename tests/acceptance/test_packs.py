"""Packs from the command line: data pack, data ls, data gc."""

from pathlib import Path

from tests.acceptance.installed import REPOSITORY, Fornada
from tests.acceptance.specs import small

LOOK = ("--set", "data.image_size=[28, 28]", "--set", "data.color_mode=grayscale")


def test_a_folder_is_packed_listed_and_removed(fornada: Fornada, tmp_path: Path) -> None:
    assert fornada("data", "ls").stderr.startswith("no pack")
    folder = REPOSITORY / "Data" / "Test"
    (packed,) = fornada("data", "pack", "--json", "Data/Test", *LOOK).document
    assert packed["folder"] == str(folder)
    assert packed["images"] == 500
    assert packed["unpacked"] is None
    # The same pack, now found.
    assert fornada("data", "pack", "-q", "Data/Test", *LOOK).stdout == f"{packed['pack']}\n"
    (row,) = fornada("data", "ls", "--json").document
    assert row["name"] == packed["pack"]
    assert row["bytes"] >= 500 * 28 * 28
    assert (row["classes"], row["image_size"], row["color_mode"]) == (10, [28, 28], "grayscale")
    assert (row["kind"], row["dtype"], row["in_use"]) == ("exact", "uint8", False)
    assert "28x28 grayscale" in fornada.on_terminal("data", "ls")
    assert fornada("data", "gc").stderr == "Nothing to remove.\n"
    assert fornada("data", "gc", "--all", "-q").stdout == f"{packed['pack']}\n"
    assert fornada("data", "ls", "-q").stdout == ""


def test_what_cannot_be_packed_is_told(fornada: Fornada, tmp_path: Path) -> None:
    tight = fornada.with_settings(FORNADA_MAX_PACK_BYTES="1000")
    done = tight("data", "pack", "Data/Test", *LOOK, code=5)
    assert "not packed" in done.stderr
    assert "FORNADA_MAX_PACK_BYTES" in done.stderr
    bad = tmp_path / "set" / "a"
    bad.mkdir(parents=True)
    (bad / "1.png").write_text("words")
    done = fornada("data", "pack", bad.parent, code=3)
    assert "DATA_INVALID" in done.stderr
    assert "set/a/1.png: not a PNG" in done.stderr
    missing = small(tmp_path, "none", train="Data/None")
    assert "Data/None" in fornada("data", "pack", missing, code=3).stderr


def test_progress_is_shown_on_a_terminal(fornada: Fornada) -> None:
    said = fornada.on_terminal("data", "pack", "Data/Test", *LOOK)
    assert "500/500" in said
