"""What the Tab key completes, in each shell, and that it disturbs nobody."""

import os
import pty
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fornada.cli import suggestions
from tests.acceptance.forked import FORKS, Ended
from tests.acceptance.installed import PROGRAM, REPOSITORY
from tests.acceptance.prepared import WORKER, Prepared, leaves, prepare

PATIENCE_S = 60.0
SPEC = "specs/digits.yaml"
# What completes the value of a parameter, by its metavar.
COMPLETERS = {
    "JOB": suggestions.jobs,
    "JOB[,JOB]": suggestions.jobs,
    "KEY=VALUE": suggestions.tags,
    "PATH=VALUE": suggestions.spec_paths,
    "QUEUE": suggestions.queues,
    "A,B": suggestions.queues,
    "time|duration|metric:NAME": suggestions.orders,
    "WORKER|HOST": suggestions.workers,
}
# As bash itself sets it.
WORDBREAKS = " \t\n\"'><=;|&(:"


# A tag that bash has to quote.
SPACED = "nota=não sei"


@pytest.fixture(scope="module")
def prepared() -> Iterator[Prepared]:
    # Not a folder of pytest's, which other accounts cannot enter.
    folder = Path(tempfile.mkdtemp(prefix="fornada-", dir="/tmp"))
    folder.chmod(0o755)
    one = prepare(folder)
    with closing(sqlite3.connect(one.home / "fornada.db")) as connection, connection:
        connection.execute("INSERT INTO job_tag VALUES (1, ?, ?)", SPACED.split("="))
    yield one
    shutil.rmtree(folder)


def press_tab(
    line: str, home: Path, *, asks: str = "bash", account: int | None = None, **more: str
) -> Ended:
    """What the program answers the shell for a line with the cursor at its end."""
    words = {"COMP_WORDS": line, "COMP_CWORD": "line", "COMP_WORDBREAKS": WORDBREAKS}
    if asks == "zsh":
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    if asks == "fish":
        words = {"COMP_WORDS": line, "COMP_CWORD": line.rsplit(" ", maxsplit=1)[-1]}
    variables = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "FORNADA_HOME": str(home)}
    return FORKS.run(
        [],
        environment=variables | words | {"_FORNADA_COMPLETE": f"{asks}_complete"} | more,
        folder=REPOSITORY,
        stdin="",
        timeout_s=PATIENCE_S,
        account=account,
    )


def completed(line: str, home: Path) -> list[str]:
    """The words that bash would offer."""
    ended = press_tab(line, home)
    assert (ended.code, ended.stderr) == (0, b"")
    return [each.partition(",")[2] for each in ended.stdout.decode().splitlines() if each]


def test_every_parameter_of_a_kind_has_its_completer() -> None:
    found = {
        (" ".join(path), each.name): (kind, each._custom_shell_complete)
        for path, command in leaves()
        for each in command.params
        if (kind := re.sub(r"^\[(.*)\]$", r"\1", (each.metavar or "").replace("…", "")))
        in COMPLETERS
    }
    assert {kind for kind, _ in found.values()} == COMPLETERS.keys()
    assert [place for place, (kind, its) in found.items() if its is not COMPLETERS[kind]] == []


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("show ", ["4", "3", "2", "1", "@last"]),
        ("cancel ", ["4", "2", "@last"]),
        ("hold ", ["2", "@last"]),
        ("release ", ["4", "@last"]),
        ("retry ", ["3", "@last"]),
        ("extend ", ["1", "@last"]),
        ("show @", ["@last"]),
        (f"submit {SPEC} --after 1,3", ["1,3"]),
        ("ls --tag ", [SPACED, "owner=ana"]),
        # Bash takes what stands behind = for a word of its own.
        ("ls --tag owner=a", ["ana"]),
        ("ls --tag=ow", ["owner=ana"]),
        ("ls --tag=owner=", ["ana"]),
        ("queue pause d", ["default"]),
        # What is named already is not offered again.
        ("queue pause default ", []),
        ("cancel 4 ", ["2", "@last"]),
        (f"ls --tag '{SPACED}' --tag ", ["owner=ana"]),
        (f"submit {SPEC} --after 1,3,", ["1,3,4", "1,3,2", "1,3,@last"]),
        ("up --queues default,", []),
        ("ls --sort ", ["time", "duration", "metric:loss"]),
        # Bash takes what stands behind : for a word of its own.
        ("ls --sort metric:l", ["loss"]),
        ("move 2 --queue ", ["default"]),
        ("up --queues night,d", ["night,default"]),
        ("worker drain ", [WORKER, f"host-of-{WORKER}"]),
        (f"submit {SPEC} --set fit.ep", ["fit.epochs="]),
        (f"submit {SPEC} --set model.2.Conv2D.fil", ["model.2.Conv2D.filters="]),
        (f"submit {SPEC} --set callb", ["callbacks.EarlyStopping.", "callbacks.ModelCheckpoint."]),
        ("submit nothing.yaml --set fit.ep", ["fit.epochs="]),
        ("clone 2 --set model.2.Dense.un", ["model.2.Dense.units="]),
        ("submit - --set retry.", ["retry.attempts="]),
    ],
)  # fmt: skip
def test_a_value_is_completed(prepared: Prepared, line: str, offered: list[str]) -> None:
    assert completed(f"fornada {line}", prepared.home)[: len(offered) + 1] == offered


