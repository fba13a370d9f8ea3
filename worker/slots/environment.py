"""The environment of a trainer: the worker's environment without credentials."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

# Parts of the names of variables that usually hold credentials. A trainer needs no variable that
# this pattern drops by mistake.
SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|APIKEY|API_KEY|ACCESS_KEY|PRIVATE_KEY|DSN")
# Fornada's variables that hold URLs.
URL_NAME = re.compile(r"FORNADA_\w*URL")


def scrubbed(environment: Mapping[str, str], urls: Iterable[str]) -> dict[str, str]:
    """Drop the variables that a trainer must not know.

    Args:
        environment: the worker's environment.
        urls: URLs of the database and the broker. Any variable whose value contains one of their
            passwords is dropped too.
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
    quoted = urlsplit(url).password
    return {quoted, unquote(quoted)} if quoted else set()
