"""What becomes of a report: a table on the terminal, `NAME.json`, and `NAME.svg` drawn from it."""

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.plot import svg
from bench.report import HEADER, Report, Row, cells, groups, machine, used_columns, versions


def publish(report: Report, out: Path) -> None:
    """Print the table; write `NAME.json` and `NAME.svg`."""
    out.mkdir(parents=True, exist_ok=True)
    document = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        **asdict(report),
    }
    (out / f"{report.name}.json").write_text(text(document))
    (out / f"{report.name}.svg").write_text(svg(report))
    Console(width=None if sys.stdout.isatty() else 120).print(_table(report))
    for note in report.notes:
        print(f"  {note}")


def text(document: dict[str, Any]) -> str:
    """A document as JSON: a field a line, and a row of figures a line, without what it has not.

    >>> print(text({"name": "epochs", "rows": [{"value": 2.0, "bound": None}, {"value": 1.0}]}))
    {
     "name": "epochs",
     "rows": [
      {"value": 2.0},
      {"value": 1.0}
     ]
    }
    <BLANKLINE>
    """
    fields = {name: json.dumps(value) for name, value in document.items()}
    rows = [
        json.dumps({name: value for name, value in row.items() if value is not None})
        for row in document["rows"]
    ]
    fields["rows"] = "[\n  " + ",\n  ".join(rows) + "\n ]"
    lines = [f" {json.dumps(name)}: {value}" for name, value in fields.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read(file: Path) -> tuple[Report, dict[str, Any]]:
    """A report that was written, and its whole document."""
    document = json.loads(file.read_text())
    fields = {name: document[name] for name in Report.__dataclass_fields__}
    return Report(**{**fields, "rows": [Row(**each) for each in fields["rows"]]}), document


def _table(report: Report) -> Table:
    columns = used_columns(report.rows)
    table = Table(title=f"{report.title}", title_justify="left")
    for column in columns:
        table.add_column(HEADER[column], justify="right" if column else "left")
    for group, rows in groups(report.rows).items():
        table.add_section()
        table.add_row(f"[bold]{group}[/]")
        for each in rows:
            table.add_row(*(cells(each)[column] for column in columns))
    return table
