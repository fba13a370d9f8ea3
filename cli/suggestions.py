"""What a shell completes after an option or argument: jobs, tags, queues, workers, paths of a spec.

Click calls these functions when somebody presses the Tab key. They print nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from fornada.db.reads.suggestions import Suggestion
    from fornada.db.states import JobState

Items = list["CompletionItem"]


def jobs(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Ids of jobs that the command can act on, with their names and states; and `@last`."""
    from fornada.db.reads import suggestions

    # `--after 12,13` names several jobs.
    before, comma, last = incomplete.rpartition(",")
    found = suggestions.jobs(_url(), _states(ctx.info_name))
    items = [*found, suggestions.Suggestion("@last", "the job that was submitted last")]
    known = {*_named(ctx, parameter), *before.split(",")}
    return _items(items, last, prefix=before + comma, known=known)


def tags(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Tags that jobs have, as `key=value`."""
    from fornada.db.reads import suggestions

    return _items(suggestions.tags(_url()), incomplete, known=_named(ctx, parameter))


def queues(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Names of queues; also the last one of a list with commas."""
    from fornada.db.reads import suggestions

    before, comma, last = incomplete.rpartition(",")
    known = {*_named(ctx, parameter), *before.split(",")}
    return _items(suggestions.queues(_url()), last, prefix=before + comma, known=known)


def orders(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """What `ls --sort` sorts by: time, duration, and the metrics of the latest jobs."""
    from fornada.db.reads import suggestions

    fixed = [
        suggestions.Suggestion("time", "of submission"),
        suggestions.Suggestion("duration", "of all attempts"),
    ]
    return _items([*fixed, *suggestions.metrics(_url())], incomplete)


def workers(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Names of workers, and of their hosts."""
    from fornada.db.reads import suggestions

    return _items(suggestions.workers(_url()), incomplete)


def spec_paths(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Paths of the spec that the command names, up to the next dot: `fit.`, `fit.epochs=`.

    Without a spec that can be read, the fields that every spec has.
    """
    from click.shell_completion import CompletionItem

    document = _spec_of(_given(ctx))
    known = dict(_paths(document)) if document is not None else _fields()
    return [
        CompletionItem(step, help=known.get(step.removesuffix("="), ""))
        for step in _steps(known, incomplete)
    ]


def _states(command: str | None) -> "Iterable[JobState]":
    """The states in which a job can be what the command wants."""
    from fornada.db.states import LIVE_STATES, JobState

    waiting = {JobState.QUEUED, JobState.HELD}
    return {
        "cancel": LIVE_STATES,
        "hold": {JobState.QUEUED},
        "release": {JobState.HELD},
        "move": waiting,
        "retry": {JobState.FAILED, JobState.CANCELLED},
        "extend": {JobState.SUCCEEDED},
    }.get(command or "", set(JobState))


def _url() -> str:
    from fornada.settings import Settings

    return Settings().sql_url


def _items(
    found: "Iterable[Suggestion]",
    incomplete: str,
    prefix: str = "",
    known: Collection[str] = frozenset(),
) -> Items:
    """Completions of a word.

    Args:
        found: the values that there are.
        incomplete: what is typed of the value.
        prefix: what stands before the value in the same word.
        known: values that the line has already; they are not offered again.
    """
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(prefix + one.value, help=one.about)
        for one in found
        if one.value.startswith(incomplete) and one.value not in known
    ]


def _named(ctx: click.Context, parameter: click.Parameter) -> set[str]:
    """The values that the line already has of a parameter that takes several."""
    if parameter.nargs != -1 and not getattr(parameter, "multiple", False):
        return set()
    values = _given(ctx).get(parameter.name or "") or ()
    return {value if isinstance(value, str) else "=".join(value) for value in values}


def _given(ctx: click.Context) -> Mapping[str, Any]:
    """The values of the parameters that stand before the cursor.

    Click itself knows none when the last word is an option that still lacks its value.
    """
    words: list[str] = ctx.find_root().obj or []
    name = ctx.info_name or ""
    own = words[words.index(name) + 1 :] if name in words else []
    if own and own[-1].startswith("-"):
        own = own[:-1]
    return ctx.command.make_context(name, own, resilient_parsing=True).params


def _spec_of(given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The document of the first spec, or of the job, that stands on the line; None without one."""
    from fornada.settings import Settings
    from fornada.spec import SpecProblems

    settings = Settings()
    if job := given.get("reference"):
        from fornada.db.reads.suggestions import specification

        return specification(settings.sql_url, str(job))
    named = given.get("spec") or given.get("file") or given.get("files") or given.get("places")
    files = named if isinstance(named, tuple) else (named,)
    for file in files:
        # Standard input belongs to the person who types.
        if file and str(file) != "-":
            from fornada.spec.files import load

            try:
                return load(settings, str(file)).document()
            except SpecProblems:
                continue
    return None


def _paths(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every path below a place of a document, with the value there."""
    below = _below(value)
    for name, item in below:
        path = f"{place}.{name}" if place else name
        if _below(item):
            yield from _paths(item, path)
        else:
            yield path, _short(item)


def _below(value: Any) -> list[tuple[str, Any]]:
    """The parts of a mapping, or of a list of Keras objects; none of another value."""
    if isinstance(value, Mapping):
        return [(str(name), item) for name, item in value.items()]
    if not isinstance(value, list | tuple) or not value:
        return []
    if not all(isinstance(item, Mapping) and item for item in value):
        return []
    names = [str(next(iter(item))) for item in value]
    # A class that the list has once is named; others need their index before the name.
    return [
        (name if names.count(name) == 1 else f"{index}.{name}", item[name])
        for index, (name, item) in enumerate(zip(names, value, strict=True))
    ]


def _short(value: Any) -> str:
    import json

    text = json.dumps(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


# Characters of a value that a list of completions shows.
LONGEST = 40


def _fields() -> dict[str, str]:
    """The fields of the sections of any spec, with their sentences."""
    from fornada.spec.sections import TOP, Section

    found = {}
    for name, field in TOP.fields.items():
        if isinstance(field.kind, Section):
            for inner, one in field.kind.fields.fields.items():
                found[f"{name}.{inner}"] = one.about
        else:
            found[name] = field.about
    return found


def _steps(paths: Iterable[str], typed: str) -> list[str]:
    """What can follow `typed`: each path up to its next dot, or whole with `=`.

    >>> _steps(["fit.epochs", "fit.jit", "name"], "")
    ['fit.', 'name=']
    >>> _steps(["fit.epochs", "fit.jit", "name"], "f")
    ['fit.epochs=', 'fit.jit=']
    """
    matching = [path for path in paths if path.startswith(typed)]
    steps = dict.fromkeys(
        path[: path.index(".", len(typed)) + 1] if "." in path[len(typed) :] else f"{path}="
        for path in matching
    )
    if len(steps) == 1 and (only := next(iter(steps))).endswith("."):
        return _steps(matching, only)
    return list(steps)
