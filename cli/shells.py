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
    split_arg_string,
)

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' type value completion
    COMPREPLY=()
    for completion in $(env COMP_WORDS="${COMP_LINE:0:$COMP_POINT}" COMP_CWORD=line \\
            COMP_WORDBREAKS="$COMP_WORDBREAKS" %(complete_var)s=bash_complete "$1"); do
        IFS=',' read -r type value <<< "$completion"
        if [[ $type == 'dir' ]]; then
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            compopt -o default
        else
            [[ $value == *[=.] ]] && compopt -o nospace
            COMPREPLY+=("$value")
        fi
    done
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
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)[1:]
        if not words or line[-1:].isspace():
            return words, ""
        return words[:-1], words[-1]

    def complete(self) -> str:
        """The completions, each without the part that bash takes for a word of its own."""
        args, incomplete = self.get_completion_args()
        breaks = os.environ.get("COMP_WORDBREAKS", "")
        # `--tag=owner=a` is completed like `--tag owner=a`.
        typed = incomplete.partition("=")[2] if incomplete.startswith("--") else incomplete
        before = typed[: max((typed.rfind(each) for each in breaks), default=-1) + 1]
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
