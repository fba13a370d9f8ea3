"""Overrides such as `data.batch_size=128`, laid over a spec before it is read."""

from collections.abc import Sequence

from fornada.spec.nodes import Node
from fornada.spec.reading import Reading


def apply(root: Node, overrides: Sequence[str], reading: Reading) -> Node:
    """The spec with the overrides."""
    return root
