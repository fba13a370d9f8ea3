"""Whether a change of the schema only adds, so that the code of the version before works on.

It compares what the database itself says about its schema before and after the change.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Inspector, inspect, text
from sqlalchemy.engine.interfaces import ReflectedColumn

# Tables from which our code deletes rows.
DELETED_FROM = frozenset({"artifact", "dependency", "epoch", "log_chunk", "metric_summary"})
# What a foreign key does when the row that it refers to is deleted, if that lets it be deleted.
GIVES_WAY = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})


@dataclass(frozen=True)
class Column:
    """A column.

    Args:
        kind: its type.
        nullable: whether it may be null.
        default: what the server fills in.
    """

    kind: str
    nullable: bool
    default: str | None

    @property
    def empty(self) -> bool:
        """Whether a statement that does not name the column leaves it null."""
        return self.nullable and self.default is None


@dataclass(frozen=True)
class Rule:
    """A constraint or a trigger: something that can refuse a statement.

    Args:
        kind: primary, unique, foreign, check, trigger or security.
        definition: what it says.
        columns: the columns that it looks at, as far as the database says so.
        refers_to: the table of a foreign key.
        gives_way: whether a row to which a foreign key refers may be deleted.
    """

    kind: str
    definition: str
    columns: frozenset[str] = frozenset()
    refers_to: str | None = None
    gives_way: bool = False


@dataclass(frozen=True)
class Table:
    """A table: its columns, and its rules by their names."""

    columns: dict[str, Column]
    rules: dict[str, Rule]


@dataclass(frozen=True)
class Schema:
    """The tables of a database, and its functions, by their names."""

    tables: dict[str, Table]
    functions: dict[str, str]


def schema_of(connection: Connection) -> Schema:
    """What a database says about its schema now."""
    inspector = inspect(connection)
    triggers = list(_triggers(connection))
    tables = {
        name: Table(
            _columns(inspector, name),
            dict(_rules(inspector, name))
            | {trigger: Rule("trigger", sql) for table, trigger, sql in triggers if table == name},
        )
        for name in inspector.get_table_names()
        if name != "alembic_version"
    }
    return Schema(tables, _functions(connection))


def breaks(before: Schema, after: Schema) -> list[str]:
    """Why statements of the code of `before` may fail with `after`; empty if they cannot."""
    found = [
        f"function {name} is gone or changed"
        for name, code in before.functions.items()
        if after.functions.get(name) != code
    ]
    for name, table in before.tables.items():
        if name not in after.tables:
            found.append(f"table {name} is gone")
        else:
            found += [f"{name}: {why}" for why in _in_table(table, after.tables[name])]
    for name, table in after.tables.items():
        found += [f"{name}: {why}" for why in _keeps_rows(before, name, table)]
    return found


def _in_table(before: Table, after: Table) -> Iterator[str]:
    for name, column in before.columns.items():
        if after.columns.get(name) != column:
            yield f"column {name} is gone or changed"
    for name, rule in before.rules.items():
        if after.rules.get(name) != rule:
            yield f"{rule.kind} {name} is gone or changed"
    new = {name: after.columns[name] for name in after.columns.keys() - before.columns.keys()}
    for name, column in new.items():
        if not column.nullable and column.default is None:
            yield f"column {name} must be given"
    for name in after.rules.keys() - before.rules.keys():
        if not _holds(after.rules[name], new, before):
            yield f"{after.rules[name].kind} {name} may refuse a statement"


def _holds(rule: Rule, new: dict[str, Column], before: Table) -> bool:
    """Whether a new rule holds for each row that is written without the new columns."""
    if rule.kind == "unique":
        # Nulls are different from each other.
        return any(name in new and new[name].empty for name in rule.columns)
    if rule.kind == "foreign":
        return any(name in new and new[name].empty for name in rule.columns)
    if rule.kind == "check":
        # If it looks only at new columns, the revision itself has tried it on the old rows.
        return not before.columns.keys() & set(re.findall(r"\w+", rule.definition))
    return False


def _keeps_rows(before: Schema, name: str, table: Table) -> Iterator[str]:
    known = before.tables[name].rules if name in before.tables else {}
    for key, rule in table.rules.items():
        if key not in known and rule.refers_to in DELETED_FROM and not rule.gives_way:
            yield f"{key} keeps rows of {rule.refers_to} that are deleted"


def _columns(inspector: Inspector, table: str) -> dict[str, Column]:
    return {each["name"]: _column(each) for each in inspector.get_columns(table)}


def _column(each: ReflectedColumn) -> Column:
    # The database itself fills these in.
    filled = each.get("identity") or each.get("computed")
    default = each["default"] or (str(filled) if filled else None)
    return Column(str(each["type"]), each["nullable"], default)


def _rules(inspector: Inspector, table: str) -> Iterator[tuple[str, Rule]]:
    primary = inspector.get_pk_constraint(table)["constrained_columns"]
    yield "primary key", Rule("primary", ", ".join(primary), frozenset(primary))
    for unique in inspector.get_unique_constraints(table):
        columns = unique["column_names"]
        yield str(unique["name"]), Rule("unique", ", ".join(columns), frozenset(columns))
    for index in inspector.get_indexes(table):
        # PostgreSQL has an index for each unique constraint.
        if index["unique"] and not index.get("duplicates_constraint"):
            # An expression has no name.
            names = [name or "?" for name in index["column_names"]]
            yield str(index["name"]), Rule("unique", ", ".join(names), frozenset(names))
    for check in inspector.get_check_constraints(table):
        name = check["name"] or check["sqltext"]
        yield str(name), Rule("check", check["sqltext"])
    for key in inspector.get_foreign_keys(table):
        columns, referred = key["constrained_columns"], key["referred_table"]
        ondelete = str(key.get("options", {}).get("ondelete", "")).upper()
        definition = f"{', '.join(columns)} -> {referred} {key['referred_columns']} {ondelete}"
        yield (
            str(key["name"] or definition),
            Rule("foreign", definition, frozenset(columns), referred, ondelete in GIVES_WAY),
        )
    if inspector.dialect.name == "postgresql":
        query = text("SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass(:name)")
        if inspector.bind.execute(query, {"name": f'"{table}"'}).scalar():  # type: ignore[union-attr]
            yield "row level security", Rule("security", "enabled")


def _triggers(connection: Connection) -> Iterator[tuple[str, str, str]]:
    """Table, name and definition of each trigger."""
    query = "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger'"
    if connection.dialect.name == "postgresql":
        query = (
            "SELECT relname, tgname, pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger "
            "JOIN pg_class ON pg_class.oid = tgrelid WHERE NOT tgisinternal "
            "AND relnamespace = current_schema()::regnamespace"
        )
    yield from connection.execute(text(query)).all()


def _functions(connection: Connection) -> dict[str, str]:
    if connection.dialect.name != "postgresql":
        return {}
    query = (
        "SELECT oid::regprocedure::text, pg_get_functiondef(oid) FROM pg_proc "
        "WHERE pronamespace = current_schema()::regnamespace AND prokind = 'f'"
    )
    return dict(connection.execute(text(query)).all())
