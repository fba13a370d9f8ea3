"""Says in a sentence what a person wrote, where PyYAML says in which state its parser was.

PyYAML's errors have a `problem` with the place where reading stopped, and sometimes a `context`
with the place where the unfinished part begins. The second is often where the mistake is.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from fornada.spec.wording import clip, no_space

# A name and its value without the space after the colon: `epochs:30`, `- Dense:{units: 3}`.
_NO_SPACE = re.compile(r"\s*(?:- +)?([A-Za-z_]\w*):([^\s:/\\].*)")
# A name and its value, or a name alone.
_NAMED = re.compile(r"\s*(?:- +)*[^\s#'\"\[{][^#]*?:(\s|$)")
# A character that has a meaning of its own at the beginning of a value.
_SIGNS = "@`%*&!|>?"
# PyYAML looks for the colon of a name in so many characters.
_LONGEST_NAME = 1024
_CLOSING = {"{": "}", "[": "]"}


@dataclass(frozen=True)
class Explained:
    """What is wrong with a text, in words.

    Attributes:
        line: where the mistake is, from 1; None if the parser does not know.
        message: one sentence, and what is expected in a second line.
    """

    line: int | None
    message: str


class Loader(yaml.SafeLoader):
    """PyYAML's loader. It remembers the last text in quotes that goes over several lines.

    A quote that is not closed ends at the next quote of the file, and the error comes after that.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        # The lines in which it begins and ends, from 1.
        self.long_quote: tuple[int, int] | None = None

    def scan_flow_scalar(self, style: str) -> Any:
        """See `yaml.scanner.Scanner`."""
        token = super().scan_flow_scalar(style)
        if token.start_mark.line < token.end_mark.line:
            self.long_quote = (token.start_mark.line + 1, token.end_mark.line + 1)
        return token


@dataclass(frozen=True)
class _Broken:
    """One error of PyYAML.

    Attributes:
        problem: in the parser's words.
        context: what the parser was reading, in its words.
        line: where it stopped, from 1.
        column: where it stopped in this line, from 0.
        opened: the line where the unfinished part begins; `line` if it is not known.
        bracket: the sign with which the unfinished part begins.
        lines: of the text.
        long_quote: see `Loader`.
    """

    problem: str
    context: str
    line: int
    column: int
    opened: int
    bracket: str
    lines: Sequence[str]
    long_quote: tuple[int, int] | None

    @property
    def found(self) -> str:
        """The sign or part at which the parser stopped, as far as it names one."""
        named = re.search(r"(?:found|got) (?:character )?'(.*?)'(?: that|$)", self.problem)
        return named[1] if named else ""

    def text(self, line: int) -> str:
        """A line of the text."""
        return self.lines[line - 1] if 0 < line <= len(self.lines) else ""

    @property
    def above(self) -> int:
        """The nearest line above that is neither empty nor a comment; 0 if there is none."""
        written = ((line, self.text(line).strip()) for line in range(self.line - 1, 0, -1))
        return next((line for line, text in written if text and text[0] != "#"), 0)


def explain(error: yaml.MarkedYAMLError, text: str, loader: Loader) -> Explained:
    """What is wrong with a text that PyYAML refuses.

    Args:
        error: of PyYAML.
        text: the whole text.
        loader: that read it.
    """
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Explained(None, f"not YAML: {error.problem or error.context}.")
    begun = error.context_mark or mark
    # The ends of lines that PyYAML counts.
    lines = re.split(r"\r\n?|\n", text)
    broken = _Broken(
        error.problem or "",
        error.context or "",
        mark.line + 1,
        mark.column,
        begun.line + 1,
        lines[begun.line][begun.column : begun.column + 1] if begun.line < len(lines) else "",
        lines,
        loader.long_quote,
    )
    for rule in _RULES:
        if found := rule(broken):
            return Explained(found.line, f"not YAML: {found.message}")
    return Explained(broken.line, f"not YAML: this line cannot be read ({broken.problem}).")


def _conflict(broken: _Broken) -> Explained | None:
    """The marks of git around two versions that it could not merge."""
    line = next((n for n, one in enumerate(broken.lines, 1) if one.startswith("<<<<<<< ")), None)
    if line is None:
        return None
    return Explained(
        line, "git could not merge two versions of this file.\n  Expected only one of the two."
    )


