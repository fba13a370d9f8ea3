"""Commands about folders of images: data check, data import, data pack, data ls, data gc."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fornada.cli import formatting, suggestions
from fornada.cli.exit_codes import ExitCode, ExitWith
from fornada.cli.jobs import specs
from fornada.cli.options import ONLY_PROBLEMS, output_options
from fornada.cli.output import Output
from fornada.cli.specs import files_argument, problem_document
from fornada.cli.tables import Column

if TYPE_CHECKING:
    from fornada.data.packs import Pack
    from fornada.preview import Preview
    from fornada.settings import Settings
    from fornada.spec import Problem, Spec


@click.group()
def data() -> None:
    """Check, import and pack folders of images.

    \b
    Example:
      fornada data check specs/digits.yaml
    """


@data.command()
@files_argument
@output_options(quiet=ONLY_PROBLEMS)
def check(files: Sequence[str], output: Output) -> None:
    """Decode every image of the specs and name each one that cannot be read.

    Needs Keras on this machine. Ends with exit code 3 when an image, a class or a folder is wrong.
    If a folder is missing, the images of the other folders are checked anyway.

    \b
    Example:
      fornada data check specs/digits.yaml
    """
    from fornada import preview
    from fornada.data.inspection import all_warnings, inspect
    from fornada.settings import Settings

    settings = Settings()
    read = specs(settings, files, ())
    results = []
    for file, spec in zip(files, read, strict=True):
        folders = inspect(spec, settings.data_root_path)
        images = preview.decode(settings, spec)
        results.append(_CheckedImages(file, folders.problems, all_warnings(spec, folders), images))
    if output.json:
        output.document([result.document() for result in results])
    elif not output.quiet:
        for result in results:
            for warning in result.warnings:
                output.warn(str(warning))
            if result.images.text:
                output.line(result.images.text.rstrip())
    failures = [failure for result in results if (failure := result.failure)]
    if failures:
        raise ExitWith(ExitCode.SPEC_INVALID, "\n".join(failures))


@dataclass(frozen=True)
class _CheckedImages:
    """The result of checking the folders of one spec and the images in them."""

    file: str
    problems: "Sequence[Problem]"
    warnings: "Sequence[Problem]"
    images: "Preview"

    @property
    def failure(self) -> str:
        """Why a job would fail; empty when it would not."""
        unreadable = [f"{self.file}: {self.images.failure}"] if self.images.failure else []
        return "\n".join([*map(str, self.problems), *unreadable])

    def document(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "said": self.images.text,
            "failure": self.failure or None,
            "problems": [problem_document(problem) for problem in self.problems],
            "warnings": [warning.place for warning in self.warnings],
        }


@data.command("import")
@click.argument("idx_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out_dir", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--per-class-train",
    type=click.IntRange(1),
    metavar="N",
    help="Training images per class; default: all.",
)
@click.option(
    "--per-class-test",
    type=click.IntRange(1),
    metavar="N",
    help="Test images per class; default: all.",
)
@click.option("--seed", default=1, show_default=True, help="Decides which images are chosen.")
@output_options(quiet=ONLY_PROBLEMS)
def import_(  # noqa: PLR0913 - one argument per option
    *,
    idx_dir: Path,
    out_dir: Path,
    per_class_train: int | None,
    per_class_test: int | None,
    seed: int,
    output: Output,
) -> None:
    """Write image folders from IDX files, the format of MNIST.

    IDX_DIR holds train-images-idx3-ubyte, train-labels-idx1-ubyte and the two t10k files, plain or
    as .gz. The command writes 8-bit gray images: OUT_DIR/Train/<label>/*.png and
    OUT_DIR/Test/<label>/*.png. The same options choose the same images on every machine.

    \b
    Example:
      fornada data import ~/mnist Data --per-class-train 200 --per-class-test 50
    """
    from fornada.data.idx import IdxError, Sample, TargetExists, import_idx

    choices = {"Train": Sample(per_class_train, seed), "Test": Sample(per_class_test, seed)}
    try:
        with _counting(output) as progress:
            written = import_idx(idx_dir, out_dir, choices, progress)
    except TargetExists as error:
        raise ExitWith(ExitCode.WRONG_STATE, str(error)) from error
    except IdxError as error:
        raise ExitWith(ExitCode.NOT_FOUND, str(error)) from error
    except OSError as error:
        raise ExitWith(ExitCode.WRONG_STATE, f"{error.filename}: {error.strerror}") from error
    if output.json:
        output.document({"folder": str(out_dir.absolute()), **written})
    elif not output.quiet:
        for half, images in written.items():
            output.line(f"{out_dir / half}: {images} images")


@data.command()
@click.argument(
    "places",
    nargs=-1,
    required=True,
    metavar="DIR|SPEC…",
    type=click.Path(exists=True, path_type=Path),
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=suggestions.spec_paths,
    help="Change a field of the spec, or one of Keras's defaults, with which a DIR is read.",
)
@output_options(quiet="Print only the names of the packs.")
def pack(places: Sequence[Path], changes: Sequence[str], output: Output) -> None:
    """Decode images once, into packs that the jobs of this host read.

    A job makes the packs that it needs and that do not exist yet; this command makes them before
    the job runs. Needs Keras on this machine. Ends with exit code 3 when an image, a class or a
    folder is wrong, and with 5 when there is no room for a pack.

    \b
    Examples:
      fornada data pack specs/digits.yaml
      fornada data pack Data/Train --set data.image_size=[28,28] --set data.color_mode=grayscale
    """
    from fornada import preview
    from fornada.data.inspection import inspect
    from fornada.settings import Settings

    settings = Settings()
    rows, wrong = [], []
    # Read every spec before packing the first one: packing may take an hour.
    read = list(_specs(settings, places, changes))
    for place, spec in zip(places, read, strict=True):
        with _counting(output) as progress:
            packed, failure = preview.pack(settings, spec, progress)
        rows += [vars(one) for one in packed]
        wrong += [
            f"{place}: {problem.what}" if place.is_dir() else str(problem)
            for problem in inspect(spec, settings.data_root_path).problems
        ]
        wrong += [f"{place}: {failure}"] if failure else []
    if output.json:
        output.document(rows)
    else:
        for row in rows:
            if row["pack"] and output.quiet:
                output.line(row["pack"])
            elif row["pack"]:
                images = (
                    f"{formatting.count(row['images'])} images, {formatting.size(row['bytes'])}"
                )
                output.line(f"{row['folder']}: {images}: {row['pack']}")
    if wrong:
        raise ExitWith(ExitCode.SPEC_INVALID, "\n".join(wrong))
    if unpacked := [
        f"{row['folder']}: not packed: {row['unpacked']}" for row in rows if not row["pack"]
    ]:
        raise ExitWith(ExitCode.WRONG_STATE, "\n".join(unpacked))


def _specs(
    settings: "Settings", places: Sequence[Path], changes: Sequence[str]
) -> "Iterator[Spec]":
    """The spec of each file, and for each folder a made-up spec that trains on this folder."""
    from fornada.spec.files import load_all

    for place in places:
        if place.is_dir():
            yield from load_all(settings, [_spec_of(place)], overrides=changes)
        else:
            yield from specs(settings, [str(place)], changes)


def _spec_of(folder: Path) -> dict[str, Any]:
    return {
        "name": "pack",
        "data": {"train": str(folder)},
        "model": ["Flatten", {"Dense": {"units": "classes", "activation": "softmax"}}],
        "compile": {"optimizer": "SGD", "loss": "SparseCategoricalCrossentropy"},
    }


_PACKS = (
    Column("PACK"),
    Column("IMAGES", right=True, weight=6),
    Column("CLASSES", right=True, weight=1),
    Column("LOOK", weight=5),
    Column("KIND", weight=2),
    Column("SIZE", right=True, weight=7),
    Column("USED", weight=4),
    Column("IN USE", weight=3),
    Column("MADE FROM", wraps=True, weight=8),
)


@data.command()
@output_options(quiet="Print only the names.")
def ls(output: Output) -> None:
    """List the packs of this host, the most recently used pack first.

    \b
    Example:
      fornada data ls
    """
    from fornada.data.packs import Packs
    from fornada.settings import Settings

    settings = Settings()
    rows = [_row(pack) for pack in Packs.of(settings).all()]
    if output.for_programs(rows, key="name"):
        return
    cells = [
        (
            row["name"],
            formatting.count(row["images"]),
            row["classes"],
            f"{row['image_size'][0]}x{row['image_size'][1]} {row['color_mode']}",
            row["kind"],
            formatting.size(row["bytes"]),
            formatting.minute(row["used_at"]),
            "yes" if row["in_use"] else None,
            row["source"],
        )
        for row in rows
    ]
    # A narrow terminal shows only the beginning of each name, enough to tell packs apart. No
    # command takes the name of a pack, so nobody needs to copy the whole name.
    short = [(name[:8], *rest[:1], *rest[2:6], *rest[7:]) for name, *rest in cells]
    narrow = [*_PACKS[:2], *_PACKS[3:7], *_PACKS[8:]]
    output.table(
        _PACKS, cells, empty=f"no pack in the home {settings.home}", narrow=(narrow, short)
    )


def _row(pack: "Pack") -> dict[str, Any]:
    """One pack in the document that `--json` prints."""
    facts = pack.facts
    # How the images were decoded: their size, their colours, … The version of TensorFlow is not
    # in the document.
    look = {key: value for key, value in facts.look.items() if key != "tensorflow"}
    return {
        "name": pack.name,
        "images": facts.count,
        "classes": len(facts.classes),
        **look,
        "kind": facts.kind,
        "dtype": facts.dtype,
        "bytes": pack.size_bytes,
        "used_at": datetime.fromtimestamp(pack.used_s, UTC).isoformat(),
        "in_use": pack.in_use,
        "source": facts.source,
    }


@data.command()
@click.option("--all", "everything", is_flag=True, help="Remove every pack that no job uses.")
@output_options(quiet="Print only the names of what was removed.")
def gc(everything: bool, output: Output) -> None:
    """Remove remains of unfinished packs, and packs beyond FORNADA_MAX_PACK_BYTES.

    A job that has no room for its pack removes unused packs by itself. A pack that is in use, or
    that a job is making, is not removed.

    \b
    Examples:
      fornada data gc
      fornada data gc --all
    """
    from fornada.data import digests
    from fornada.data.packs import Packs
    from fornada.settings import Settings

    settings = Settings()
    digests.forget_lost(settings)
    gone = Packs.of(settings).gc(everything=everything)
    rows = [{"name": name, "bytes": size} for name, size in gone]
    if output.for_programs(rows, key="name"):
        return
    output.table(
        (Column("REMOVED"), Column("SIZE", right=True)),
        [(name, formatting.size(size)) for name, size in gone],
        empty="Nothing to remove.",
    )


@contextmanager
def _counting(output: Output) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows how many images are done: a bar on a terminal, else nothing."""
    if output.quiet or not output.redraws(sys.stderr):
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("IMAGES"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=output.console(sys.stderr)) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
