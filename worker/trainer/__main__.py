"""`python -P -m fornada.worker.trainer`: serve jobs over pipes, or look at a spec.

    python -P -m fornada.worker.trainer --up-fd N                  serve jobs; stdin is the down
    pipe python -P -m fornada.worker.trainer build SPEC --data-root R   build the spec's model and
    weigh it python -P -m fornada.worker.trainer data SPEC --data-root R    decode the spec's images
    python -P -m fornada.worker.trainer pack SPEC --data-root R    pack them

SPEC is a file with the effective document as JSON. The last three exit with 0, or with 3 for a
spec whose model or data are wrong.
"""

import argparse
import gc
import os
import sys
from pathlib import Path
from typing import NoReturn

from fornada.worker.trainer.process.confine import confine, limit


def main() -> int:
    """Read the arguments, confine the process, and only then import Keras."""
    parser = _parser()
    arguments = parser.parse_args()
    if not arguments.look and arguments.up_fd < 0:
        parser.error("--up-fd, build, data or pack: one of them is needed")
    confine()
    if arguments.look:
        return _look(arguments)
    return _serve(arguments.up_fd)


def _serve(up_fd: int) -> NoReturn:
    from fornada.worker.trainer.process.keras_import import import_keras
    from fornada.worker.trainer.process.pipes import Inbox, Outbox

    outbox = Outbox(up_fd)
    # Before Keras, which takes seconds: a supervisor that ends meanwhile must end us too.
    inbox = Inbox(sys.stdin.fileno())
    import_keras()
    from fornada.settings import Settings
    from fornada.worker.trainer.serve import serve

    settings = Settings()
    limit(settings)
    serve(inbox, outbox, settings)
    # All is reported: neither a thread of a library nor a full disk may turn this into a failure.
    os._exit(0)


def _look(arguments: argparse.Namespace) -> int:
    from fornada.worker.trainer.process.keras_import import import_keras

    import_keras()
    from fornada.worker.trainer import dry_run

    # What has been imported stays: the collector passes over it from now on.
    gc.freeze()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    looks = {"build": dry_run.build, "data": dry_run.data, "pack": dry_run.pack}
    return looks[arguments.look](arguments.spec, arguments.data_root)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fornada.worker.trainer", description=__doc__)
    parser.add_argument("--up-fd", type=int, default=-1, help="file descriptor of the up pipe")
    looks = parser.add_subparsers(dest="look", metavar="build|data|pack")
    for name in ("build", "data", "pack"):
        look = looks.add_parser(name)
        look.add_argument("spec", type=Path)
        look.add_argument("--data-root", type=Path, default=Path("/"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
