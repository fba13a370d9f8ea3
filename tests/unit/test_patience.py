"""Why a database does not answer, in the words that a person needs."""

import pytest

from fornada.db.errors import DatabaseUnreachable
from fornada.patience import outage, why

REFUSED = (
    'connection to server at "{}", port 5432 failed: Connection refused '
    "Is the server running on that host and accepting TCP/IP connections?"
)
ASKED_TWICE = (
    "Multiple connection attempts failed. All failures were: "
    f"- host: 'db', port: '5432', hostaddr: '::1': connection failed: {REFUSED.format('::1')} "
    f"- host: 'db', port: '5432', hostaddr: '10.0.0.1': connection failed: "
    + REFUSED.format("10.0.0.1")
)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("connection failed: " + REFUSED.format("::1"), "Connection refused"),
        (ASKED_TWICE, "Connection refused"),
        (
            'connection failed: connection to server at "db", port 5432 failed: FATAL: password '
            'authentication failed for user "ana"',
            'FATAL: password authentication failed for user "ana"',
        ),
        (
            'connection failed: connection to server on socket "/tmp/.s.PGSQL.5432" failed: No '
            "such file or directory Is the server running locally?",
            "No such file or directory",
        ),
        ("no answer within 15 s", "no answer within 15 s"),
    ],
)
def test_the_reason_is_the_drivers_without_its_frame(reason: str, said: str) -> None:
    assert why(DatabaseUnreachable("db", reason)) == said


def test_an_outage_is_two_lines_what_and_what_to_do() -> None:
    server = outage(DatabaseUnreachable("postgresql://ana:***@db/fornada", ASKED_TWICE))
    what, todo = server.splitlines()
    assert what.endswith("ana:***@db/fornada does not answer: Connection refused.")
    assert "FORNADA_DATABASE_URL" in todo
    file = outage(DatabaseUnreachable("sqlite:////srv/fornada.db", "disk I/O error"))
    assert "FORNADA_DATABASE_URL" not in file
    assert "disk" in file.splitlines()[1]
