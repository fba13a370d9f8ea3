"""What a run of tests costs: processor time and wall time, by test, by kind and by file.

Processor time is what counts: it hardly depends on what else the machine does. A run that takes
more of it than `LIMIT_S` fails, so that the suite cannot become slow unnoticed.

    pytest --cost-by-file …        # a line for each file as well
    pytest --cost-limit 60 …       # fail above so many seconds of processor time

A test is charged with what its process, and every child that this has waited for, used between
the test's beginning and its end. So a fixture is charged to the first test that asks for it, and
its end to the last test of its scope; fixtures of the whole session, the servers among them, have a
line of their own. Nobody waits for a process whose parent died before it: a daemon, or a child of a
process that a test killed. Under xdist the controller adopts and reaps these, and they have a line
too; with only one process they are not counted.
"""

import ctypes
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from types import FrameType
from typing import Any

import pytest

# Seconds of processor time: what the suite may cost on a slow machine.
LIMIT_S = 75 * 60.0
# Tests that are printed.
SLOWEST = 20
# `linux/prctl.h`.
PR_SET_CHILD_SUBREAPER = 36

KINDS = ("unit", "services", "acceptance", "faults", "migrations")
SESSION = "fixtures of the session"
STARTING = "starting, imports and collecting"
ORPHANS = "processes whose parent died"


@dataclass
class Cost:
    """What something took."""

    processor_s: float = 0.0
    wall_s: float = 0.0

    def __iadd__(self, other: "Cost") -> "Cost":
        self.processor_s += other.processor_s
        self.wall_s += other.wall_s
        return self


def spent_s() -> float:
    """Processor time of this process and of the children that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def kind_of(file: str) -> str:
    """`services` of `tests/services/test_jax.py`; else the first folder, or the file."""
    parts = file.split("/")
    return next((part for part in parts[:-1] if part in KINDS), parts[0])


class Meter:
    """Measures each phase of a test in the process that runs it; the phase's report carries it."""

    def __init__(self) -> None:
        self.session = Cost()
        self._phase = Cost()
        self._since = Cost(spent_s(), time.monotonic())
        # Fixtures of the session that are being set up, one inside the other.
        self._session_fixtures = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        self._lap()
        self._phase = Cost()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        if fixturedef.scope != "session":
            return (yield)
        self._lap()
        self._session_fixtures += 1
        try:
            return (yield)
        finally:
            self._lap()
            self._session_fixtures -= 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        self._lap(session=fixturedef.scope == "session")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, Any, object]:
        report = yield
        self._lap()
        report.cost = (self._phase.processor_s, self._phase.wall_s)
        self._phase = Cost()
        return report

    def _lap(self, *, session: bool = False) -> None:
        now = Cost(spent_s(), time.monotonic())
        passed = Cost(now.processor_s - self._since.processor_s, now.wall_s - self._since.wall_s)
        self._since = now
        if session or self._session_fixtures:
            self.session += passed
        else:
            self._phase += passed


class Worker:
    """In a process of xdist: hands over what is in no report."""

    def __init__(self, config: pytest.Config, meter: Meter) -> None:
        self._config, self._meter = config, meter

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        session = self._meter.session
        given = {"session": (session.processor_s, session.wall_s), "spent_s": spent_s()}
        self._config.workeroutput["cost"] = given  # type: ignore[attr-defined]


class Orphans:
    """Adopts and reaps descendants whose parent died; only where no test runs.

    In a process that runs tests, those wait for their children themselves. A thread reaps, one
    child after the other: a signal's handler can be interrupted by the next signal's.
    """

    def __init__(self) -> None:
        self.processor_s = 0.0
        self._own: set[int] = set()
        # An item for each signal; False when the session ends.
        self._signals: SimpleQueue[bool] = SimpleQueue()
        self._reaper = Thread(target=self._reap_all, name="reaper of orphans", daemon=True)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"prctl: {os.strerror(number)}")

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_newgateway(self, gateway: Any) -> None:
        # Processes of xdist, which execnet waits for.
        self._own.add(gateway._rinfo().pid)

    def pytest_sessionstart(self) -> None:
        self._reaper.start()
        signal.signal(signal.SIGCHLD, self._signalled)

    def pytest_sessionfinish(self) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._signals.put(False)
        self._reaper.join()

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        # Safe in a handler: `SimpleQueue.put` may interrupt itself.
        self._signals.put(True)

    def _reap_all(self) -> None:
        while self._signals.get():
            for pid in _children():
                if pid not in self._own and _is_zombie(pid):
                    # Whoever started it may have waited for it meanwhile.
                    with suppress(ChildProcessError):
                        _, _, used = os.wait4(pid, 0)
                        self.processor_s += used.ru_utime + used.ru_stime


