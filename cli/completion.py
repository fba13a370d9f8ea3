"""The completion command: scripts that complete commands and their values in bash, zsh, fish."""

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    It completes commands, options, job ids, tags, queues, workers, and the paths in a spec that
    `fornada submit --set` takes.

    \b
    Examples:
      eval "$(fornada completion bash)"        # in ~/.bashrc
      eval "$(fornada completion zsh)"         # in ~/.zshrc
      fornada completion fish > ~/.config/fish/completions/fornada.fish
    """
    from fornada.cli.main import COMPLETION, fornada
    from fornada.cli.shells import SHELLS as SCRIPTS

    script = SCRIPTS[shell](fornada, {}, "fornada", COMPLETION)
    # Not script.source(): for bash it would run bash to check its version.
    click.echo(script.source_template % script.source_vars())
