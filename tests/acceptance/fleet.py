"""The installed `fornada` for a server whose workers have stub trainers: quick, without Keras."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fornada.client import Client
from fornada.db.answers import JobAnswer
from fornada.db.reads import live
from tests.acceptance.installed import Fornada
from tests.acceptance.specs import small
from tests.until import until
from tests.worker_process import Site

# Seconds for a stub to do what it does, on a machine whose cores are all busy.
SOON_S = 60.0


@dataclass(frozen=True)
class Fleet:
    """A site, and the command that steers it."""

    site: Site
    fornada: Fornada

    def submit(self, folder: Path, name: str, *options: object, epochs: int = 2) -> int:
        """Queue a job that does what its name says, see `tests.stub_trainer`; its id."""
        file = small(folder, name, epochs=epochs)
        if options:
            return int(self.fornada("submit", "-q", file, *options).stdout)
        # A process for each job would slow what is looked at.
        with Client(self.site.settings) as client:
            return client.submit(file).id

    def waits(self, job_id: int) -> str:
        """Why a job waits, in the record's word."""
        return str(live.waits(self.site.database, job_id)["waits"])

    def until(self, job_id: int, seen: Callable[[JobAnswer], bool]) -> JobAnswer:
        """Wait until a job's document is as `seen` wants it."""
        show = self.site.show
        until(lambda: seen(show(job_id)), SOON_S, saw=lambda: json.dumps(show(job_id)))
        return show(job_id)

    def ended(self, job_id: int) -> JobAnswer:
        """Wait until a job is final; its document."""
        return self.site.wait(job_id, timeout_s=SOON_S)

    def runs(self, job_id: int, epoch: int = 1) -> JobAnswer:
        """Wait until a job has run an epoch; its document."""
        return self.until(job_id, lambda job: job["epochs_run"] >= epoch)


def command_of(site: Site, **settings: str) -> Fornada:
    """The command, as somebody on a host of the site uses it."""
    found = site.environment(**settings)
    ours = {name: value for name, value in found.items() if name.startswith("FORNADA_")}
    return Fornada(site.home, ours)
