"""Writes docs/cli.md and docs/settings.md from the commands and the settings themselves.

python -P -m fornada.cli.reference docs
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from fornada.cli.exit_codes import MEANINGS
from fornada.cli.lazy import LazyGroup
from fornada.cli.main import fornada

WRITTEN = (
    "<!-- Written by `python -P -m fornada.cli.reference docs`; a test fails when it is stale. -->"
)

PREFACE = """\
# Command reference

Verbs for jobs (`fornada submit`), nouns for the rest (`fornada worker ls`). A flag means the same
in every command.

- **stdout is the answer, stderr is progress and errors.** On a terminal answers are tables; in a
  pipe they are rows separated by tabs, without heads, `-` for what is not there. `--json` prints a
  document instead, `-q` ids alone: `id=$(fornada submit -q a.yaml)`.
- **A job** is named by its id (`12`), by the beginning of its uid (four digits or more), or by
  `@last`. Commands that take several take ranges too: `12-20`, every job there is from 12 to 20;
  those that move jobs also take all that carry a tag: `--tag owner=ana`. To do again what is done
  already is no error.
- **Colours** follow `--color`, `NO_COLOR` and whether the stream is a terminal.
- **Ctrl-C** stops watching, never a job that runs elsewhere. A database that goes away while a
  command watches is asked again until it is back.
"""

WAITS = """\
## Why a job waits

`ps`, `show`, `wait` and `submit -f` give one reason, and when the job may start where the history
allows an estimate.

| reason | the job waits |
| --- | --- |
| `Held(by ana)` | until `fornada release` |
| `After(#41,#42)` | for the end of jobs 41 and 42 |
| `NotBefore(22:00)` | for its time |
| `Backoff(attempt 2 in 40 s)` | after an attempt that crashed or was lost, before the next |
| `QueuePaused` | until `fornada queue resume` |
| `QueueFull(max 2)` | until fewer jobs of its queue run: `fornada queue set --max-running` |
| `NoWorker` | for a worker that serves its queue |
| `NeedsGpu` | for a worker with a GPU |
| `HostAvoided` | for another host than the one that its last attempt ended badly on |
| `Priority(3 ahead)` | for jobs of a higher priority, or older ones |
| `SlotsBusy` | for the next free slot |
"""

COMPLETION = """\
## Completion of commands and options

| shell | once, in |
| --- | --- |
| bash | `eval "$(fornada completion bash)"` in `~/.bashrc` |
| zsh | `eval "$(fornada completion zsh)"` in `~/.zshrc` |
| fish | `fornada completion fish > ~/.config/fish/completions/fornada.fish` |
"""

DOCUMENTS = """\
## Documents

`fornada show JOB --json` is stable: keys are added, never renamed. Times are UTC, ISO-8601. While
a job runs, `epochs_run` and `best` are live. What is not known yet is null; numbers that are not
finite are the strings `NaN`, `Infinity` and `-Infinity`. Beside each file `exists` is false if it
is gone or has another size, and null if this machine does not see the folder of artifacts.

| key | what |
| --- | --- |
| `id`, `uid` | the number people type; what makes it unique everywhere |
| `name`, `tags`, `queue`, `priority`, `user`, `seed` | as submitted |
| `state` | `held`, `queued`, `running`, `succeeded`, `failed` or `cancelled` |
| `submitted_at`, `started_at`, `finished_at` | null until then |
| `attempts` | executions so far |
| `key`, `after`, `not_before`, `continues` | as submitted: `after` and `continues` are ids |
| `held_by` | who holds it |
| `tries`, `avoid_host` | attempts that ended badly since the last `retry`; the host of the last |
| `epochs_run` | epochs that have ended, numbered from 1 |
| `stop_reason` | `completed`, `early_stopping`, `diverged`, `cancelled`, `time_limit` |
| `monitor` | the metric that decides which model is best |
| `best` | `epoch`, `value`, `uri`, `path` (the file on this host), `sha256`, `bytes`, `exists` |
| `metrics` | by name `last`, `min`, `max` |
| `test` | `loss`, `metrics`, `classes`, `confusion_matrix` (a row is a true class), `per_class` |
| `failure` | `code` (a closed list), `message`, and the trainer's `traceback` where there is one |
| `worker` | `host`, `trainer_pid`; `device` and `backend` stand beside it |
| `data` | `fingerprint`, `classes`, and images in `train`, `validation`, `test` |
| `gpus`, `time_limit_s`, `retry_attempts`, `spec_hash` | what the spec asks for, and its hash |
| `duration_s` | from start to end, in seconds |
| `cancel_requested_at`, `cancel_requested_by`, `cancel_reason` | who asked it to stop |
| `monitor_mode` | `min` or `max` |
| `parameters`, `versions` | of the model; of Python, Keras and the rest on the worker |
| `executions` | every attempt: worker, slot, device, times, `outcome`, `failure`, `resumed` |
| `executions[].resumed` | null, or `epoch`, `batch` and `inexact`: why exactness is lost |
| `executions[].reproducibility` | `seeded` or `deterministic` |
| `artifacts` | every file left: `attempt`, `kind`, `uri`, `bytes`, `sha256`, `exists` |
| `best.exists` | the file is there, as large as recorded; null: not seen from this machine |
| `artifacts[].exists` | the same of each file |
| `spec` | the effective spec, every default in it |