def _tab(broken: _Broken) -> Explained | None:
    written = broken.text(broken.line)
    indentation = written[: len(written) - len(written.lstrip())]
    if "\t" in indentation:
        return Explained(
            broken.line, "a tab is in the indentation.\n  Expected spaces in its place."
        )
    if broken.found == "\\t":
        return Explained(broken.line, "a tab is before a value.\n  Expected a space in its place.")
    return None


def _quote(broken: _Broken) -> Explained | None:
    if "quoted scalar" in broken.context and broken.problem.startswith("found unexpected"):
        return Explained(
            broken.opened,
            f"the quote {broken.bracket} of this line is never closed.\n"
            f"  Expected {broken.bracket} at the end of the text.",
        )
    if broken.long_quote and broken.long_quote[1] == broken.line:
        begun, ended = broken.long_quote
        return Explained(
            begun,
            f"a quote of this line is not closed: the text in quotes ends at the next quote, in "
            f"line {ended}.\n  Expected a quote at the end of the text.",
        )
    if "double-quoted scalar" in broken.context:
        return Explained(
            broken.line,
            "a backslash in double quotes begins an escape, and this one is unknown.\n"
            "  Expected single quotes around the text, or two backslashes.",
        )
    before = broken.text(broken.line)[: broken.column].rstrip()
    if broken.found == "<scalar>" and before.endswith(("'", '"')) and "flow" not in broken.context:
        return Explained(
            broken.line,
            f"text is behind the closing quote {before[-1]}.\n"
            f"  Expected the quote at the end of the text; to write {before[-1]} inside it, "
            "put the text into the other kind of quotes.",
        )
    return None


def _bracket(broken: _Broken) -> Explained | None:
    """Braces and brackets: not closed, closed by the wrong one, or closed without being opened."""
    if "expected ',' or" in broken.problem:
        closing = _CLOSING.get(broken.bracket, "")
        wrong = broken.found in _CLOSING.values()
        if broken.line == broken.opened and not wrong and broken.found != "<stream end>":
            return Explained(
                broken.line,
                f"a comma is missing between two values, or {closing} before the second.\n"
                f"  Expected a comma between the values after {broken.bracket}.",
            )
        stopped = "" if broken.line == broken.opened else f" in line {broken.line}"
        if wrong:
            what = f"{broken.found}{stopped} cannot close it"
        elif broken.found == "<stream end>":
            what = "the text ends before that"
        else:
            what = f"line {broken.line} cannot be inside it"
        return Explained(
            broken.opened,
            f"the {broken.bracket} of this line is not closed: {what}.\n"
            f"  Expected {closing} at its end.",
        )
    if broken.found in _CLOSING.values():
        opening = next(one for one, closing in _CLOSING.items() if closing == broken.found)
        return Explained(
            broken.line,
            f"{broken.found} closes nothing, because no {opening} is open here.\n"
            f"  Expected no {broken.found}, or {opening} before it.",
        )
    if broken.found == ",":
        inside = "flow" in broken.context
        return Explained(
            broken.line,
            "no value is before this comma.\n  Expected a value, or no comma."
            if inside
            else "a comma is behind a value that is complete.\n"
            "  Expected no comma, or [ and ] around the whole list.",
        )
    return None


def _space(broken: _Broken) -> Explained | None:
    """`epochs:30`, found at the next line with a colon."""
    if "mapping values" not in broken.problem and "expected ':'" not in broken.problem:
        return None
    for line in (broken.opened, broken.above):
        if found := _NO_SPACE.fullmatch(broken.text(line).rstrip()):
            return Explained(line, no_space(found[1], found[2]))
    return None


def _colon(broken: _Broken) -> Explained | None:
    """A colon too many in one line, or too few in the line before."""
    if "expected ':'" in broken.problem:
        return _no_colon(broken, broken.opened)
    if "mapping values" not in broken.problem:
        return None
    before = broken.text(broken.line)[: broken.column]
    if len(before) > _LONGEST_NAME:
        return Explained(broken.line, f"a name is longer than {_LONGEST_NAME:,} characters.")
    if nested := re.fullmatch(r"\s*(?:- +)*([^:]+): +([^:]+)", before):
        return Explained(
            broken.line,
            "a second name with a colon is in the value of the first.\n"
            f"  Expected braces, {clip(nested[1])}: {{{clip(nested[2])}: …}}, or quotes around "
            "the value if it is a text.",
        )
    if broken.above and not _NAMED.match(broken.text(broken.above)):
        return _no_colon(broken, broken.above)
    return _indented(broken)


