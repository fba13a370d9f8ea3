"""What answers look like: plain in a pipe, tables on a terminal, colours when asked."""

import getpass
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.installed import PROGRAM, REPOSITORY, Fornada
from tests.acceptance.specs import small

ESCAPE = "\x1b["


@pytest.fixture(scope="module")
def queued(tmp_path_factory: pytest.TempPathFactory) -> Fornada:
    """A home with one queued and one cancelled job, and no stack."""
    folder = tmp_path_factory.mktemp("queued")
    one = Fornada(folder / "home")
    one("submit", "-q", small(folder, "first"), small(folder, "second"))
    one("cancel", 2)
    return one


def test_rows_in_a_pipe_are_plain(queued: Fornada) -> None:
    assert queued("ps").stdout == "1\tfirst\tqueued\t0\tdefault\t-\t-\t-\t-\t-\tNoWorker\t-\n"
    rows = [row.split("\t") for row in queued("ls").stdout.splitlines()]
    assert [row[:6] for row in rows] == [
        ["2", "second", "cancelled", "0", "-", "-"],
        ["1", "first", "queued", "0", "-", "-"],
    ]
    # At the end: tags, who submitted the job, and why it failed.
    assert [row[7:] for row in rows] == [["-", getpass.getuser(), "-"]] * 2
    assert queued("ls", "-q").stdout == "2\n1\n"
    assert "waits" in queued("show", 1).stdout
    assert "no worker serves its queue yet" in queued("show", 1).stdout
    assert "waits" not in queued("show", 2).stdout


def test_a_terminal_gets_a_table_with_colours(queued: Fornada) -> None:
    said = queued.on_terminal("ls")
    assert "SUBMITTED" in said
    assert ESCAPE in said
    assert "\t" not in said


def test_eighty_columns_are_enough(queued: Fornada) -> None:
    said = queued.on_terminal("ps", "--color", "never")
    for whole in ("PRIORITY", "ELAPSED", "default", "first", "NoWorker"):
        assert whole in said
    # No job carries tags, so that their column leaves its room to others.
    said = queued.on_terminal("ls", "--color", "never")
    assert "TAGS" not in said
    assert "cancelled" in said


def test_no_color_and_never_take_the_colours_away(queued: Fornada) -> None:
    for plain in (
        queued.with_settings(NO_COLOR="1").on_terminal("ls"),
        queued.on_terminal("ls", "--color", "never"),
    ):
        assert "SUBMITTED" in plain
        assert "cancelled" in plain
        assert "[3" not in plain, plain


def test_always_colours_a_pipe(queued: Fornada) -> None:
    assert ESCAPE in queued("show", 2, "--color", "always").stdout
    assert ESCAPE not in queued("show", 2).stdout


