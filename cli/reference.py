"""Write docs/cli.md and docs/settings.md from the definitions of the commands and settings.

python -P -m fornada.cli.reference docs
"""

import dataclasses
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
    "<!-- Written by `python -P -m fornada.cli.reference docs`; a test fails if it is outdated. -->"
)

PREFACE = """\
# Command reference

Commands for jobs are verbs (`fornada submit`); commands for everything else begin with a noun
(`fornada worker ls`). A flag means the same in every command.

- **stdout has the answer; stderr has progress and errors.** On a terminal an answer is a table; if
  it is too narrow, long texts are folded, then columns are left out, and a note on stderr names
  them. In a pipe it is one row per line, nothing is cut, and tabs are between the columns. Lists
  have no header row there, and `-` in an empty cell; `fornada metrics`, whose columns depend on
  the job, has a header row, and empty cells. `--json` prints a document instead, and `-q` only the
  ids: `id=$(fornada submit -q a.yaml)`.
- **A job** is named by its id (`12`), by the beginning of its uid (at least four characters), or by
  `@last`. Commands that take several jobs also take ranges: `12-20` means every existing job from
  12 to 20. Commands that steer jobs also take all jobs with a tag: `--tag owner=ana`. It is
  no error to repeat a command: to hold a job that is already held, for example.
- **An answer that cannot be written**, because a disk is full or the stream is closed, ends the
  command with 7, after the command has done its work; the ids of new jobs are then on stderr. It is
  no error when a reader such as `head` closes the pipe.
- **A home that you may only read** serves every command that changes nothing: `ps`, `ls`, `show`,
  `logs`, `metrics`, `wait`, `queue ls`, `worker ls`. The others end with 6 and name its owner.
- **Colours** depend on `--color`, `NO_COLOR` and whether the stream is a terminal.
- **Ctrl-C**, SIGTERM and a closed terminal stop watching, and not the job; only `fornada run` stops
  its job. `nohup fornada run` goes on when the terminal is closed. If the database is down while a
  command watches, the command tries again until the database is back.
"""

WAITS = """\
## Why a job waits

`ps`, `show`, `wait` and `submit -f` print one reason. If the history allows an estimate, they also
print when the job may start.

| reason | the job waits |
| --- | --- |
| `Held(by ana)` | until `fornada release` |
| `After(#41,#42)` | until jobs 41 and 42 have ended |
| `NotBefore(22:00)` | until this time |
| `Backoff(attempt 2 in 40 s)` | until the pause after an attempt that failed is over |
| `QueuePaused` | until `fornada queue resume` |
| `QueueFull(max 2)` | until fewer jobs of its queue run: `fornada queue set --max-running` |
| `NoWorker` | for a worker that serves its queue; a `lost` job continues on it |
| `NeedsGpu` | for a worker with a GPU |
| `HostAvoided` | for another host: slots are free only on the host where its last attempt failed |
| `Priority(3 ahead)` | for jobs with a higher priority, and for older jobs with the same priority |
| `SlotsBusy` | for the next free slot |
| `WorkersUnfit(oven-1)` | until the host of this worker can run jobs: `show` says what is wrong |

A job is `lost` if its worker of the embedded stack was killed. In the record it is `running`
(`ls --state running` lists it) until the next worker of this home starts and continues it:
`fornada up`. How long it has run is not known until then, so `elapsed_s` is null.
"""

COMPLETION = """\
## Completion of commands and options

| shell | what to add, or to run once |
| --- | --- |
| bash | `eval "$(fornada completion bash)"` in `~/.bashrc` |
| zsh | `eval "$(fornada completion zsh)"` in `~/.zshrc` |
| fish | `fornada completion fish > ~/.config/fish/completions/fornada.fish` |
"""

