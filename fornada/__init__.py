"""Fornada: batch training of Keras models with a queue.

`Client` does from Python what the `fornada` command does in a terminal.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fornada.client import Client

__all__ = ["Client", "__version__"]
__version__ = "0.3.0"


def __dir__() -> list[str]:
    return sorted([*globals(), "Client"])


def __getattr__(name: str) -> object:
    # SQLAlchemy and Celery load only when a client is asked for, so that help answers in a blink.
    if name == "Client":
        from fornada.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
