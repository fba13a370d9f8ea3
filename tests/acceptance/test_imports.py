"""What commands import: nothing that they can do without, since imports are most of their time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.installed import Fornada
from tests.acceptance.specs import small

# Package: why a command needs it.
READING = {
    "fornada": "our own",
    "click": "the command line",
    "sqlalchemy": "the database",
    "cython_runtime": "compiled parts of SQLAlchemy",
    "msgspec": "the settings",
    "typing_extensions": "SQLAlchemy",
}
SUBMITTING = READING | {
    "yaml": "the spec",
    "celery": "the message",
    "billiard": "Celery",
    "kombu": "Celery",
    "amqp": "kombu",
    "vine": "kombu",
    "redis": "the broker",
    "tzlocal": "kombu",
    "dateutil": "Celery",
    "six": "dateutil",
}
# Parts of packages that only other commands need, and what a command would pay for each.
NEEDLESS = {
    "sqlalchemy.orm": "no code uses a session or an entity: 60 ms",
    "sqlalchemy.dialects.postgresql": "the home has SQLite: 40 ms",
    "alembic": "the schema is as it should be: 100 ms",
    "pydantic": "only workers read messages of trainers: 80 ms",
    "rich": "nothing is drawn in a pipe: 50 ms",
    "keras": "only workers train",
    "numpy": "only workers train",
}

REPORT = """
import json, sys
sys.argv = ["fornada", *sys.argv[1:]]
from fornada.cli.main import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        (["ls"], READING),
        (["ps"], READING),
        (["show", "@last", "--json"], READING),
        (["submit", "-q", "SPEC"], SUBMITTING),
        (["wait", "@last"], READING),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_command_imports_what_it_needs(
    command: list[str], needed: dict[str, str], fornada: Fornada, tmp_path: Path
) -> None:
    spec = small(tmp_path)
    job = fornada("submit", "-q", spec).stdout.strip()
    fornada("cancel", job)
    words = [str(spec) if word == "SPEC" else word for word in command]
    done = subprocess.run(
        [sys.executable, "-P", "-c", REPORT, *words],
        env=os.environ | fornada.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    imported = json.loads(done.stderr.splitlines()[-1])
    own = set(sys.stdlib_module_names)
    packages = {name.partition(".")[0] for name in imported} - own
    packages = {name for name in packages if not name.startswith("_")}
    assert packages - needed.keys() == set()
    assert [name for name in NEEDLESS if name in imported] == []
