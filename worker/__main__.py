"""`python -P -m fornada.worker`: the Celery process of a worker, started by the parent process."""

import sys

from fornada.worker import prctl


def main() -> int:
    """Hide this process from other processes, and only then import modules that take seconds.

    The environment holds passwords from the start, and trainers of another worker may already be
    running.
    """
    prctl.hide()
    from fornada.worker import app

    return app.main()


if __name__ == "__main__":
    sys.exit(main())
