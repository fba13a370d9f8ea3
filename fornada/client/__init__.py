"""What a program does with jobs: submit, follow, steer, ask. `Client` is all of it.

The command line does nothing else. What a spec is stands in `fornada.spec`; the rows of jobs are
read and written in `fornada.db`.
"""

from fornada.client.client import Client
from fornada.client.follow import Sight
from fornada.client.logs import Piece
from fornada.client.submission import Submitted, Terms

__all__ = ["Client", "Piece", "Sight", "Submitted", "Terms"]
