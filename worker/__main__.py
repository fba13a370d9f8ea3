"""`python -P -m fornada.worker`: the Celery process of a worker, as its parent starts it."""

import sys

from fornada.worker import prctl


def main() -> int:
    """Close this process to its neighbours, and only then import what takes seconds.

    Its environment holds passwords from the start, and trainers of another worker run already.
    """
    prctl.hide()
    from fornada.worker import app

    return app.main()


if __name__ == "__main__":
    sys.exit(main())
