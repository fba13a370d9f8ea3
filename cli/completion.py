"""The completion command: scripts that complete commands and options in bash, zsh and fish."""

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      eval "$(fornada completion bash)"        # in ~/.bashrc
      eval "$(fornada completion zsh)"         # in ~/.zshrc
      fornada completion fish > ~/.config/fish/completions/fornada.fish
    """
    from click.shell_completion import get_completion_class

    from fornada.cli.main import COMPLETION, fornada

    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click.Choice accepts only these three shells
    script = found(fornada, {}, "fornada", COMPLETION)
    # Not script.source(): for bash it would run bash to check its version.
    click.echo(script.source_template % script.source_vars())