def _children() -> Iterator[int]:
    for file in Path("/proc/self/task").glob("*/children"):
        # Another thread can end meanwhile; its children pass to one that lives.
        with suppress(FileNotFoundError, ProcessLookupError):
            yield from map(int, file.read_text().split())


def _is_zombie(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # "pid (name) state …"; the name may hold brackets.
    return stat.rpartition(") ")[2].startswith("Z")


class Bill:
    """Adds up, prints, and fails a run that took too much."""

    def __init__(self, config: pytest.Config, meter: Meter, orphans: Orphans | None) -> None:
        self._meter, self._orphans = meter, orphans
        self._limit_s: float = config.getoption("cost_limit")
        self._by_file: bool = config.getoption("cost_by_file")
        self._tests: dict[str, Cost] = defaultdict(Cost)
        self._session = Cost()
        # Of the processes of xdist that told what they used in all.
        self._workers_s = 0.0
        self._began_s = time.monotonic()
        self._rows: dict[str, Cost] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A test during which its process crashed has a report without it.
        self._tests[report.nodeid] += Cost(*getattr(report, "cost", (0.0, 0.0)))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        # A process that crashed told nothing.
        told = getattr(node, "workeroutput", {}).get("cost")
        if told:
            self._session += Cost(*told["session"])
            self._workers_s += told["spent_s"]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._session += self._meter.session
        tests = sum(cost.processor_s for cost in self._tests.values())
        own = os.times()
        if self._orphans:
            # Its own only: the workers told theirs.
            spent = own.user + own.system + max(self._workers_s, tests + self._session.processor_s)
        else:
            spent = spent_s()
        self._rows = _summed(self._tests, lambda nodeid: kind_of(file_of(nodeid)))
        self._rows[SESSION] = self._session
        self._rows[STARTING] = Cost(spent - tests - self._session.processor_s)
        if self._orphans:
            self._rows[ORPHANS] = Cost(self._orphans.processor_s)
        if self._total_s() > self._limit_s and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        line = terminalreporter.write_line
        terminalreporter.section("cost")
        line("processor s    wall s  slowest tests, by processor time")
        for nodeid, cost in _costliest(self._tests)[:SLOWEST]:
            line(_row(nodeid, cost))
        if self._by_file:
            line("processor s    wall s  file")
            for file, cost in _costliest(_summed(self._tests, file_of)):
                line(_row(file, cost))
        line("processor s    wall s  kind")
        for name, cost in self._rows.items():
            line(_row(name, cost))
        line(_row("all", Cost(self._total_s(), time.monotonic() - self._began_s)))
        if self._total_s() > self._limit_s:
            line(
                f"FAILED: the run took {self._total_s():.1f} s of processor time, "
                f"more than {self._limit_s:g} s (--cost-limit). Make the costliest files cheaper.",
                red=True,
            )

    def _total_s(self) -> float:
        return sum(cost.processor_s for cost in self._rows.values())


def _summed(tests: dict[str, Cost], group: Callable[[str], str]) -> dict[str, Cost]:
    sums: dict[str, Cost] = defaultdict(Cost)
    for nodeid, cost in tests.items():
        sums[group(nodeid)] += cost
    return sums


def _costliest(costs: dict[str, Cost]) -> list[tuple[str, Cost]]:
    return sorted(costs.items(), key=lambda item: -item[1].processor_s)


def _row(name: str, cost: Cost) -> str:
    return f"{cost.processor_s:11.1f} {cost.wall_s:9.1f}  {name}"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cost", "what the tests cost")
    group.addoption("--cost-by-file", action="store_true", help="print a line for each file")
    group.addoption(
        "--cost-limit",
        type=float,
        default=LIMIT_S,
        metavar="S",
        help="fail above so many seconds of processor time (%(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    meter = Meter()
    config.pluginmanager.register(meter, "cost-meter")
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(Worker(config, meter), "cost-worker")
        return
    # Set by xdist where other processes run the tests.
    orphans = Orphans() if config.getoption("tx", None) else None
    if orphans:
        config.pluginmanager.register(orphans, "cost-orphans")
    config.pluginmanager.register(Bill(config, meter, orphans), "cost-bill")
