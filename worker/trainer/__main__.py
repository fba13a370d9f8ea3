"""`python -P -m fornada.worker.trainer`: fork trainers, or preview a spec.

    --factory-fd N              fork trainers; N is the descriptor of a socket to the worker
    build SPEC --data-root R    build the spec's model and compute its size
    data SPEC --data-root R     decode the spec's images
    pack SPEC --data-root R     decode them into packs

SPEC is a file with the effective document as JSON. `preview.py` describes the answers of the last
three.
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
        parser.error("expected one of --factory-fd, build, data, pack")
    confine()
    if arguments.look:
        return _preview(arguments)
    return _serve(arguments.factory_fd)


def _serve(factory_fd: int) -> NoReturn:
    from fornada.worker.trainer.process.keras_import import load_keras, settle_backend

    load_keras()
    from fornada.settings import Settings
    from fornada.worker.trainer.process import forking, memory
    from fornada.worker.trainer.process.pipes import Inbox, Outbox
    from fornada.worker.trainer.serve import serve

    memory.freeze()
    pipes = forking.trainers(factory_fd)
    # From here on this process is a trainer. The reading thread of `Inbox` is its first thread.
    inbox, outbox = Inbox(pipes.down), Outbox(pipes.up)
    settle_backend()
    settings = Settings()
    limit(settings)
    serve(inbox, outbox, settings)
    # Everything is reported. A thread of a library or a full disk must not make the exit fail.
    os._exit(0)


def _preview(arguments: argparse.Namespace) -> int:
    from fornada.worker.trainer.process.keras_import import import_keras

    import_keras()
    from fornada.worker.trainer import preview

    # Imported objects stay for good, so the garbage collector need not check them.
    gc.freeze()
    # What libraries write to descriptor 1 goes to stderr, so stdout holds only the answers.
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
