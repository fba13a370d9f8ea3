"""Refuses a home that this account cannot write, before a command starts anything in it."""

import os
from typing import TYPE_CHECKING

from fornada.cli.exit_codes import ExitCode, ExitWith

if TYPE_CHECKING:
    from fornada.settings import Settings


def require_writable(settings: "Settings") -> None:
    """Check that this account can write the home, if it exists.

    Raises:
        ExitWith: it cannot; the message names the owner.
    """
    home = settings.home
    if not home.is_dir() or os.access(home, os.W_OK | os.X_OK):
        return
    from fornada.db.accounts import ownership

    raise ExitWith(
        ExitCode.UNREACHABLE,
        f"the home {home} cannot be written. {ownership(home)}\n"
        "  Commands that change nothing work here. To train, set FORNADA_HOME to a folder of your "
        "own.",
    )