`fornada metrics JOB --json` is
`{id, epochs: [{epoch, attempt, seconds, images_per_s, learning_rate, metrics: {…}}]}`.
An epoch that an extended job has from the one it continues has attempt 0.
`fornada show JOB --events --json` is a list of `{at, kind, actor, detail}`.
`fornada submit --json` is a list of `{id, uid, warning, known_by, warnings}`; `known_by` is null
for a new job, `key` or `needed` for one that was there; `warnings` are those of the spec. A job
that `--needed` makes because the files of an equal one are gone says so in `warning`. `best` of
`ls` and `ps` has `exists` too.
`hold`, `release`, `move`, `retry` and `cancel` with `--json` print a list of `{id, state}`.
`fornada queue ls --json` is a list of `{name, paused, max_running, queued, held, running, workers,
changed_at, changed_by}`.
`fornada ls --json` is `{jobs: […], next}`; `next` goes to `--after`.
`fornada ps --json` is a list of `{id, uid, name, state, priority, queue, user, tags, worker, slot,
epoch, epochs, monitor, best, submitted_at, started_at, elapsed_s, eta_s, cancel_requested,
attempts, waits, starts_in_s}`.
`fornada data pack --json` is a list of `{folder, images, pack, bytes, unpacked}`.
`fornada data ls --json` is a list of `{name, images, classes, image_size, color_mode,
interpolation, crop_to_aspect_ratio, kind, dtype, bytes, used_at, in_use, source}`, and
`fornada data gc --json` one of `{name, bytes}`.
`fornada doctor --json` is `{well, findings: [{what, well, found, todo}]}`.
`fornada check --json` is `{problems: [{file, line, path, message, code}], specs: [{file, name,
hash, problems, warnings}]}`, with `data` by `--data` and `model` by `--build`; `warnings`, those
of the folders by `--data`, are `{file, line, path, message}` each.
`fornada data check --json` is a list of `{file, said, failure, problems, warnings}`; problems and
warnings are those of the folders, as in `check`.
"""


def cli_page() -> str:
    """docs/cli.md."""
    parts = [WRITTEN, PREFACE, _codes(), WAITS, COMPLETION, DOCUMENTS, "## Commands\n"]
    parts += [_section(command, path) for command, path in commands(fornada, ())]
    return "\n".join(parts)


def settings_page() -> str:
    """docs/settings.md."""
    from fornada.settings import Settings

    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        # The file lies in the home.
        key = "" if name == "home" else f"`{name}`"
        rows.append(f"| `FORNADA_{name.upper()}` | {key} | {default} | {field.description} |")
    preface = inspect.cleandoc(Settings.__doc__ or "")
    return "\n".join(
        [
            WRITTEN,
            "# Settings\n",
            "One precedence everywhere: environment, `config.toml` in the home, default. What",
            "belongs to one command alone is a flag of it (`--slots`, `--queues`), and no setting.",
            "For one command set a variable before it: `FORNADA_HOME=/srv/try fornada run SPEC`.\n",
            preface,
            "",
            "| variable | key in config.toml | default | effect |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "`FORNADA_DEBUG=1` shows the traceback of an error; `NO_COLOR` turns colours off.",
            "",
        ]
    )


def write(folder: Path) -> None:
    """Write both pages.

    Args:
        folder: of the documentation.
    """
    (folder / "cli.md").write_text(cli_page())
    (folder / "settings.md").write_text(settings_page())


def commands(
    group: click.Group, above: tuple[str, ...]
) -> Iterator[tuple[click.Command, tuple[str, ...]]]:
    """Every command below a group, and the words that lead to it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None  # noqa: S101 - the group has just named it
        path = (*above, name)
        yield command, path
        if isinstance(command, click.Group) and not isinstance(command, LazyGroup):
            yield from commands(command, path)


def _section(command: click.Command, path: tuple[str, ...]) -> str:
    context = click.Context(command, info_name=" ".join(("fornada", *path)))
    prose, example = _help(command)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"{'#' * (2 + len(path))} fornada {' '.join(path)}\n", prose, ""]
    lines += ["```", f"fornada {' '.join(path)} {usage}", "```", ""]
    options = [row for row in map(_option, command.params) if row]
    if options:
        lines += ["| option | effect |", "| --- | --- |", *options, ""]
    return "\n".join([*lines, "```sh", example, "```", ""])


def _help(command: click.Command) -> tuple[str, str]:
    """A command's prose, and its examples."""
    text = inspect.cleandoc(command.help or "")
    prose, _, example = text.partition("\b\n")
    lines = inspect.cleandoc(re.sub(r"\AExamples?:\n", "", example))
    return prose.strip(), lines


def _option(parameter: click.Parameter) -> str | None:
    if not isinstance(parameter, click.Option) or parameter.hidden:
        return None
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    value = "" if parameter.is_flag else f" {_escaped(parameter.make_metavar(_context()))}"
    default: Any = parameter.default if parameter.show_default else None
    ending = f" (default: {default})" if default is not None else ""
    return f"| {names}{value} | {_escaped(parameter.help or '')}{ending} |"


def _context() -> click.Context:
    return click.Context(fornada)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _codes() -> str:
    rows = [f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(["## Exit codes\n", "| code | meaning |", "| --- | --- |", *rows, ""])


if __name__ == "__main__":
    write(Path(sys.argv[1]))
