"""The Python client: `Client` submits jobs, follows them, steers them and reads their history.

The command line uses nothing else for this. `fornada.spec` defines specs, and `fornada.db` reads
and writes the rows of jobs.
"""

from fornada.client.client import Client
from fornada.client.follow import Progress
from fornada.client.logs import Piece
from fornada.client.submission import Submitted, Terms

__all__ = ["Client", "Piece", "Progress", "Submitted", "Terms"]
