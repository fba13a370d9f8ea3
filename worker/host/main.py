"""`fornada-worker`: a small parent process that keeps a Celery process running, and ends it.

The Celery process may hang or end with an error, and Celery ignores a second SIGTERM. So the parent
watches it. The parent can be process 1 of a container, because it reaps the processes that it
inherits.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fornada.worker import control_groups, prctl
from fornada.worker.host import heartbeat_file
from fornada.worker.host.hangs import LOOK_S, HangGuard, check
from fornada.worker.host.held_name import FIRST_PAUSE_S, LONGEST_PAUSE_S, HeldName
from fornada.worker.host.options import (
    EXIT_DRAIN_REQUESTED,
    EXIT_HELD,
    EXIT_USAGE,
    REFUSALS,
    Options,
    log_to_stderr,
    parse,
)

log = logging.getLogger("fornada.worker")

STOPPING = frozenset({signal.SIGTERM, signal.SIGINT})
# A Celery process that ran for so long was healthy: the next pause is the first one again.
HEALTHY_S = 60.0
# Trainers end with the process that started them. Those that still run after this time are killed.
ORPHANS_S = 2.0


def main() -> None:
    """Run the worker until it is told to stop."""
    prctl.hide()
    arguments = sys.argv[1:]
    options = parse(arguments)
    if options.check:
        healthy, sentence = check(options.home, options.name if options.named else None)
        print(sentence)
        sys.exit(0 if healthy else 1)
    log_to_stderr()
    if options.adopt_artifacts:
        # Imports the database, which a parent that stays does not.
        from fornada.worker.host.adoption import adopt_artifacts

        sys.exit(adopt_artifacts())
    sys.exit(_run(options, arguments))


def _run(options: Options, arguments: Sequence[str]) -> int:
    held = HeldName(options.home, options.name)
    # Before there are other processes: they then begin in the same group.
    control_groups.enter()
    try:
        code = Parent(arguments, held).run()
    except heartbeat_file.NameHeld as exc:
        log.error("%s", exc)  # noqa: TRY400 - for an operator
        return EXIT_HELD
    except OSError as exc:
        log.error(  # noqa: TRY400
            "the home %s cannot be used: %s; set FORNADA_HOME to a folder that this account may "
            "write to",
            options.home,
            exc,
        )
        return EXIT_USAGE
    if code == 0 or code in REFUSALS:
        held.give_up()
    # Else its jobs may not know that they have lost their worker: the file that nobody locks any
    # more tells it to the next worker of this home.
    return code


class Parent:
    """Starts and restarts the Celery process, passes signals on, and leaves no process behind.

    Args:
        arguments: command line arguments, which the Celery process gets too.
        held: the name of the worker.
    """

    def __init__(self, arguments: Sequence[str], held: HeldName) -> None:
        self._arguments = arguments
        self._held = held
        self._begun = time.monotonic()
        # The signals that asked this worker to stop.
        self._asked: list[signal.Signals] = []
        self._stopping = set(STOPPING)
        # SIGHUP, sent when the terminal closes, also drains, unless nohup made this process ignore
        # it.
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            self._stopping.add(signal.SIGHUP)

    def run(self) -> int:
        """Keep a Celery process running until a signal ends it.

        Returns:
            Exit code: 0 after a drain, 1 when the child failed while it drained, 128 + signal after
            a second signal, the child's own code when it refused to run.
        Raises:
            NameHeld: a living worker has the name.
            OSError: the home cannot be used, see `HeldName.take`.
        """
        prctl.adopt_orphans()
        # Blocked signals wait for `sigtimedwait`, also in process 1, which ignores them by default.
        signal.pthread_sigmask(signal.SIG_BLOCK, self._stopping | {signal.SIGCHLD})
        pause_s = FIRST_PAUSE_S
        while True:
            # Again after each end: somebody may have removed the home meanwhile.
            if not self._held.take(self._stopped_within):
                return 0
            begin = time.monotonic()
            code = self._watch(self._spawn())
            self._sweep()
            if self._asked:
                return self._exit_code(code)
            if code in REFUSALS:
                return code
            if code == EXIT_DRAIN_REQUESTED:
                return 0
            if time.monotonic() - begin > HEALTHY_S:
                pause_s = FIRST_PAUSE_S
            log.error("the Celery process ended with %d; it starts again in %.0f s", code, pause_s)
            if self._stopped_within(pause_s):
                return 0
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _spawn(self) -> int:
        # A session of its own, so that Ctrl-C reaches only this parent, which passes it on.
        return os.posix_spawn(
            sys.executable,
            self._command(),
            os.environ,
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGINT, signal.SIGTERM],
        )

    def _command(self) -> list[str]:
        # -P: the current folder must not be able to replace a module.
        program = [sys.executable, "-P", "-m", "fornada.worker", "--parent", str(os.getpid())]
        known = ["--begun", str(self._begun), "--heartbeat", str(self._held.descriptor)]
        return [*program, *known, *self._arguments]

    def _watch(self, child: int) -> int:
        """Pass signals on until the child has ended, by itself or because it hangs.

        Returns:
            Its exit code, negative for a signal.
        """
        guard = HangGuard(child, self._held.descriptor)
        while True:
            found = signal.sigtimedwait(self._stopping | {signal.SIGCHLD}, LOOK_S)
            if found is not None and found.si_signo in self._stopping:
                self._pass_on(signal.Signals(found.si_signo), child)
            elif (code := _reap().get(child)) is not None:
                return code
            guard.look()
            if not self._asked and self._held.may_retake:
                guard.restart("the home was replaced")

    def _pass_on(self, caught: signal.Signals, child: int) -> None:
        if caught is signal.SIGHUP and self._asked:
            # A terminal that closes sends SIGHUP twice: the shell does, and the kernel when the
            # shell ends. Together they mean one drain.
            return
        self._asked.append(caught)
        if len(self._asked) == 1:
            log.info("%s: draining; a second signal ends everything at once", caught.name)
            os.kill(child, signal.SIGTERM)
        else:
            log.warning("%s again: ending at once", caught.name)
            os.killpg(child, signal.SIGKILL)

    def _exit_code(self, code: int) -> int:
        if len(self._asked) > 1:
            return 128 + self._asked[-1]
        # SIGTERM ends a process in which Celery has not set its handler yet: no job was running.
        return 0 if code in (0, -signal.SIGTERM) else 1

    def _stopped_within(self, pause_s: float) -> bool:
        end = time.monotonic() + pause_s
        while (left := end - time.monotonic()) > 0:
            found = signal.sigtimedwait(self._stopping | {signal.SIGCHLD}, left)
            if found is not None and found.si_signo in self._stopping:
                return True
            _reap()
        return False

    def _sweep(self) -> None:
        """Wait until every adopted process has ended; after `ORPHANS_S`, kill those that run."""
        end = time.monotonic() + ORPHANS_S
        logged: list[int] = []
        while orphans := _children():
            if time.monotonic() > end:
                # A killed process that waits in a driver ends late, and this loop kills it again.
                # It is logged only once.
                if orphans != logged:
                    log.warning("killing the processes that are left: %s", orphans)
                logged = orphans
                for orphan in orphans:
                    os.kill(orphan, signal.SIGKILL)
            signal.sigtimedwait({signal.SIGCHLD}, 0.1)
            _reap()


def _reap() -> dict[int, int]:
    """Wait for children that have ended: process id to exit code."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def _children() -> list[int]:
    """Process ids of all children, also of those that have ended."""
    me = str(os.getpid())
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # "pid (name) state ppid …"; the name may hold spaces and brackets.
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[1] == me:
            found.append(int(stat.parent.name))
    return found


if __name__ == "__main__":
    main()
