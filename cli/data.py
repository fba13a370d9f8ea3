"""Folders of images: data check, data import."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from cli.exits import Exit, ExitWith
from cli.jobs import specs
from cli.options import output_options
from cli.output import Output
from cli.specs import files_argument


@click.group()
def data() -> None:
    """Check and import folders of images.

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
    from fornada import examine
    from fornada.settings import Settings

    settings = Settings()
    read = specs(settings, files, ())
    found = [examine.decode(settings, spec) for spec in read]
    if output.json:
        output.document(
            [
                {"file": file, "said": one.text, "failure": one.failure or None}
                for file, one in zip(files, found, strict=True)
            ]
        )
    elif not output.quiet:
        for one in found:
            if one.text:
                output.line(one.text.rstrip())
    wrong = [
        f"{file}: {one.failure}" for file, one in zip(files, found, strict=True) if one.failure
    ]
    if wrong:
        raise ExitWith(Exit.SPEC_INVALID, "\n".join(wrong))


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
    from fornada.idx import Choice, IdxError, TargetExists, import_idx

    choices = {"Train": Choice(per_class_train, seed), "Test": Choice(per_class_test, seed)}
    try:
        with _counting(output) as progress:
            written = import_idx(idx_dir, out_dir, choices, progress)
    except TargetExists as error:
        raise ExitWith(Exit.WRONG_STATE, str(error)) from error
    except IdxError as error:
        raise ExitWith(Exit.NOT_FOUND, str(error)) from error
    if output.json:
        output.document({"folder": str(out_dir.absolute()), **written})
    elif not output.quiet:
        for half, images in written.items():
            output.line(f"{out_dir / half}: {images} images")


@contextmanager
def _counting(output: Output) -> Iterator[Callable[[int, int], None]]:
    """A way to show images written: a bar on a terminal, nothing elsewhere."""
    if output.quiet or not output.rich(sys.stderr):
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("images"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=output.console(sys.stderr)) as bars:
        task = bars.add_task("")
        yield lambda done, total: bars.update(task, completed=done, total=total)