def test_a_closed_pipe_is_quiet(queued: Fornada) -> None:
    piped = f"{PROGRAM} show 1 | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(
        ["/bin/bash", "-c", piped],
        env=queued.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_help_and_completion_load_nothing_heavy(fornada: Fornada) -> None:
    completing = {
        "_FORNADA_COMPLETE": "bash_complete",
        "COMP_WORDS": "fornada sub",
        "COMP_CWORD": "1",
    }
    for words, more in ((["--help"], {}), (["submit", "--help"], {}), ([], completing)):
        ended = subprocess.run(
            [sys.executable, "-X", "importtime", PROGRAM, *words],
            env=fornada.environment | more,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "submit" in ended.stdout
        loaded = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
        assert "click" in loaded
        for heavy in ("sqlalchemy", "keras", "tensorflow", "pydantic", "celery", "rich", "yaml"):
            assert heavy not in loaded, (words, heavy)


def test_a_check_loads_no_database(fornada: Fornada) -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", PROGRAM, "check", "specs/digits.yaml"],
        cwd=REPOSITORY,
        env=fornada.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "fornada.spec" in loaded
    assert not loaded & {"sqlalchemy", "celery", "redis", "keras"}


def test_completion_knows_commands_and_options(fornada: Fornada) -> None:
    for words, expected in (
        ("fornada c", "plain,cancel"),
        ("fornada ext", "plain,extend"),
        ("fornada queue res", "plain,resume"),
        ("fornada submit --not", "plain,--not-before"),
        ("fornada submit --dr", "plain,--dry-run"),
    ):
        completing = fornada.with_settings(
            _FORNADA_COMPLETE="bash_complete",
            COMP_WORDS=words,
            COMP_CWORD=str(len(words.split()) - 1),
        )
        assert expected in completing().stdout.splitlines()
    for shell in ("bash", "zsh", "fish"):
        assert "_FORNADA_COMPLETE" in fornada("completion", shell).stdout


def test_help_answers_within_twice_the_time_of_importing_click(fornada: Fornada) -> None:
    def seconds(*command: object) -> float:
        # Of the processor, the least of several: other processes must not decide.
        return min(_cpu_seconds(command, fornada) for _ in range(7))

    assert seconds(PROGRAM, "--help") < 2 * seconds(sys.executable, "-c", "import click")


def _cpu_seconds(command: tuple[object, ...], fornada: Fornada) -> float:
    before = os.times()
    subprocess.run(
        [*map(str, command)], env=fornada.environment, stdout=subprocess.DEVNULL, check=True
    )
    after = os.times()
    return (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )


def test_an_unexpected_error_is_one_line_and_a_way_to_see_more(tmp_path: Path) -> None:
    # A password that is a folder: nothing anybody planned for.
    broken = Fornada(tmp_path / "home")
    (broken.home / "redis.password").mkdir(parents=True)
    done = broken("up", code=1)
    assert "FORNADA_DEBUG=1" in done.stderr
    assert "Traceback" not in done.stderr
    for told in (
        broken.with_settings(FORNADA_DEBUG="1")("up", code=1),
        broken("--debug", "up", code=1),
    ):
        assert "Traceback" in told.stderr


def test_what_is_wrong_is_told_also_to_who_wants_tracebacks(
    fornada: Fornada, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text("name: bad\n")
    told = fornada.with_settings(FORNADA_DEBUG="1")("check", tmp_path / "bad.yaml", code=3)
    assert "bad.yaml" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_queue_without_a_name_is_a_mistake(fornada: Fornada) -> None:
    for words in (("up",), ("worker", "start")):
        for queues in ("a b", "default,"):
            assert "not a valid queue name" in fornada(*words, "--queues", queues, code=2).stderr


def test_slots_that_are_none_are_a_mistake(fornada: Fornada) -> None:
    for words in (("up",), ("worker", "start")):
        for slots in ("x", "0", "gpu", "cpu,gpu:"):
            assert "not a list of slots" in fornada(*words, "--slots", slots, code=2).stderr


def test_a_home_that_cannot_be_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    for words in (("ls",), ("db", "current"), ("up",), ("submit", "specs/digits.yaml")):
        done = Fornada(tmp_path / "home")(*words, code=2)
        assert done.stderr.startswith(f"the home {tmp_path / 'home'} cannot be created: ")


def test_names_and_tags_in_any_language_are_found_again(fornada: Fornada, tmp_path: Path) -> None:
    text = small(tmp_path, "small").read_text().partition("\n")[2]
    for name in ("été", "my run (final)"):
        (tmp_path / f"{name}.yaml").write_text(text)
    fornada("submit", "-q", tmp_path / "été.yaml", "--tag", "note=🐱", "--tag", "größe=3")
    told = fornada("submit", tmp_path / "my run (final).yaml", "--tag", "note=🐱")
    assert '"my-run-final"' in told.stderr
    rows = fornada("ls", "--json").document["jobs"]
    assert [(row["name"], row["tags"]["note"]) for row in rows] == [
        ("my-run-final", "🐱"),
        ("été", "🐱"),
    ]
    # As macOS writes it, too.
    for filters in (("--name", "été"), ("--name", "e\u0301t*"), ("--tag", "größe=3")):
        assert fornada("ls", "-q", *filters).stdout == "1\n"
    assert fornada("cancel", "-q", "--tag", "note=🐱").stdout == "1\n2\n"
    # What cannot be shown is no error.
    narrow = fornada.with_settings(PYTHONIOENCODING="latin-1")
    assert [row["name"] for row in narrow("ls", "--json").document["jobs"]][1] == "été"
    assert r"note=\U0001f431" in narrow("show", 2).stdout


def test_a_name_of_a_file_is_completed(fornada: Fornada) -> None:
    completing = fornada.with_settings(
        _FORNADA_COMPLETE="bash_complete", COMP_WORDS="fornada submit é", COMP_CWORD="2"
    )
    assert "file,é" in completing().stdout.splitlines()


def test_an_empty_answer_says_what_was_asked(fornada: Fornada) -> None:
    home = str(fornada.home)
    for words in (("ls",), ("ps",), ("worker", "ls"), ("queue", "ls"), ("data", "ls")):
        done = fornada(*words)
        assert (done.stdout, home in done.stderr) == ("", True), words
    asked = ("--state", "failed", "--name", "my run*", "--tag", "note=🐱", "--since", "2026-01-02")
    said = fornada("ls", *asked).stderr
    for part in ("--state failed", "--name 'my run*'", "note=🐱", "--since 2026-01-02T00:00", home):
        assert part in said
    assert home in fornada("show", 12, code=4).stderr
    # Programs get an empty list, and no words with -q.
    assert fornada("ls", "-q", *asked).stderr == ""
    assert fornada("ps", "--json").document == []
