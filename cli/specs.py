"""Commands about specs alone: check, render."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from fornada.cli.exit_codes import ExitCode, ExitWith
from fornada.cli.jobs import specs
from fornada.cli.options import output_options, spec_options
from fornada.cli.output import Output

if TYPE_CHECKING:
    from fornada.data.inspection import Inspected
    from fornada.settings import Settings
    from fornada.spec import Problem, Spec

files_argument = click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="SPEC…",
    type=click.Path(dir_okay=False, allow_dash=True),
)


@click.command()
@files_argument
@click.option("--data", "look_at_data", is_flag=True, help="Also look at the folders of images.")
@click.option("--build", is_flag=True, help="Also build the models; needs Keras here.")
@output_options(quiet="Print nothing; the exit code says it.")
def check(files: Sequence[str], look_at_data: bool, build: bool, output: Output) -> None:
    """Report every problem of every spec at once.

    Ends with 3 when there is one.

    \b
    Examples:
      fornada check specs/*.yaml
      fornada check specs/digits.yaml --data --build
    """
    from fornada.settings import Settings
    from fornada.spec import SpecProblems

    settings = Settings()
    problems: list[Problem] = []
    good: list[tuple[str, Spec]] = []
    for file in files:
        try:
            good += [(file, spec) for spec in specs(settings, [file], ())]
        except SpecProblems as error:
            problems.extend(error.problems)
    found = [_look(settings, file, spec, look_at_data, build) for file, spec in good]
    problems += [problem for one in found for problem in one.problems]
    if not output.quiet:
        output.warn_each(warning for one in found for warning in one.warnings)
    if output.json:
        documents = [problem_document(problem) for problem in problems]
        specs_documents = [one.document() for one in found]
        output.document({"problems": documents, "specs": specs_documents})
    elif not output.quiet:
        for one in found:
            _say(one, output)
    wrong = [*map(str, problems), *(failure for one in found for failure in one.failures)]
    if wrong:
        raise ExitWith(ExitCode.SPEC_INVALID, "\n".join(wrong))


@click.command()
@click.argument("file", metavar="SPEC", type=click.Path(dir_okay=False, allow_dash=True))
@spec_options
@output_options()
def render(file: str, overrides: Sequence[str], output: Output) -> None:
    """Print a spec with every default filled in.

    What it prints is a spec too: it trains the same model and has the same hash.

    \b
    Example:
      fornada render specs/digits.yaml --set fit.epochs=5 > five.yaml
    """
    from fornada.settings import Settings
    from fornada.spec.render import to_yaml

    settings = Settings()
    (spec,) = specs(settings, [file], overrides)
    if output.json:
        output.document(spec.document())
    else:
        output.line(to_yaml(spec, settings.data_root_path).rstrip("\n"))


@dataclass(frozen=True)
class _Looked:
    """What can be said of a good spec.

    Attributes:
        found: what `--json` has of it beside the rest.
        problems: of its folders.
        failures: why its model cannot be built.
        warnings: what it, or its folders, most likely do not mean.
    """

    found: dict[str, Any]
    problems: "Sequence[Problem]" = ()
    failures: Sequence[str] = ()
    warnings: "Sequence[Problem]" = ()

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return self.found | {
            "problems": [*map(str, self.problems), *self.failures],
            "warnings": [warning.place for warning in self.warnings],
        }


def _look(
    settings: "Settings", file: str, spec: "Spec", look_at_data: bool, build: bool
) -> _Looked:
    from fornada import preview
    from fornada.data.inspection import all_warnings, inspect

    found: dict[str, Any] = {"file": file, "name": spec.name, "hash": spec.hash}
    warnings, failures = [*spec.warnings], []
    if not (look_at_data or build):
        return _Looked(found, warnings=warnings)
    folders = inspect(spec, settings.data_root_path)
    if look_at_data:
        found["data"] = [_folder(role, one) for role, one in folders.folders.items()]
        warnings += all_warnings(spec, folders)
    # No model is built without its classes.
    if build and not folders.problems:
        built = preview.build(settings, spec)
        found["model"] = built.text
        failures = [f"{file}: {built.failure}"] if built.failure else []
    return _Looked(found, folders.problems, failures, warnings)


def _folder(role: str, one: "Inspected") -> dict[str, Any]:
    from fornada.spec.wording import printable

    found = one.listing
    counts = found.counts if found else {}
    return {
        "role": role,
        "folder": printable(str(one.place)),
        "images": len(found.files) if found else 0,
        "counts": {printable(name): count for name, count in counts.items()},
        "ignored": [printable(name) for name in found.ignored] if found else [],
    }


def _say(one: _Looked, output: Output) -> None:
    if not (one.problems or one.failures):
        output.line(f"{one.found['file']}: ok")
    for folder in one.found.get("data", ()):
        if not folder["images"]:
            # What is wrong with it is told as a problem.
            continue
        output.line(f"  {folder['role']}: {folder['images']} images in {folder['folder']}")
        output.line("    " + "  ".join(f"{key} {value}" for key, value in folder["counts"].items()))
        if folder["ignored"]:
            output.line(f"    ignored: {', '.join(folder['ignored'])}")
    if one.found.get("model"):
        output.line(one.found["model"].rstrip())


def problem_document(problem: "Problem") -> dict[str, Any]:
    """For `--json`."""
    return problem.place | {"code": str(problem.code)}
