"""Reads the spec in a job's row, which may be anything if somebody wrote the row by hand."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

# More digits than any number of epochs has.
_DIGITS = 9


def mapping(spec: Any) -> dict[str, Any]:
    """The spec as a mapping; a value of another kind stands under the key `unreadable`."""
    return spec if isinstance(spec, dict) else {"unreadable": spec}


def epochs(spec: Any) -> int | None:
    """The number of epochs that a spec asks for; None if it does not say a number."""
    fit = spec.get("fit") if isinstance(spec, Mapping) else None
    value = fit.get("epochs") if isinstance(fit, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class epochs_text(FunctionElement[str]):  # noqa: N801 - reads as the SQL function it is
    """`epochs_text(Job.c.spec)`: the number that `fit.epochs` is, as text; null if it is none.

    The query that lists thousands of jobs asks for it, because the whole specs would be megabytes.
    """

    type = Text()
    inherit_cache = True


def number_of(text: str | None) -> int | None:
    """A number of epochs from `epochs_text`; None if it is not an integer."""
    return int(text) if text is not None and text.isdigit() and len(text) <= _DIGITS else None


@compiles(epochs_text, "postgresql")
def _postgresql(element: epochs_text, compiler: SQLCompiler, **kw: Any) -> str:
    spec = compiler.process(element.clauses, **kw)
    place = "'{fit,epochs}'"
    return f"CASE WHEN json_typeof({spec} #> {place}) = 'number' THEN {spec} #>> {place} END"


@compiles(epochs_text, "sqlite")
def _sqlite(element: epochs_text, compiler: SQLCompiler, **kw: Any) -> str:
    spec = compiler.process(element.clauses, **kw)
    place = "'$.fit.epochs'"
    number = (
        f"CASE json_type({spec}, {place}) WHEN 'integer' THEN json_extract({spec}, {place}) END"
    )
    return f"CASE WHEN json_valid({spec}) THEN CAST({number} AS TEXT) END"
