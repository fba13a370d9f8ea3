"""`python -P -m fornada.worker`: the Celery process of a worker, started by the parent process."""

import logging
import sys

from fornada.worker import prctl

log = logging.getLogger("fornada.worker")


def main() -> int:
    """Run the Celery process until it is drained. The parent process passes `--parent`.

    First hide this process from other processes: the environment holds passwords from the start,
    and trainers of another worker may already be running. Then start the import of Keras, and only
    then import modules that take seconds.

    Returns:
        The exit code.
    """
    prctl.hide()
    from fornada.errors import SettingsError
    from fornada.worker.host.heartbeat_file import NameHeld
    from fornada.worker.host.options import EXIT_FAILED, EXIT_HELD, EXIT_USAGE, log_to_stderr, parse
    from fornada.worker.preparation import prepare
    from fornada.worker.slots.slots import SlotHeld

    options = parse(sys.argv[1:])
    if options.parent is not None:
        prctl.die_with(options.parent)
    log_to_stderr()
    try:
        prepared = prepare(options)
    except SettingsError as exc:
        log.error("%s", exc)  # noqa: TRY400 - for an operator
        return EXIT_USAGE
    except (SlotHeld, NameHeld) as exc:
        log.error("%s", exc)  # noqa: TRY400
        return EXIT_HELD
    except OSError as exc:
        # The parent starts this process again, after a pause that grows.
        log.error("cannot start in the home %s: %s", options.home, exc)  # noqa: TRY400
        return EXIT_FAILED
    from fornada.worker import app

    return app.run(prepared)


if __name__ == "__main__":
    sys.exit(main())
