"""Commands about specs that make no job: check, render."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import fornada
from fornada.cli.exit_codes import ExitCode, ExitWith
from fornada.cli.jobs import specs
from fornada.cli.options import ONLY_PROBLEMS, output_options, spec_options
from fornada.cli.output import Output

if TYPE_CHECKING:
    from fornada.data.folders import Listing
    from fornada.data.inspection import Inspected, Inspection
    from fornada.settings import Settings
    from fornada.spec import Problem, Role, Spec, SpecProblems

# The sets of images, in the order in which they are printed.
_ROLES: "tuple[Role, ...]" = ("train", "validation", "test")

files_argument = click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="SPEC…",
    type=click.Path(allow_dash=True),
)


@click.command()
@files_argument
@click.option("--data", "look_at_data", is_flag=True, help="Also check the folders of images.")
@click.option("--build", is_flag=True, help="Also build the models; needs Keras on this machine.")
@output_options(quiet=ONLY_PROBLEMS)
def check(files: Sequence[str], look_at_data: bool, build: bool, output: Output) -> None:
    """Report every problem of every spec at once.

    Ends with exit code 3 when there is a problem. No image is decoded: `fornada data check` does
    that.

    \b
    Examples:
      fornada check specs/*.yaml
      fornada check specs/digits.yaml --data --build
    """
    from fornada.settings import Settings
    from fornada.spec import SpecProblems
    from fornada.spec.problems import told

    settings = Settings()
    problems: list[Problem] = []
    warnings: list[Problem] = []
    good: list[tuple[str, Spec]] = []
    for file in files:
        try:
            good += [(file, spec) for spec in specs(settings, [file], ())]
        except SpecProblems as error:
            of_file = list(error.problems)
            if look_at_data:
                of_folders = _of_folders(settings, error)
                of_file += of_folders.problems
                warnings += of_folders.warnings
            problems += sorted(of_file, key=lambda problem: problem.line or 0)
    results = [_check(settings, file, spec, look_at_data, build) for file, spec in good]
    problems += [problem for result in results for problem in result.problems]
    if not output.quiet:
        warnings += [warning for result in results for warning in result.warnings]
        output.warn_each(warnings)
    if output.json:
        documents = [problem_document(problem) for problem in problems]
        specs_documents = [result.document() for result in results]
        output.document({"problems": documents, "specs": specs_documents})
    elif not output.quiet:
        for result in results:
            _print(result, output)
        good_files = [str(result.found["file"]) for result in results if result.well]
        if good_files:
            output.note(_not_looked_at(good_files, folders=look_at_data or build, model=build))
    failures = [failure for result in results for failure in result.failures]
    if problems or failures:
        raise ExitWith(ExitCode.SPEC_INVALID, "\n".join(filter(None, [told(problems), *failures])))


def _not_looked_at(files: Sequence[str], *, folders: bool, model: bool) -> str:
    """What "ok" does not say.

    Args:
        files: the specs that are ok.
        folders: whether their folders were looked at.
        model: whether Keras has built their models.
    """
    if not folders:
        return "Not looked at: the folders of images (--data), and the model by Keras (--build)."
    names = " ".join(dict.fromkeys(files))
    decoding = f"the images were not decoded (`fornada data check {names}`)"
    keras = "" if model else ", and Keras did not build the model (--build)"
    return f"Not looked at: {decoding}{keras}."


@click.command()
@click.argument("file", metavar="SPEC", type=click.Path(allow_dash=True))
@spec_options
@output_options()
def render(file: str, overrides: Sequence[str], output: Output) -> None:
    """Print a spec with every default filled in.

    The output is a spec itself: it trains the same model and has the same hash.

    \b
    Example:
      fornada render specs/digits.yaml --set fit.epochs=5 > five.yaml
    """
    from fornada.absolute_folders import absolute
    from fornada.settings import Settings
    from fornada.spec.render import to_yaml

    settings = Settings()
    (spec,) = specs(settings, [file], overrides)
    if output.json:
        output.document(absolute(spec.document(), settings.data_root_path))
    else:
        output.line(to_yaml(spec, settings.data_root_path).rstrip("\n"))


@click.command()
@click.option(
    "--path", "only_path", is_flag=True, help="Print where the schema is in this installation."
)
@output_options(json=False, warns=False)
def schema(only_path: bool, output: Output) -> None:
    """Print the JSON Schema of a spec, for an editor that completes and checks while you type.

    An editor with yaml-language-server (VS Code, Neovim, …) reads the schema that the first line of
    a spec names: `# yaml-language-server: $schema=spec.schema.json`. It has every layer and
    argument with its kind and default. `fornada check` refuses more than the schema does.

    \b
    Examples:
      fornada schema > spec.schema.json
      fornada schema --path
    """
    # Not from `fornada.spec`, which takes longer to import than this command takes.
    file = Path(fornada.__file__).with_name("spec") / "spec.schema.json"
    output.line(str(file) if only_path else file.read_text(encoding="utf-8").rstrip("\n"))


@dataclass(frozen=True)
class _Checked:
    """The result of checking a spec that has no errors of its own.

    Attributes:
        found: the keys that `--json` prints besides `problems` and `warnings`.
        problems: problems of its folders.
        failures: why its model cannot be built.
        warnings: likely mistakes in the spec or in its folders.
    """

    found: dict[str, Any]
    problems: "Sequence[Problem]" = ()
    failures: Sequence[str] = ()
    warnings: "Sequence[Problem]" = ()

    @property
    def well(self) -> bool:
        """Whether nothing was found for which a job would fail."""
        return not (self.problems or self.failures)

    def document(self) -> dict[str, Any]:
        """The document that `--json` prints."""
        return self.found | {
            "problems": [*map(str, self.problems), *self.failures],
            "warnings": [warning.place for warning in self.warnings],
        }


def _of_folders(settings: "Settings", error: "SpecProblems") -> "Inspection":
    """What can be said of the folders of a spec that is refused."""
    from fornada.data.inspection import Inspection, Inspector
    from fornada.spec.loading import PartlyRead

    if not isinstance(error, PartlyRead):
        # It is not even YAML.
        return Inspection({}, (), ())
    return Inspector(settings.data_root_path).inspect_folders(error.folders)


def _check(
    settings: "Settings", file: str, spec: "Spec", look_at_data: bool, build: bool
) -> _Checked:
    from fornada import preview
    from fornada.data.inspection import all_warnings, inspect, sets_of

    found: dict[str, Any] = {"file": file, "name": spec.name, "hash": spec.hash}
    warnings, failures = [*spec.warnings], []
    if not (look_at_data or build):
        return _Checked(found, warnings=warnings)
    folders = inspect(spec, settings.data_root_path)
    sets = sets_of(spec, folders)
    found["data"] = _sets(folders, sets)
    warnings += all_warnings(spec, folders, sets)
    # The model's output depends on the classes, so it is built only if the folders are good.
    if build and not folders.problems:
        built = preview.build(settings, spec)
        found["model"] = built.text
        failures = [f"{file}: {built.failure}"] if built.failure else []
    return _Checked(found, folders.problems, failures, warnings)


def _sets(folders: "Inspection", sets: "Mapping[Role, Listing]") -> list[dict[str, Any]]:
    """The images of each set of a job; of a spec with problems, those of each folder."""
    if not sets:
        return [_set(role, one, one.listing) for role, one in folders.folders.items()]
    # With `validation_split` the images of validation lie in the training folder.
    return [
        _set(role, folders.folders.get(role, folders.folders["train"]), sets[role])
        for role in _ROLES
        if role in sets
    ]


def _set(role: "Role", inspected: "Inspected", listing: "Listing | None") -> dict[str, Any]:
    from fornada.spec.wording import printable

    counts = listing.counts if listing else {}
    whole = inspected.listing
    return {
        "role": role,
        "folder": printable(str(inspected.place)),
        "images": len(listing.files) if listing else 0,
        "images_in_folder": len(whole.files) if whole else 0,
        "counts": {printable(name): count for name, count in counts.items()},
        "ignored": [printable(name) for name in whole.ignored] if whole else [],
    }


def _print(result: _Checked, output: Output) -> None:
    if result.well:
        output.line(f"{result.found['file']}: ok")
    for folder in result.found.get("data", ()):
        if not folder["images"]:
            # A folder without images is reported as a problem.
            continue
        images, whole = folder["images"], folder["images_in_folder"]
        of_all = "" if images == whole else f" of the {whole}"
        output.line(f"  {folder['role']}: {images}{of_all} images in {folder['folder']}")
        output.line("    " + "  ".join(f"{key} {value}" for key, value in folder["counts"].items()))
        if folder["ignored"]:
            output.line(f"    ignored: {', '.join(folder['ignored'])}")
    if result.found.get("model"):
        output.line(result.found["model"].rstrip())


def problem_document(problem: "Problem") -> dict[str, Any]:
    """One problem in the document that `--json` prints."""
    return problem.place | {"code": str(problem.code)}
