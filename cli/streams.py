"""Standard streams that never raise: what cannot be written is remembered, and told at the end.

A command that changes jobs must not stop halfway because nobody can read its answer, so a write
that fails raises nothing. `main` asks at the end whether an answer was lost.
"""

import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from typing_extensions import Buffer

STDIN, STDOUT, STDERR = 0, 1, 2


class _Descriptor(io.FileIO):
    """Writes to a descriptor until a write fails; what is written after that is dropped."""

    # Why a write failed; None while none has.
    failure: OSError | None = None

    def write(self, data: "Buffer", /) -> int:
        if self.failure is None:
            try:
                return self._write(data)
            except OSError as error:
                self.failure = error
        return memoryview(data).nbytes

    def _write(self, data: "Buffer") -> int:
        # None: the stream does not block, and its reader is slow. Another program that has the
        # same terminal may have set this.
        while (count := super().write(data)) is None:
            select.select([], [self], [])
        return count


class Streams:
    """stdout and stderr of this process, and what was lost because they could not be written.

    Attributes:
        of_stdout: what to print on stderr if stdout could not be written: the new jobs.
        of_stderr: what to print on stdout if stderr could not be written.
    """

    def __init__(self) -> None:
        _open_closed_descriptors()
        self._out = _Descriptor(STDOUT, "w", closefd=False)
        self._err = _Descriptor(STDERR, "w", closefd=False)
        self.of_stdout: list[str] = []
        self.of_stderr: list[str] = []
        self._answers = [self._out]
        # stderr is written line by line, stdout only on a terminal.
        sys.stdout = _text(self._out, sys.stdout, lines=self._out.isatty())
        sys.stderr = _text(self._err, sys.stderr, lines=True)

    def answer_on_stderr(self) -> None:
        """Say that what was written on stderr is an answer, which must not get lost."""
        if self._err not in self._answers:
            self._answers.append(self._err)

    def stdout_failed(self) -> bool:
        """Whether nobody gets what is written to stdout: a write has failed."""
        sys.stdout.flush()
        return self._out.failure is not None

    def stderr_failed(self) -> bool:
        """Whether nobody gets what is written to stderr."""
        sys.stderr.flush()
        return self._err.failure is not None

    def lost(self) -> str | None:
        """Why an answer was lost; None if none was, or if its reader closed the pipe.

        A reader such as `head` closes the pipe when it has enough lines.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        for stream in self._answers:
            if stream.failure is not None and stream.failure.errno != errno.EPIPE:
                name = "stdout" if stream is self._out else "stderr"
                return f"{name} cannot be written: {_why(stream.failure)}"
        return None


def _why(failure: OSError) -> str:
    return "it is closed" if failure.errno == errno.EBADF else str(failure.strerror)


def _open_closed_descriptors() -> None:
    """Give a descriptor that is closed to a stream that can be neither read nor written.

    Otherwise the next file that is opened would get its number, and what is meant for stdout would
    be written into that file.
    """
    for number in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is given, and all lower ones are open.
            os.open(os.devnull, os.O_WRONLY if number == STDIN else os.O_RDONLY)
            if number == STDIN:
                sys.stdin = open(STDIN, closefd=False)  # noqa: SIM115


def _text(raw: _Descriptor, before: TextIO | None, *, lines: bool) -> io.TextIOWrapper:
    """A text stream with the encoding of the one before; it writes any text.

    A character that the encoding lacks is written as an escape sequence.
    """
    encoding = getattr(before, "encoding", None) or "utf-8"
    errors = getattr(before, "errors", None)
    if errors != "surrogateescape" or not encoding.lower().startswith("utf"):
        errors = "backslashreplace"
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=lines
    )


def current() -> Streams | None:
    """The streams that `main` has set up; None if it does not run, as in a test of a function."""
    context = click.get_current_context(silent=True)
    return context.find_object(Streams) if context is not None else None
