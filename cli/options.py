"""Options that several commands share, each defined once."""

import functools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from typing import Any, ParamSpec, TypeVar

import click

from fornada.cli import suggestions
from fornada.cli.output import Output

P = ParamSpec("P")
R = TypeVar("R")
Command = Callable[..., Any]

# Values of `--color`. `auto` looks at the terminal and at NO_COLOR (https://no-color.org).
COLORS = ("auto", "always", "never")
# Help of `-q` for a command whose answer no program needs. No `-q` silences a problem.
ONLY_PROBLEMS = "Print only problems, on stderr."


def output_options(
    *, json: bool = True, quiet: str | None = None, warns: bool = True
) -> Callable[[Command], Command]:
    """Add `--json`, `-q` and `--color`; the command gets them as one argument, `output`.

    Args:
        json: whether the command can print a JSON document.
        quiet: help text of `-q`; None for a command without `-q`.
        warns: whether the command warns of misspelt settings in the environment.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def called(
            *args: Any, as_json: bool = False, quiet: bool = False, color: str = "auto", **kw: Any
        ) -> Any:
            output = Output(as_json, quiet, color)
            if warns and not quiet:
                warn_of_variables(output)
            return command(*args, output=output, **kw)

        wrapped: Command = click.option(
            "--color",
            type=click.Choice(COLORS),
            default="auto",
            show_default=True,
            help="Colours on stdout and stderr; auto looks at the terminal and NO_COLOR.",
        )(called)
        if quiet is not None:
            wrapped = click.option("-q", "--quiet", is_flag=True, help=quiet)(wrapped)
        if json:
            wrapped = click.option(
                "--json", "as_json", is_flag=True, help="Print a JSON document."
            )(wrapped)
        return wrapped

    return decorate


def warn_of_variables(output: Output) -> None:
    """Warn of variables that probably mean a setting, and are none: they change nothing."""
    from fornada.settings import misspelt_variables

    for sentence in misspelt_variables(os.environ):
        output.warn(sentence)


def _with(options: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    """Add options to a command; help shows them in this order."""
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), command)


def spec_options(command: Command) -> Command:
    """Add the options that change a spec; the command gets them as `overrides`."""

    @functools.wraps(command)
    def called(*args: Any, changes: Iterable[str], **kw: Any) -> Any:
        from fornada.spec.files import changes_of

        named = {key: kw.pop(key) for key in ("name", "queue", "priority", "time_limit")}
        tags = dict(kw.pop("tags"))
        return command(*args, overrides=changes_of(changes, tags=tags, **named), **kw)

    options = (
        click.option("--set", "changes", multiple=True, metavar="PATH=VALUE", callback=_changes,
                     shell_complete=suggestions.spec_paths,
                     help="Change a field of the spec; checked like the file."),
        click.option("--name", help="Name of the job."),
        tag_option,
        click.option("--queue", metavar="QUEUE", shell_complete=suggestions.queues,
                     help="Queue of the job."),
        click.option("--priority", type=int, help="Jobs with a higher priority run first."),
        click.option("--time-limit", metavar="TIME",
                     help="How long the job may run at most: 90s, 30m, 2h."),
    )  # fmt: skip
    return _with(options, called)


def _changes(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    for value in values:
        if not re.match(r"[^=\s]+=", value):
            raise click.BadParameter(
                f'"{value}" is not of the form PATH=VALUE; for example --set data.batch_size=128'
            )
    return values


def _tags(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> list[tuple[str, str]]:
    pairs = [value.partition("=") for value in values]
    for value, (key, equals, _) in zip(values, pairs, strict=True):
        if not key or not equals:
            raise click.BadParameter(
                f'"{value}" is not of the form KEY=VALUE; for example --tag owner=ana'
            )
    return [(key, value) for key, _, value in pairs]


def tag_option(
    command: Command, *, help: str = "Tag of the job; may be given several times."
) -> Command:
    """Add `--tag`; the command gets `tags`, a list of (key, value) pairs."""
    return click.option(
        "--tag",
        "tags",
        multiple=True,
        metavar="KEY=VALUE",
        callback=_tags,
        help=help,
        shell_complete=suggestions.tags,
    )(command)


def term_options(command: Command) -> Command:
    """Add the options that say when a job may start; the command gets them as `terms`.

    `terms` has the fields of `fornada.client.submission.Terms`, but its `after` holds what the
    person typed (ids, uid prefixes, `@last`) and not yet job ids.
    """

    @functools.wraps(command)
    def called(*args: Any, **kw: Any) -> Any:
        names = ("key", "held", "not_before", "after", "after_any")
        terms = {name: kw.pop(name) for name in names}
        if terms["after_any"] and not terms["after"]:
            raise click.UsageError("--after-any needs --after: name the jobs to wait for")
        return command(*args, terms=terms, **kw)

    options = (
        click.option("--after", multiple=True, metavar="JOB[,JOB]", callback=_listed,
                     shell_complete=suggestions.jobs,
                     help="Hold the job until these jobs have succeeded; cancel it if one of them "
                     "does not succeed."),
        click.option("--after-any", is_flag=True,
                     help="With --after: also start if those jobs failed or were cancelled."),
        click.option("--not-before", type=coming, metavar="WHEN",
                     help="Start no earlier than this: 22:00 (the next 22:00 here; the command "
                     "prints the day), 2026-03-01T22:00, or +2h."),
        click.option("--hold", "held", is_flag=True, help="Hold the job until fornada release."),
        click.option("--key", metavar="KEY", callback=_key,
                     help="Any text. If a job already has this key, that job is returned and no "
                     "new one is made."),
    )  # fmt: skip
    return _with(options, called)


def _listed(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    return tuple(one.strip() for value in values for one in value.split(",") if one.strip())


def _key(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    from fornada.client.submission import LONGEST_KEY, problem_of

    # `--key "$EMPTY"` in a script would make a new job each time, which --key should prevent.
    if value is not None and (why := problem_of(value, LONGEST_KEY)):
        raise click.BadParameter(f"a key is one line, for example --key nightly-7: {why}")
    return value


def wait_for_worker_option(command: Command) -> Command:
    """Add `--wait-for-worker`."""
    return click.option(
        "--wait-for-worker",
        is_flag=True,
        help="Queue the job even if no existing worker could ever run it.",
    )(command)


def _queues(ctx: click.Context, parameter: click.Parameter, value: str) -> list[str]:
    from fornada.spec.kinds.text import is_label

    names = [name.strip() for name in value.split(",")]
    for name in names:
        if not is_label(name):
            raise click.BadParameter(
                f'"{name}" is not a valid queue name; for example --queues default,urgent'
            )
    return names


# The same syntax that `fornada-worker --slots` accepts.
_SLOTS = re.compile(r"[1-9]\d*|(?:cpu|gpu:\d+)(?:,(?:cpu|gpu:\d+))*")


def _slots(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _SLOTS.fullmatch(value.replace(" ", "")):
        raise click.BadParameter(
            f'"{value}" is not a list of slots; expected a count, cpu, or gpu:N, '
            "for example gpu:0,gpu:1"
        )
    return value


def slots_option(command: Command) -> Command:
    """Add `--slots`."""
    return click.option(
        "--slots",
        metavar="N|cpu|gpu:0,gpu:1",
        callback=_slots,
        help="Slots; each runs one job at a time. Default: one per GPU, or one CPU slot if there "
        "is no GPU.",
    )(command)


def queues_option(command: Command) -> Command:
    """Add `--queues`; the command gets a list of names."""
    return click.option(
        "--queues",
        default="default",
        show_default=True,
        metavar="A,B",
        callback=_queues,
        shell_complete=suggestions.queues,
        help="Queues to serve.",
    )(command)


# Seconds in each unit of time that a person may write.
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# Twenty years. Adding it to today's date, or subtracting it, never overflows a datetime.
LONGEST_S = 1040 * UNITS["w"]


def seconds(text: str) -> float:
    """Option type: a span of time such as 90, 90s, 30m, 1h30m, 1d or 1w, in seconds."""
    number, unit = r"\d+(?:\.\d+)?", "[smhdw]"
    if not re.fullmatch(rf"{number}|(?:{number}\s*{unit})+", text):
        raise click.BadParameter(
            f'"{text}" is not a span of time; for example 90s, 30m, 1h30m or 7d'
        )
    parts = re.findall(rf"({number})\s*({unit}?)", text)
    span_s = sum(float(count) * UNITS[each] for count, each in parts)
    if span_s > LONGEST_S:
        raise click.BadParameter(f'"{text}" is too long; at most {LONGEST_S // UNITS["w"]}w')
    return span_s


def moment(text: str) -> datetime:
    """Option type: a date, a date with time (local if it has no zone), or 7d for 7 days ago."""
    with suppress(ValueError):
        return datetime.fromisoformat(text).astimezone()
    try:
        return datetime.now(UTC) - timedelta(seconds=seconds(text))
    except click.BadParameter:
        raise click.BadParameter(
            f'"{text}" is not a date; for example 2026-03-01, or 7d for seven days ago'
        ) from None


def coming(text: str) -> datetime:
    """Option type: a time of day (its next occurrence here), a date with time, or +2h."""
    now = datetime.now().astimezone()
    if text.startswith("+"):
        return now + timedelta(seconds=seconds(text[1:]))
    with suppress(ValueError):
        day = time.fromisoformat(text) if ":" in text else None
        if day is not None and day.tzinfo is None:
            # Combine without a zone first: astimezone() then picks the zone's offset of that
            # day, which differs from today's if daylight saving time changes in between.
            date = now.date() if day > now.time() else now.date() + timedelta(days=1)
            return datetime.combine(date, day).astimezone()
    with suppress(ValueError):
        return datetime.fromisoformat(text).astimezone()
    raise click.BadParameter(f'"{text}" is not a time; for example 22:00, 2026-03-01T22:00, or +2h')


def job_arguments(command: Command) -> Command:
    """Add an argument that names one or more jobs; the command gets `references`."""
    return click.argument(
        "references", nargs=-1, required=True, metavar="JOB…", shell_complete=suggestions.jobs
    )(command)


def job_argument(command: Command) -> Command:
    """Add an argument that names one job; the command gets `reference`."""
    return click.argument("reference", metavar="JOB", shell_complete=suggestions.jobs)(command)
