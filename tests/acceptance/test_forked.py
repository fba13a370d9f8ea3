"""What a forked command does is what an executed one does."""

from pathlib import Path

import pytest

from tests.acceptance.installed import Fornada


@pytest.mark.parametrize(
    ("words", "stdin", "settings"),
    [
        (["render", "specs/digits.yaml"], None, {}),
        (["check", "-"], "name: só um nome\n", {}),
        (["show", "1"], None, {}),
        (["ls", "--color", "always"], None, {"FORNADA_DATABASE_URL": "sqlite:////proc/no.db"}),
        (["cancel", "x"], None, {"FORNADA_DEBUG": "1"}),
        (
            [],
            None,
            {"_FORNADA_COMPLETE": "bash_complete", "COMP_WORDS": "fornada sub", "COMP_CWORD": "1"},
        ),
    ],
)
def test_forked_as_executed(
    words: list[str], stdin: str | None, settings: dict[str, str], tmp_path: Path
) -> None:
    fornada = Fornada(tmp_path / "home", settings)
    assert fornada._forked(words, stdin) == fornada._executed(words, stdin)


def test_one_forked_command_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    first, second = (Fornada(tmp_path / name) for name in ("one", "two"))
    for one in (first, second, first):
        done = one._forked(["submit", "-q", "--hold", "--queue", "q", "specs/digits.yaml"], None)
        assert done.code == 0, done
    counts = [one._forked(["ls", "-q"], None).stdout.count("\n") for one in (first, second)]
    assert counts == [2, 1]
    uids = [one["uid"] for one in first._forked(["ls", "--json"], None).document["jobs"]]
    assert len(set(uids)) == 2
