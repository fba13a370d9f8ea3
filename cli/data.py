"""Folders of images: data check, data import, data pack, data ls, data gc."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fornada.cli import formatting
from fornada.cli.exit_codes import ExitCode, ExitWith
from fornada.cli.jobs import specs
from fornada.cli.options import output_options
from fornada.cli.output import Column, Output
from fornada.cli.specs import files_argument, problem_document

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
@output_options(quiet="Print nothing; the exit code says it.")
def check(files: Sequence[str], output: Output) -> None:
    """Decode every image of the specs and name all that cannot be read.

    Needs Keras here. Ends with 3 when an image, a class or a folder is wrong; where folders are
    missing, the images of the others are looked at all the same.

    \b
    Example:
      fornada data check specs/digits.yaml
    """
    from fornada import preview
    from fornada.data.inspection import all_warnings, inspect
    from fornada.settings import Settings

    settings = Settings()
    read = specs(settings, files, ())
    found = []
    for file, spec in zip(files, read, strict=True):
        folders = inspect(spec, settings.data_root_path)
        images = preview.decode(settings, spec)
        found.append(_Checked(file, folders.problems, all_warnings(spec, folders), images))
    if output.json:
        output.document([one.document() for one in found])
    elif not output.quiet:
        for one in found:
            for warning in one.warnings:
                output.warn(str(warning))
            if one.images.text:
                output.line(one.images.text.rstrip())
    wrong = [failure for one in found if (failure := one.failure)]
    if wrong:
        raise ExitWith(ExitCode.SPEC_INVALID, "\n".join(wrong))


@dataclass(frozen=True)
class _Checked:
    """What there is to say of the folders of one spec, and of the images in them."""

    file: str
    problems: "Sequence[Problem]"
    warnings: "Sequence[Problem]"
    images: "Preview"

    @property
    def failure(self) -> str:
        """Why a job would fail; empty when it would not."""
        bad = [f"{self.file}: {self.images.failure}"] if self.images.failure else []
        return "\n".join([*map(str, self.problems), *bad])

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
    help="Training images a class; default: all.",
)
@click.option(
    "--per-class-test",
    type=click.IntRange(1),
    metavar="N",
    help="Test images a class; default: all.",
)
@click.option("--seed", default=1, show_default=True, help="Decides which ones.")
@output_options(quiet="Say nothing.")
def import_(  # noqa: PLR0913 - each is an option of its own
    *,
    idx_dir: Path,
    out_dir: Path,
    per_class_train: int | None,
    per_class_test: int | None,
    seed: int,
    output: Output,
) -> None:
    """Write image folders from IDX files, the format of MNIST.

    IDX_DIR has train-images-idx3-ubyte, train-labels-idx1-ubyte and the t10k pair, plain or as
    .gz. Images become OUT_DIR/Train/<label>/*.png and OUT_DIR/Test/<label>/*.png, 8-bit gray. The
    same options choose the same images on every machine.

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
    help="Change a field of the spec; of a folder's too, which has Keras's defaults.",
)
@output_options(quiet="Print the names of the packs only.")
def pack(places: Sequence[Path], changes: Sequence[str], output: Output) -> None:
    """Decode images once, into packs that the jobs of this host read.

    A job makes the packs that it misses; this makes them before. Needs Keras here. Ends with 3
    when an image, a class or a folder is wrong, with 5 when there is no room for a pack.

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
    # All are read before the first is packed, which may take an hour.
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
    """The spec of each file, and one of nothing but the folder for each folder."""
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
    Column("IMAGES", right=True),
    Column("CLASSES", right=True),
    Column("LOOK"),
    Column("KIND"),
    Column("SIZE", right=True),
    Column("USED"),
    Column("IN USE"),
    Column("MADE FROM", wraps=True),
)


@data.command()
@output_options(quiet="Print names only.")
def ls(output: Output) -> None:
    """List the packs of this host, the one that was used last first.

    \b
    Example:
      fornada data ls
    """
    from fornada.data.packs import Packs
    from fornada.settings import Settings

    rows = [_row(one) for one in Packs.of(Settings()).all()]
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
    # No command asks for a name: on a narrow terminal its beginning tells packs apart.
    short = [(name[:8], *rest[:1], *rest[2:6], *rest[7:]) for name, *rest in cells]
    narrow = [*_PACKS[:2], *_PACKS[3:7], *_PACKS[8:]]
    output.table(_PACKS, cells, empty="No pack here.", narrow=(narrow, short))


def _row(pack: "Pack") -> dict[str, Any]:
    """For `--json`."""
    facts = pack.facts
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
@output_options(quiet="Print the names of what went only.")
def gc(everything: bool, output: Output) -> None:
    """Remove what packs have left behind, and packs over FORNADA_MAX_PACK_BYTES.

    Jobs make room themselves when they pack. What is in use or being made stays.

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
    """A way to show images done: a bar on a terminal, nothing elsewhere."""
    if output.quiet or not output.rich(sys.stderr):
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("IMAGES"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=output.console(sys.stderr)) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
