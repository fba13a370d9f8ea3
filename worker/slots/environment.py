"""The environment of a trainer: the worker's environment without credentials."""

import re
from collections.abc import Iterable, Mapping

from fornada.urls import passwords

# Parts of the names of variables that usually hold credentials. A trainer needs no variable that
# this pattern drops by mistake.
SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|APIKEY|API_KEY|ACCESS_KEY|PRIVATE_KEY|DSN")
# Fornada's variables that hold URLs.
URL_NAME = re.compile(r"FORNADA_\w*URL")
# A shorter password may be part of ordinary words. Then it counts only where a value is nothing
# else, or where a password stands in a URL or in a list of options.
TELLING_LENGTH = 6


def scrubbed(environment: Mapping[str, str], urls: Iterable[str]) -> dict[str, str]:
    """Drop the variables that a trainer must not know.

    Args:
        environment: the worker's environment.
        urls: URLs of the database and the broker. Any variable whose value holds one of their
            passwords is dropped too.
    """
    known = {password for url in urls for password in passwords(url)}
    return {
        name: value
        for name, value in environment.items()
        if not SECRET_NAME.search(name.upper())
        and not URL_NAME.fullmatch(name.upper())
        and not any(_holds(value, password) for password in known)
    }


def _holds(value: str, password: str) -> bool:
    if len(password) >= TELLING_LENGTH:
        return password in value
    marked = (f":{password}@", f"password={password}")
    return value == password or any(text in value for text in marked)
