"""Reads what a PostgreSQL client says, as far as a commit and the statements before it.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

import struct

# Of the first message, which alone has no type.
LENGTH = struct.Struct(">I")
HEAD = struct.Struct(">cI")
COMMIT = b"COMMIT"


class Frontend:
    """One connection, from its first byte."""

    def __init__(self) -> None:
        self._unread = b""
        self._begun = False
        # Prepared statements by name: a client that repeats one sends its text only once.
        self._prepared: dict[bytes, bytes] = {}
        self._transaction: list[bytes] = []

    def read(self, data: bytes) -> bytes | None:
        """Take what came.

        Returns:
            The statements of a transaction that it commits, in lines; None when it does not.
        """
        self._unread += data
        committed = None
        while (message := self._next()) is not None:
            kind, body = message
            statement = self._statement(kind, body)
            if statement is None:
                continue
            if statement.strip().upper() == COMMIT:
                committed = b"\n".join(self._transaction)
            if statement.strip().upper().startswith((COMMIT, b"BEGIN", b"ROLLBACK")):
                self._transaction = []
            else:
                self._transaction.append(statement)
        return committed

    def _next(self) -> tuple[bytes, bytes] | None:
        head = HEAD.size if self._begun else LENGTH.size
        if len(self._unread) < head:
            return None
        if self._begun:
            kind, length = HEAD.unpack_from(self._unread)
        else:
            kind, (length,) = b"", LENGTH.unpack_from(self._unread)
        end = length + len(kind)
        if len(self._unread) < end:
            return None
        body, self._unread = self._unread[head:end], self._unread[end:]
        self._begun = True
        return kind, body

    def _statement(self, kind: bytes, body: bytes) -> bytes | None:
        if kind == b"Q":
            return body.rstrip(b"\0")
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self._prepared[name] = text
        if kind == b"B":
            _, name, _ = body.split(b"\0", 2)
            return self._prepared.get(name, b"")
        return None
