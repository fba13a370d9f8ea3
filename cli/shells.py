"""The scripts of the shells that complete: as Click's, but a word may go on after `=` and `.`.

Bash breaks words at `=`, and no shell of Click's can leave out the space after a completion, which
`--set fit.epochs=` and `--tag owner=ana` need.
"""

import os
from collections.abc import Mapping

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

_BASH = """\
%(complete_func)s() {
    local type value completion
    COMPREPLY=()
    while IFS= read -r completion; do
        # With nothing to complete, one empty line comes.
        [[ $completion ]] || continue
        type=${completion%%%%,*} value=${completion#*,}
        if [[ $type == 'dir' ]]; then
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            compopt -o default
        else
            [[ $value == *[=.] ]] && compopt -o nospace
            # Only the values of this option are quoted, as names of files need it.
            [[ $value == *[^[:alnum:]_.,:=@/+-]* ]] && compopt -o filenames
            COMPREPLY+=("$value")
        fi
    done < <(env COMP_WORDS="${COMP_LINE:0:$COMP_POINT}" COMP_CWORD=line \\
        COMP_WORDBREAKS="$COMP_WORDBREAKS" %(complete_var)s=bash_complete "$1")
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""
_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a plain described unfinished response
    local type key descr
    (( ! $+commands[%(prog_name)s] )) && return 1
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \\
        %(complete_var)s=zsh_complete %(prog_name)s)}")
    for type key descr in ${response}; do
        if [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        elif [[ "$key" == *[=.] ]]; then
            unfinished+=("$key")
        elif [[ "$descr" == "_" ]]; then
            plain+=("$key")
        else
            described+=("$key":"$descr")
        fi
    done
    [ -n "$unfinished" ] && compadd -U -S '' -V unsorted -a unfinished
    [ -n "$described" ] && _describe -V unsorted described -U
    [ -n "$plain" ] && compadd -U -V unsorted -a plain
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""
# Fish itself leaves out the space after `=` and `.`.
_FISH = """\
function %(complete_func)s
    for completion in (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) \\
            COMP_CWORD=(commandline -t) %(prog_name)s)
        set -l metadata (string split --max 1 "," $completion)
        switch $metadata[1]
            case dir
                __fish_complete_directories $metadata[2]
            case file
                __fish_complete_path $metadata[2]
            case '*'
                echo $metadata[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


def _bash_words(line: str, breaks: str) -> tuple[list[str], str]:
    """Split a line as bash does, up to the cursor at its end.

    >>> _bash_words("ls --tag 'a b'=c", "=")
    (['ls', '--tag', 'a b=c'], 'c')
    >>> _bash_words("ls --tag a=b\\\\ c", "= ")
    (['ls', '--tag', 'a=b c'], 'b c')
    >>> _bash_words('ls --tag "a=b ', "= ")
    (['ls', '--tag', 'a=b '], 'a=b ')

    Args:
        line: the line; its last word may be unfinished, or empty behind a space.
        breaks: the signs that end a word for readline, unless they are quoted.
    Returns:
        The words without their quotes, and the part of the last one that readline replaces by a
        completion.
    """
    words, own, before = [""], "", ""
    quote = ""
    letters = iter(line)
    for letter in letters:
        escapes = letter == "\\" and quote != "'"
        if letter == quote:
            # What was quoted belongs to the word around it.
            quote, own = "", before + own
            continue
        if not quote and letter in "'\"":
            # Readline begins its word behind a quote that is still open.
            quote, before, own = letter, own, ""
            continue
        if not quote and letter.isspace():
            if words[-1]:
                words.append("")
            own = ""
            continue
        sign = next(letters, "") if escapes else letter
        if escapes and quote and sign not in '$`"\\':
            sign = letter + sign
        words[-1] += sign
        own = "" if not (quote or escapes) and letter in breaks else own + sign
    return words, own


class _Words(ShellComplete):
    """Hands the words of the line to the functions of `fornada.cli.suggestions`."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        self.ctx_args["obj"] = args
        return super().get_completions(args, incomplete)


class _Bash(_Words, BashComplete):
    """Takes the line up to the cursor, since bash would break its words at `=`."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        if os.environ["COMP_CWORD"].isdecimal():
            # A script that an earlier version printed.
            return super().get_completion_args()
        words, _ = _bash_words(os.environ["COMP_WORDS"], "")
        return words[1:-1], words[-1] if len(words) > 1 else ""

    def complete(self) -> str:
        """The completions, each without the part that bash takes for a word of its own."""
        args, incomplete = self.get_completion_args()
        # `--tag=owner=a` is completed like `--tag owner=a`.
        typed = incomplete.partition("=")[2] if incomplete.startswith("--") else incomplete
        line, breaks = os.environ["COMP_WORDS"], os.environ.get("COMP_WORDBREAKS", "")
        own = _bash_words(line, breaks)[1] if os.environ["COMP_CWORD"] == "line" else typed
        before = typed.removesuffix(own)
        return "\n".join(
            f"{item.type},{str(item.value).removeprefix(before)}"
            for item in self.get_completions(args, incomplete)
        )


class _Zsh(_Words, ZshComplete):
    source_template = _ZSH


class _Fish(_Words, FishComplete):
    source_template = _FISH


SHELLS: Mapping[str, type[_Words]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def register() -> None:
    """Let Click use these scripts."""
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)
