"""Texts that somebody wrote into the database by hand reach no terminal as they are."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fornada.db.json_values import Json, SafeText
from fornada.db.store.tables import METADATA
from tests.acceptance.forked import FORKS
from tests.acceptance.installed import Fornada
from tests.acceptance.prepared import PATIENT, prepare

# Clears the screen, moves up a line, hides what follows, turns the direction, ends a line twice.
HOSTILE = "x\x1b[2J\x1b[1A\x1b[8m\u202egnp.\u2069\x9b2J\r\n1\tforged\tsucceeded\u2028y\x07"
# What a terminal could take for more than text, but for the ends of lines and tabs of a table.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# Columns whose values decide what a row is, or which name other rows.
KEPT = {"state", "gpus", "monitor_mode", "outcome", "uid", "worker", "failure_code", "kind"}
COMMANDS = [
    ["ps"],
    ["ls"],
    ["ls", "--sort", "duration", "--state", "succeeded"],
    *(["show", str(job)] for job in (1, 2, 3, 4)),
    ["show", "1", "--events"],
    ["show", "2", "--events"],
    ["metrics", "1"],
    ["logs", "1"],
    ["worker", "ls"],
    ["queue", "ls"],
    ["wait", "1"],
    ["cancel", "1"],
    ["doctor"],
]


@pytest.fixture(scope="module")
def fornada(tmp_path_factory: pytest.TempPathFactory) -> Fornada:
    home = prepare(tmp_path_factory.mktemp("hostile")).home
    with closing(sqlite3.connect(home / "fornada.db")) as connection:
        for table in METADATA.tables.values():
            for column in table.columns:
                if isinstance(column.type, SafeText) and column.name not in KEPT:
                    connection.execute(
                        f'UPDATE "{table.name}" SET "{column.name}" = ? || rowid',  # noqa: S608
                        [HOSTILE],
                    )
                elif isinstance(column.type, Json):
                    rows = connection.execute(
                        f'SELECT rowid, "{column.name}" FROM "{table.name}"'  # noqa: S608
                    ).fetchall()
                    for row, value in rows:
                        if value is not None:
                            connection.execute(
                                f'UPDATE "{table.name}" SET "{column.name}" = ? WHERE rowid = ?',  # noqa: S608
                                [json.dumps(hostile(json.loads(value)), ensure_ascii=False), row],
                            )
        connection.execute("UPDATE event SET kind = ? WHERE id = 2", [HOSTILE])
        connection.execute("UPDATE event SET detail = '[1]' WHERE id = 3")
        connection.execute(
            """UPDATE event SET kind = 'moved', detail = '{"queue": 5}' WHERE id = 4"""
        )
        connection.commit()
    return Fornada(home, PATIENT)


def hostile(value: Any) -> Any:
    """A document in which each text is hostile."""
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, list):
        return [hostile(item) for item in value]
    if isinstance(value, dict):
        return {key: hostile(item) for key, item in value.items()}
    return value


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_shows_no_text_that_controls_the_terminal(
    fornada: Fornada, words: list[str]
) -> None:
    ended = FORKS.run(
        words, environment=fornada.environment, folder=Path("/"), stdin=None, timeout_s=60
    )
    for stream in (ended.stdout, ended.stderr):
        shown = stream.decode()
        assert CONTROL.findall(shown) == []
        assert not any(line.startswith(("1\tforged", "y")) for line in shown.splitlines())
        assert "Internal error" not in shown
        assert "Traceback" not in shown


@pytest.mark.parametrize(
    "words",
    ["show ", "ls --tag ", "ls --sort ", "queue pause ", "worker drain ", "clone 1 --set d"],
)
def test_a_completion_holds_no_text_that_controls_the_terminal(
    fornada: Fornada, words: str
) -> None:
    shell = {
        "_FORNADA_COMPLETE": "zsh_complete",
        "COMP_WORDS": f"fornada {words}",
        "COMP_CWORD": str(len(words.split(" "))),
    }
    ended = FORKS.run(
        [], environment=fornada.environment | shell, folder=Path("/"), stdin=None, timeout_s=60
    )
    assert CONTROL.findall(ended.stdout.decode()) == []
