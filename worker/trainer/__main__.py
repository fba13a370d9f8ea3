"""`python -P -m fornada.worker.trainer`: fork trainers, or look at a spec.

    --factory-fd N              fork trainers; N is the descriptor of a socket to the worker
    build SPEC --data-root R    build the spec's model and weigh it
    data SPEC --data-root R     decode the spec's images
    pack SPEC --data-root R     decode them into packs

SPEC is a file with the effective document as JSON. `preview` says what the last three answer.
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
    if not arguments.look and arguments.factory_fd < 0:
        parser.error("--factory-fd, build, data or pack: one of them is needed")
    confine()
    if arguments.look:
        return _look(arguments)
    return _serve(arguments.factory_fd)


def _serve(factory_fd: int) -> NoReturn:
    from fornada.worker.trainer.process.keras_import import load_keras, settle_backend

    load_keras()
    from fornada.settings import Settings
    from fornada.worker.trainer.process import forking, memory
    from fornada.worker.trainer.process.pipes import Inbox, Outbox
    from fornada.worker.trainer.serve import serve

    memory.settle()
    pipes = forking.trainers(factory_fd)
    # From here on in a trainer. Its thread that reads is the first after the fork.
    inbox, outbox = Inbox(pipes.down), Outbox(pipes.up)
    settle_backend()
    settings = Settings()
    limit(settings)
    serve(inbox, outbox, settings)
    # All is reported: neither a thread of a library nor a full disk may turn this into a failure.
    os._exit(0)


def _look(arguments: argparse.Namespace) -> int:
    from fornada.worker.trainer.process.keras_import import import_keras

    import_keras()
    from fornada.worker.trainer import preview

    # What has been imported stays: the collector passes over it from now on.
    gc.freeze()
    # A library that writes to descriptor 1 writes to stderr; stdout has our answers alone.
    sys.stdout = os.fdopen(os.dup(1), "w", errors="backslashreplace")
    os.dup2(2, 1)
    looks = {"build": preview.build, "data": preview.data, "pack": preview.pack}
    return looks[arguments.look](arguments.spec, arguments.data_root)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fornada.worker.trainer", description=__doc__)
    parser.add_argument("--factory-fd", type=int, default=-1, help="socket to the worker")
    looks = parser.add_subparsers(dest="look", metavar="build|data|pack")
    for name in ("build", "data", "pack"):
        look = looks.add_parser(name)
        look.add_argument("spec", type=Path)
        look.add_argument("--data-root", type=Path, default=Path("/"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
