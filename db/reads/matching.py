"""Names with `*` for any text, compared in the same way on both databases: case counts."""

from typing import Any

from sqlalchemy import ColumnElement, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from fornada.db.json_values import SafeText


class _Like(FunctionElement[bool]):
    """`_Like(column, pattern of LIKE, pattern of GLOB)`; each database reads one of the two."""

    inherit_cache = True


def like(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Whether a column matches a name in which `*` stands for any text."""
    escaped = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    # In GLOB, brackets begin a choice of characters, and ? is any character.
    choices = name.replace("[", "[[]").replace("?", "[?]")
    patterns = (escaped.replace("*", "%"), choices)
    return _Like(column, *(literal(pattern, SafeText) for pattern in patterns))


@compiles(_Like, "postgresql")
def _like_postgresql(element: _Like, compiler: SQLCompiler, **kw: Any) -> str:
    column, pattern, _ = element.clauses
    return f"({compiler.process(column, **kw)} LIKE {compiler.process(pattern, **kw)} ESCAPE '\\')"


@compiles(_Like, "sqlite")
def _like_sqlite(element: _Like, compiler: SQLCompiler, **kw: Any) -> str:
    # SQLite's LIKE ignores the case of ASCII letters; its GLOB does not. The plus keeps it from
    # the index of the names: it would then sort all the jobs that match before it shows the latest.
    column, _, pattern = element.clauses
    return f"(+{compiler.process(column, **kw)} GLOB {compiler.process(pattern, **kw)})"
