"""What the pages show is true: specs are valid, commands exist, errors and links are as said."""

import re
import shlex
from pathlib import Path

import click
import pytest

from fornada import __version__
from fornada.cli.main import fornada
from fornada.spec import SpecProblems, loads

PROJECT = Path(__file__).parents[2]
PAGES = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    *sorted((PROJECT / "docs").glob("*.md")),
]
SPEC = re.compile(r"^```yaml\n(name: .*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^ +(?:\$ |docker compose run --rm cli )?(fornada [a-z].*)$", re.MULTILINE)
# Paths of the repository that prose names: they begin with a folder that the repository has.
NAMED_PATH = re.compile(
    r"`((?:bench|cli|db|deploy|docs|fornada|lock|specs|tests|worker|Data)/[\w./-]*)`"
)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")


def found(pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    return [(page.name, text) for page in PAGES for text in pattern.findall(page.read_text())]


@pytest.mark.parametrize(("page", "text"), found(SPEC))
def test_a_spec_of_the_pages_is_valid(page: str, text: str) -> None:
    assert loads(text, file=page).name


def test_the_error_of_the_readme_is_what_check_says() -> None:
    readme = (PROJECT / "README.md").read_text()
    (spec,) = SPEC.findall(readme)
    wrong = spec.replace("EarlyStopping: {monitor: val_loss", "EarlyStopping: {monitor: val_acc")
    assert wrong != spec
    with pytest.raises(SpecProblems) as problems:
        loads(wrong, file="digits.yaml")
    said = "\n".join(f"    {line}" for line in str(problems.value).splitlines())
    assert said in readme


@pytest.mark.parametrize(("page", "line"), found(COMMAND))
def test_a_command_of_the_pages_exists_with_its_options(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    # What follows a pipe or joins commands is the shell's.
    words = words[
        : min((words.index(end) for end in ("|", "&&", ">") if end in words), default=None)
    ]
    command: click.Command = fornada
    context = click.Context(fornada)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        subcommand = command.get_command(context, words.pop(0))
        assert subcommand is not None, line
        command = subcommand
    if not isinstance(command, click.Group):
        command.make_parser(click.Context(command)).parse_args([*words])


@pytest.mark.parametrize(("page", "target"), found(LINK))
def test_a_link_leads_somewhere(page: str, target: str) -> None:
    folder = PROJECT if (PROJECT / page).exists() else PROJECT / "docs"
    assert (folder / target).exists()


@pytest.mark.parametrize(("page", "path"), sorted(set(found(NAMED_PATH))))
def test_a_path_that_a_page_names_exists(page: str, path: str) -> None:
    assert (PROJECT / path).exists()


def test_where_is_leads_each_question_to_a_path_that_exists() -> None:
    architecture = (PROJECT / "docs" / "architecture.md").read_text()
    section = architecture.partition("## Where is …?\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (Where .*\?) \| `([^`]+)` \|$", section, re.MULTILINE)
    assert len(rows) >= 15
    assert [path for _, path in rows if not (PROJECT / path).exists()] == []


def test_the_changelog_has_a_section_for_this_version() -> None:
    assert f"## {__version__}" in (PROJECT / "CHANGELOG.md").read_text().splitlines()
