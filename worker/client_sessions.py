"""Ends the sessions of clients that hold up the workers, and logs whose they were."""

import logging

from fornada.db.store import client_sessions
from fornada.db.store.session import Database
from fornada.settings import Settings

log = logging.getLogger("fornada.worker")

# A client's transaction may keep its locks for this share of a lease. With one round of upkeep and
# one heartbeat, each at most another quarter, a locked job still renews its lease in time.
LONGEST = 0.25


def end_long_transactions(database: Database, settings: Settings) -> None:
    """End each client's session that has kept its locks, or an idle transaction, for too long.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    longest_s = LONGEST * settings.lease_s
    for ended in client_sessions.end_long_transactions(database, longest_s):
        log.warning(
            "ended a session of %s (process %d of the database): its transaction was open for "
            "%.0f s; clients may keep one open for %.0f s",
            ended.login,
            ended.pid,
            ended.open_s,
            longest_s,
        )
