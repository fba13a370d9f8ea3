"""The doctor command: checks that a job would run."""

from typing import TYPE_CHECKING

import click

from fornada.cli.exit_codes import ExitCode, ExitWith
from fornada.cli.options import ONLY_PROBLEMS, output_options
from fornada.cli.output import Output
from fornada.cli.tables import Column

if TYPE_CHECKING:
    from fornada.stack.health import Check

# The exit code depends on the first part that is wrong: NEVER_SCHEDULED for a part not named here.
CODES = {"database": ExitCode.UNREACHABLE, "broker": ExitCode.UNREACHABLE}

STATE = (Column("WHAT", wraps=True), Column("STATE"))


@click.command()
# It names all unknown variables in its answer.
@output_options(quiet=ONLY_PROBLEMS, warns=False)
def doctor(output: Output) -> None:
    """Check that a job would run, and say what to fix.

    Looks at the database and its schema, the broker, the workers, their devices, and free disk
    space. Ends with 0 only when a job would run. If no embedded stack is up, it looks whether
    `fornada run` could start one.

    \b
    Example:
      fornada doctor
    """
    from fornada.settings import Settings
    from fornada.stack.health import examine

    settings = Settings()
    findings = examine(settings)
    well = all(finding.well for finding in findings)
    if output.json:
        output.document({"well": well, "findings": [one.document() for one in findings]})
    elif not output.quiet:
        output.table(
            [*STATE, Column("FOUND", wraps=True), Column("TO DO", wraps=True)],
            [[*_state(one), one.found, one.todo or None] for one in findings],
            empty="",
            narrow=(
                [*STATE, Column("FOUND, AND TO DO", wraps=True)],
                [
                    [*_state(one), "; ".join(filter(None, [one.found, one.todo]))]
                    for one in findings
                ],
            ),
        )
    for one in findings:
        if not one.well:
            code = CODES.get(one.what, ExitCode.NEVER_SCHEDULED)
            if one.what == "home" and settings.home.is_dir():
                # It exists, and its owner does not let this account write there.
                code = ExitCode.UNREACHABLE
            raise ExitWith(code, "A job would not run.")


def _state(finding: "Check") -> list[str]:
    return [finding.what, "ok" if finding.well else "wrong"]
