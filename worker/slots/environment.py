"""The environment that a trainer gets: the worker's, less everything that opens a door."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

# Parts of the names under which credentials are commonly kept; a dropped innocent does no harm.
SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|APIKEY|API_KEY|ACCESS_KEY|PRIVATE_KEY|DSN")
# Ours that hold URLs.
URL_NAME = re.compile(r"FORNADA_\w*URL")


def scrubbed(environment: Mapping[str, str], urls: Iterable[str]) -> dict[str, str]:
    """Drop what a trainer must not know.

    Args:
        environment: the worker's own.
        urls: of the database and the broker; what holds one of their passwords is dropped too,
            whatever its name.
    """
    passwords = [password for url in urls for password in _passwords(url)]
    return {
        name: value
        for name, value in environment.items()
        if not SECRET_NAME.search(name.upper())
        and not URL_NAME.fullmatch(name.upper())
        and not any(password in value for password in passwords)
    }


def _passwords(url: str) -> set[str]:
    written = urlsplit(url).password
    return {written, unquote(written)} if written else set()
