"""What a TLS library says when a server is not the one that was asked for, and what to do then."""

import re
from enum import Enum


class TlsProblem(Enum):
    """Why a connection by TLS was given up. The value is what to do.

    In it, {url} is the setting that holds the URL, and {authority} the option of the URL that names
    the file of the authority.
    """

    EXPIRED = "The server's certificate has expired: give the server a new one."
    NAME = (
        "The server's certificate is for another host name: write into {url} a name that the "
        "certificate has, or give the server a certificate for this one."
    )
    # libpq gives no reason for a certificate that it does not trust.
    UNTRUSTED = (
        "No authority that this host trusts has signed the server's certificate, or it has "
        "expired: name the file of the authority as {authority} in {url}, give the server a new "
        "certificate, or see who answers at this address."
    )
    FILE = (
        "The file of the authority does not exist on this host: copy it here, and name it as "
        "{authority} in {url}."
    )
    PLAIN = (
        "The server does not speak TLS at this port, and {url} wants TLS: switch it on there, or "
        "see who answers at this address."
    )
    SILENT = (
        "A server that does not speak TLS at this port does not answer a client that does: switch "
        "TLS on there, or see who listens at this address."
    )
    WANTED = "The server wants TLS: write ?sslmode=verify-full&{authority}=FILE into {url}."

    def todo(self, url: str, authority: str) -> str:
        """What to do, in a sentence.

        Args:
            url: the setting that holds the URL of the server.
            authority: the option of the URL that names the file of the authority.
        """
        return self.value.format(url=url, authority=authority)


# The first that fits counts: a verification that failed also says why.
_SAID = {
    TlsProblem.EXPIRED: r"certificate has expired",
    TlsProblem.NAME: r"does not match host name|[Hh]ostname mismatch|IP address mismatch",
    TlsProblem.UNTRUSTED: r"certificate verify failed",
    # The Python library says only that it opened a file while it connected to HOST:PORT.
    TlsProblem.FILE: r"root certificate file .* does not exist|Error 2 connecting to \S+:\d+\.",
    TlsProblem.PLAIN: r"server does not support SSL|WRONG_VERSION_NUMBER",
    TlsProblem.WANTED: r"no pg_hba\.conf entry .*no encryption",
}


# How a connection ends to a server that takes the first bytes of TLS for the begin of a command.
_NO_ANSWER = r"[Tt]imeout|timed out|closed|reset by peer|EOF"


def problem(reason: str, *, by_tls: bool = False) -> TlsProblem | None:
    """What is wrong with TLS, as far as a driver's message says it; None for another reason.

    Args:
        reason: what the driver says.
        by_tls: whether the URL wants TLS and the server, asked by it, has not answered.

    >>> problem('server certificate for "a" does not match host name "b"').name
    'NAME'
    >>> problem("Connection refused")
    """
    found = next((kind for kind, said in _SAID.items() if re.search(said, reason)), None)
    silent = by_tls and re.search(_NO_ANSWER, reason)
    return found or (TlsProblem.SILENT if silent else None)