def _no_colon(broken: _Broken, line: int) -> Explained:
    written = broken.text(line).strip().removeprefix("- ").strip()
    return Explained(
        line, f'"{clip(written)}" has no colon.\n  Expected a colon and a space after the name.'
    )


def _indentation(broken: _Broken) -> Explained | None:
    if "expected '<document start>'" in broken.problem:
        if broken.text(1).startswith("%"):
            return _directive(broken)
        return Explained(
            broken.line,
            "this line does not belong to what is above it.\n"
            "  Expected all sections to begin in the same column, and nothing after a closing } "
            'or the line "...".',
        )
    if "expected <block end>" not in broken.problem:
        return None
    if broken.found in ("-", "?"):
        inside = "list items" if broken.found == "?" else "names"
        outside = "a name" if broken.found == "?" else "a list item"
        return Explained(
            broken.line,
            f"{outside} is among {inside}, in the same column.\n"
            "  Expected only names with a colon, or only items with a dash.",
        )
    if broken.found == ":":
        return Explained(broken.line, "no name is before the colon.\n  Expected a name.")
    before = broken.text(broken.line)[: broken.column]
    return _indented(broken) if not before.strip(" -") else None


def _indented(broken: _Broken) -> Explained:
    column = len(broken.text(broken.line)) - len(broken.text(broken.line).lstrip())
    columns = sorted(_columns(broken)) or [0]
    return Explained(
        broken.line,
        f"the indentation of this line, {_spaces(column)}, fits no line above.\n"
        f"  Expected {_either(columns)}.",
    )


def _columns(broken: _Broken) -> Iterator[int]:
    """The indentations of the lines around this one that are still open, from the nearest."""
    least = None
    for line in range(broken.line - 1, 0, -1):
        written = broken.text(line)
        column = len(written) - len(written.lstrip())
        if written.strip() and not written.lstrip().startswith("#"):
            if least is None or column < least:
                least = column
                yield column
            if not column:
                return


def _spaces(count: int) -> str:
    return {0: "no space", 1: "1 space"}.get(count, f"{count} spaces")


def _either(columns: Sequence[int]) -> str:
    *head, last = map(str, columns)
    return f"{', '.join(head)} or {last} spaces" if head else _spaces(columns[0])


def _dash(broken: _Broken) -> Explained | None:
    if "sequence entries" not in broken.problem:
        return None
    return Explained(
        broken.line,
        "a list item is in the line of its name.\n"
        "  Expected it in the next line, or a list in brackets: [a, b]. A text that begins with a "
        "dash needs quotes.",
    )


def _sign(broken: _Broken) -> Explained | None:
    """A value that begins with a sign that means something else in YAML."""
    if any(word in broken.context + broken.problem for word in ("directive", "YAML document")):
        return _directive(broken)
    place = broken.found if "cannot start" in broken.problem else broken.bracket
    if "mapping keys" in broken.problem:
        place = "?"
    if not place or place not in _SIGNS:
        return None
    return Explained(
        broken.opened,
        f"a value cannot begin with {place} without quotes: it has a meaning of its own in YAML.\n"
        "  Expected quotes around the value.",
    )


def _directive(broken: _Broken) -> Explained:
    line = next((n for n, one in enumerate(broken.lines, 1) if one.startswith("%")), broken.line)
    return Explained(
        line,
        "a line that begins with % is for the parser, and a spec needs none.\n"
        "  Expected no such line, or quotes around a text.",
    )


def _value(broken: _Broken) -> Explained | None:
    """A value is missing, or something is behind one."""
    if "expected the node content" in broken.problem:
        return Explained(broken.line, f"a value is missing before {_part(broken.found)}.")
    if "expected <block end>" in broken.problem:
        return Explained(
            broken.line,
            "this line goes on after a value that is complete.\n"
            "  Expected nothing behind a closing quote, } or ].",
        )
    return None


def _part(found: str) -> str:
    return "the end" if found.startswith("<") else f'"{found}"'


# In this order: an earlier rule knows more about the mistake.
_RULES: tuple[Callable[[_Broken], Explained | None], ...] = (
    _conflict,
    _tab,
    _quote,
    _bracket,
    _space,
    _colon,
    _dash,
    _indentation,
    _sign,
    _value,
)