def test_zsh_and_fish_show_what_a_value_is(prepared: Prepared) -> None:
    zsh = press_tab("fornada retry ", prepared.home, asks="zsh").stdout.decode()
    assert zsh.splitlines()[:3] == ["plain", "3", "job-3 cancelled"]
    fish = press_tab("fornada retry ", prepared.home, asks="fish").stdout.decode()
    assert fish.splitlines()[0] == "plain,3\tjob-3 cancelled"


def test_bash_itself_completes(prepared: Prepared) -> None:
    script = """
        eval "$($1 completion bash)"
        press() {
            COMP_LINE=$1 COMP_POINT=${#1}
            compopt() { space=$2; }
            space= ; _fornada_completion fornada
            echo "${#COMPREPLY[@]} ${COMPREPLY[*]}|$space"
        }
        press "fornada retry "
        press "fornada ls --tag owner=a"
        press "fornada submit specs/digits.yaml --set fit.ep"
        press "fornada ls --tag no"
        press "fornada queue pause default "
    """
    done = subprocess.run(
        ["/bin/bash", "-c", script, "bash", PROGRAM],
        cwd=REPOSITORY,
        env=os.environ
        | {"FORNADA_HOME": str(prepared.home), "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "2 3 @last|",
        "1 ana|",
        "1 fit.epochs=|nospace",
        f"1 {SPACED}|filenames",
        "0 |",
    ]
    assert done.stderr == ""


@pytest.mark.parametrize(
    "typed", ["no", "nota=", "nota=n", r"nota=não\ s", '"nota=não ', "nota='não s", "--tag=nota=n"]
)
def test_bash_quotes_what_needs_it(prepared: Prepared, tmp_path: Path, typed: str) -> None:
    """A real bash on a terminal: the command gets the value that the job has."""
    line = f"ls {typed}" if typed.startswith("--") else f"ls --tag {typed}"
    got = tmp_path / "got"
    ours, theirs = pty.openpty()
    script = f"""
        eval "$(fornada completion bash)"
        fornada() {{ printf '%s\\n' "$@" > {got}; exit; }}
        bind 'set bell-style none'
        PS1=READY
    """
    rc = tmp_path / "rc"
    rc.write_text(script)
    with subprocess.Popen(
        ["/bin/bash", "--rcfile", rc, "-i"],
        cwd=tmp_path,
        env=os.environ
        | {"FORNADA_HOME": str(prepared.home), "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}
        | {"TERM": "dumb", "LC_ALL": "C.UTF-8"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as bash:
        os.close(theirs)
        said = b""
        while b"READY" not in said:
            said += os.read(ours, 4096)
        os.write(ours, f"fornada {line}\t\n".encode())
        assert bash.wait(PATIENCE_S) == 0
    os.close(ours)
    assert "=".join(got.read_text().splitlines()[1:]).removeprefix("--tag=") == SPACED


@pytest.mark.parametrize(
    "trouble", ["missing", "garbage", "other schema", "config", "server", "closed", "log", "spec"]
)
def test_what_is_wrong_disturbs_nobody_who_types(
    prepared: Prepared, tmp_path: Path, trouble: str
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="fornada-", dir="/tmp"))
    folder.chmod(0o755)
    home, more, account = folder / "home", {}, None
    shutil.copytree(prepared.home, home)
    expected: set[str] = set()
    if trouble == "missing":
        shutil.rmtree(home)
        expected = {"@last"}
    elif trouble == "garbage":
        (home / "fornada.db").write_bytes(b"no database at all")
        expected = {"@last"}
    elif trouble == "other schema":
        with closing(sqlite3.connect(home / "fornada.db")) as connection:
            connection.execute("ALTER TABLE job RENAME TO jobs_of_tomorrow")
        expected = {"@last"}
    elif trouble == "config":
        (home / "config.toml").write_text("no toml")
    elif trouble == "server":
        more = {"FORNADA_DATABASE_URL": "postgresql+psycopg://ana:s3cret@127.0.0.1:9/fornada"}
        expected = {"@last"}
    elif trouble == "closed":
        home.chmod(0o700 if os.geteuid() == 0 else 0o000)
        account = 65534 if os.geteuid() == 0 else None
    elif trouble == "log":
        with closing(sqlite3.connect(home / "fornada.db")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        for each in (home / "fornada.db", home):
            each.chmod(0o444 if each.is_file() else 0o555)
        account = 65534 if os.geteuid() == 0 else None
        expected = {"4", "3", "2", "1", "@last"}
    elif trouble == "spec":
        (folder / "bad.yaml").write_text("name: [")
        expected = {"4", "3", "2", "1", "@last"}
    for line in ("show ", f"submit {folder}/bad.yaml --set fit.e", "ls --tag ", "worker drain "):
        ended = press_tab(f"fornada {line}", home, account=account, **more)
        assert (ended.code, ended.stderr) == (0, b""), (line, ended)
        if line == "show ":
            offered = {each.partition(",")[2] for each in ended.stdout.decode().splitlines()}
            assert offered - {""} == expected
    assert home.exists() == (trouble != "missing")
    if home.exists():
        home.chmod(0o755)
    shutil.rmtree(folder)


def test_ids_are_completed_without_the_libraries_of_other_commands(prepared: Prepared) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", PROGRAM],
        env=os.environ
        | {
            "FORNADA_HOME": str(prepared.home),
            "_FORNADA_COMPLETE": "bash_complete",
            "COMP_WORDS": "fornada show ",
            "COMP_CWORD": "line",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert "plain,2" in done.stdout.splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "fornada.db.reads.suggestions" in loaded
    heavy = {"sqlalchemy", "celery", "yaml", "rich", "keras", "psycopg", "fornada.spec"}
    assert loaded & heavy == set()