DOCUMENTS = """\
## Documents

The document of `fornada show JOB --json` is stable: new versions add keys and never rename one.
Times are UTC in ISO-8601. While a job runs, `epochs_run` and `best` change with each epoch. A value
that is not known yet is null. Numbers that are not finite are the strings `NaN`, `Infinity` and
`-Infinity`. Each file has a key `exists`: false if the file is gone or has another size, null if
this machine does not see the folder of artifacts.

| key | meaning |
| --- | --- |
| `id`, `uid` | the number that people type; a name that is unique across all databases |
| `name`, `tags`, `queue`, `priority`, `user`, `seed` | as submitted |
| `state` | `held`, `queued`, `running`, `succeeded`, `failed` or `cancelled` |
| `lost` | true for a running job whose worker of the embedded stack was killed; also in `ps` |
| `submitted_at`, `started_at`, `finished_at` | null until it happens |
| `attempts` | number of attempts so far |
| `key`, `after`, `not_before`, `continues` | as submitted: `after` and `continues` are ids |
| `held_by` | who holds the job |
| `tries`, `avoid_host` | failed attempts since the last `retry`; the host of the last of them |
| `epochs_run` | number of epochs that have ended |
| `stop_reason` | `completed`, `early_stopping`, `diverged`, `cancelled`, `time_limit` |
| `monitor` | the metric that decides which model is best |
| `best` | `epoch`, `value`, `uri`, `path` (the file on this host), `sha256`, `bytes`, `exists` |
| `metrics` | `last`, `min` and `max` of each metric, by its name |
| `test` | `loss`, `metrics`, `classes`, `confusion_matrix` (a row is a true class), `per_class` |
| `failure` | `code` (one of a fixed list), `message`, and the trainer's `traceback` if it has one |
| `worker`, `device`, `backend` | `worker` has `host` and `trainer_pid` |
| `data` | `fingerprint`, `classes`, and the numbers of images in `train`, `validation`, `test` |
| `gpus`, `time_limit_s`, `retry_attempts`, `spec_hash` | what the spec asks for, and its hash |
| `duration_s` | seconds that all its attempts ran, each from its claim to its end |
| `cancel_requested_at`, `cancel_requested_by`, `cancel_reason` | when, who and why, if cancelled |
| `monitor_mode` | `min` or `max` |
| `parameters` | number of parameters of the model |
| `versions` | versions of Python, Keras and other packages on the worker |
| `executions` | every attempt: worker, slot, device, times, `outcome`, `failure`, `resumed` |
| `executions[].resumed` | null, or `epoch`, `batch`, `inexact` (why its numbers may be different) |
| `executions[].anew` | null, or why it began at the first epoch although there were states |
| `executions[].reproducibility` | `seeded` or `deterministic` |
| `artifacts` | every file that was kept: `attempt`, `kind`, `uri`, `bytes`, `sha256`, `exists` |
| `best.exists` | whether the file exists with the recorded size; null: not visible from here |
| `artifacts[].exists` | the same for each file |
| `spec` | the effective spec, with every default |

`fornada metrics JOB --json` is `{id, epochs: [epoch]}`.
`duration_s` counts every attempt, also those before a `retry`, but not the time in the queue;
`elapsed_s` of `ps` is the same for a job that runs. `started_at` is the start of the last attempt.
`seconds` is the whole epoch, with validation and saving; `images_per_s` counts training only. An
extended job also lists the epochs of the job that it continues; their attempt is 0.
`fornada submit --json` is a list of `{id, uid, warning, known_by, warnings}`. `known_by` is null
for a new job, and `key` or `needed` for an existing job. `warnings` are the warnings of the spec.
If `--needed` makes a job because the files of an equal job are gone, `warning` says so. `best` of
`ls` and `ps` has `exists` too.
`hold`, `release`, `move`, `retry` and `cancel` with `--json` print a list of `{id, state}`.
`fornada ls --json` is `{jobs: […], next}`; pass `next` to `--cursor` for the next page.
`fornada data pack --json` is a list of `{folder, images, pack, bytes, unpacked}`.
`fornada data ls --json` is a list of `{name, images, classes, image_size, color_mode,
interpolation, crop_to_aspect_ratio, kind, dtype, bytes, used_at, in_use, source}`, and
`fornada data gc --json` is a list of `{name, bytes}`.
`fornada doctor --json` is `{well, findings: [{what, well, found, todo}]}`.
`fornada check --json` is `{problems: [{file, line, path, message, code}], specs: [{file, name,
hash, problems, warnings}]}`. `--data` and `--build` add `data` and the warnings of the folders;
`--build` adds `model`. Each warning is `{file, line, path, message}`.
`fornada data check --json` is a list of `{file, said, failure, problems, warnings}`; problems and
warnings are those of the folders, as in `check`.
"""


def _rows() -> str:
    """The keys of the documents that come in lists, as their types declare them."""
    from fornada.db import answers

    rows = {
        "row of `fornada ls --json`": answers.HistoryAnswer,
        "row of `fornada ps --json`": answers.LiveAnswer,
        "row of `fornada queue ls --json`": answers.QueueAnswer,
        "row of `fornada worker ls --json`": answers.WorkerAnswer,
        "epoch of `fornada metrics JOB --json`": answers.EpochAnswer,
        "event of `fornada show JOB --events --json`": answers.EventAnswer,
        "attempt in `executions` of `fornada show JOB --json`": answers.ExecutionAnswer,
    }
    lines = [f"| {what} | `{'`, `'.join(each.__annotations__)}` |" for what, each in rows.items()]
    types = "In Python these documents have types, in `fornada.db.answers`; `fornada show` has\n"
    types += "`JobAnswer`.\n"
    return "\n".join([types, "| document | keys |", "| --- | --- |", *lines, ""])


def cli_page() -> str:
    """The text of docs/cli.md."""
    parts = [WRITTEN, PREFACE, _codes(), WAITS, COMPLETION, DOCUMENTS, _rows(), "## Commands\n"]
    parts += [_section(command, path) for command, path in commands(fornada, ())]
    return "\n".join(parts)


def settings_page() -> str:
    """The text of docs/settings.md."""
    from fornada.settings import Settings, descriptions

    rows = []
    abouts = descriptions()
    for field in dataclasses.fields(Settings):
        name, about = field.name, abouts[field.name]
        default = "" if field.default is None else f"`{field.default}`"
        # config.toml lies in the home, so it cannot say where the home is.
        key = "" if name == "home" else f"`{name}`"
        rows.append(f"| `FORNADA_{name.upper()}` | {key} | {default} | {about} |")
    preface = inspect.cleandoc(Settings.__doc__ or "")
    return "\n".join(
        [
            WRITTEN,
            "# Settings\n",
            "The environment comes first, then `config.toml` in the home, then the default. An",
            "option that concerns only one command is a flag of that command (`--slots`,",
            "`--queues`), not a setting. To set a variable for one command, write it before the",
            "command:",
            "`FORNADA_HOME=/srv/try fornada run SPEC`.\n",
            preface,
            "",
            "| variable | key in config.toml | default | effect |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "`FORNADA_DEBUG=1` shows the traceback of an error; `NO_COLOR` turns colours off.",
            "A variable that is probably a misspelt setting is a warning, and `fornada doctor`",
            "names every unknown one.",
            "",
        ]
    )


def write(folder: Path) -> None:
    """Write both pages.

    Args:
        folder: the folder of the documentation.
    """
    (folder / "cli.md").write_text(cli_page())
    (folder / "settings.md").write_text(settings_page())


def commands(
    group: click.Group, above: tuple[str, ...]
) -> Iterator[tuple[click.Command, tuple[str, ...]]]:
    """Every command below a group, with the words that a person types to reach it."""
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
    """The description of a command, and its examples."""
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
