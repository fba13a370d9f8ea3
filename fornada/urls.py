"""URLs of servers: which ones every library reads alike, and how one is shown.

SQLAlchemy, kombu and Python each split a URL by rules of their own when a password contains a
character that separates parts of a URL. So such a character must be percent-encoded.
"""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

# The path of such a URL is that of a socket file.
SOCKET = "redis+socket"
DEFAULT_REDIS_PORT = 6379
ENCODE = (
    "in a user name or password, write % as %25, / as %2F, ? as %3F, # as %23, @ as %40, "
    "[ as %5B, ] as %5D and a space as %20"
)
# What ends or splits the part with user name and password, or is dropped by a library.
_SEPARATES = re.compile(r"[/?#@\[\]\s\x00-\x1f\x7f]|%(?![0-9A-Fa-f]{2})")
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f]")
_AFTER_AUTHORITY = re.compile(r"[/?#]")
# Keys of a query that mean the same as another part of the URL.
_REDIS_KEYS = ("username", "password", "db", "virtual_host")
# Further keys for Redis behind TLS, as redis-py knows them.
_TLS_KEYS = (
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
    "ssl_password",
)
_CERTIFICATES = ("required", "optional", "none")


def scheme(url: str) -> str:
    """The scheme of a URL; empty for a text that is no URL."""
    name, separator, _ = url.partition("://")
    return name.lower() if separator else ""


def problems(url: str) -> list[str]:
    """What makes a URL of a server unreadable. No sentence repeats a part of it.

    >>> problems("redis://:secret@host:6379/0")
    []
    >>> problems("postgresql://ana:secret@host:port/name?x")
    ['its port is not a number up to 65535', 'write a ? that begins no option as %3F']
    """
    return list(_problems(url))


def file_problems(url: str) -> list[str]:
    """What makes a URL of an SQLite file unreadable.

    >>> file_problems("sqlite:////srv/why?.db")
    ['write a ? that begins no option as %3F']
    """
    return list(_no_options(url))


def redis_problems(url: str) -> list[str]:
    """What makes a URL of Redis unreadable.

    >>> redis_problems("redis://host/zero?timeout=3")[1]
    'its only options are username, password, db, virtual_host'
    >>> redis_problems("rediss://host?ssl_cert_reqs=maybe")
    ['ssl_cert_reqs is required, optional or none']
    """
    found = problems(url)
    if found:
        return found
    parts = urlsplit(url)
    options = _options(parts)
    on_socket = parts.scheme == SOCKET
    numbers = [options.get("db"), options.get("virtual_host")]
    numbers += [] if on_socket else [unquote(parts.path)]
    if any(number and not number.strip("/").isdecimal() for number in numbers if number != "/"):
        found.append("the path after the host is the number of a database of Redis, such as /0")
    known = _REDIS_KEYS + (_TLS_KEYS if parts.scheme == "rediss" else ())
    if not options.keys() <= set(known):
        found.append(f"its only options are {', '.join(known)}")
    if options.get("ssl_cert_reqs", _CERTIFICATES[0]) not in _CERTIFICATES:
        found.append("ssl_cert_reqs is required, optional or none")
    return found


def canonical(url: str) -> str:
    """The same URL of Redis, written so that kombu reads it as it is meant.

    Args:
        url: a URL without `redis_problems`.

    >>> canonical("redis://host?password=a;b&db=2")
    'redis://:a%3Bb@host:6379/2'
    >>> canonical("redis+socket://:p@/run/my redis.sock")
    'redis+socket://:p@/run/my%20redis.sock?virtual_host=0'
    """
    parts = urlsplit(url)
    options = _options(parts)
    user = options.get("username") or unquote(parts.username or "")
    password = options.get("password") or unquote(parts.password or "")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    number = options.get("virtual_host") or options.get("db")
    # Kombu would otherwise accept any certificate.
    tls = {"ssl_cert_reqs": _CERTIFICATES[0]} if parts.scheme == "rediss" else {}
    tls |= {key: value for key, value in options.items() if key in _TLS_KEYS}
    if parts.scheme == SOCKET:
        place = quote(unquote(parts.path))
        return f"{SOCKET}://{login}{place}?virtual_host={(number or '0').strip('/')}"
    number = (number or unquote(parts.path)).strip("/") or "0"
    query = f"?{urlencode(tls)}" if tls else ""
    return f"{parts.scheme}://{login}{_place(parts)}/{number}{query}"


def shown(url: str) -> str:
    """A URL of Redis for a person: without user, password and options.

    >>> shown("redis://ana:secret@host/2?ssl_certfile=x")
    'redis://host:6379/2'
    """
    parts = urlsplit(canonical(url))
    if parts.scheme == SOCKET:
        return f"{SOCKET}://{unquote(parts.path)}"
    return f"{parts.scheme}://{_place(parts)}{parts.path}"


def passwords(url: str) -> set[str]:
    """The passwords that a URL contains, as they are meant and as they are written."""
    parts = urlsplit(url)
    found = {parts.password or "", unquote(parts.password or "")}
    found |= {value for key, value in parse_qsl(parts.query) if "password" in key.lower()}
    return found - {""}


def _problems(url: str) -> Iterator[str]:
    name, _, rest = url.partition("://")
    end = _AFTER_AUTHORITY.search(rest)
    authority = rest[: end.start()] if end else rest
    login, at, host = authority.rpartition("@")
    after = rest[len(authority) :]
    # A separator in a password ends the part before the host too early, and the @ comes later.
    if "@" in after and (name != SOCKET or (authority and not at)):
        yield ENCODE
        return
    try:
        unquote(login, errors="strict").encode()
    except UnicodeError:
        yield "a user name or password is not UTF-8 after percent-decoding"
    blanks = _BLANKS.search(after if name != SOCKET else after.replace(" ", ""))
    if _SEPARATES.search(login) or blanks:
        yield ENCODE
    elif "#" in after:
        yield "write # as %23"
    port = host.rpartition("]")[2].partition(":")[2]
    if port and not (port.isascii() and port.isdecimal() and int(port) < 2**16):
        yield "its port is not a number up to 65535"
    else:
        try:
            (urlsplit(url).hostname or "").encode("idna")
        except ValueError:
            yield "its host is not a name or an address"
    yield from _no_options(after)


def _no_options(url: str) -> Iterator[str]:
    _, mark, query = url.partition("?")
    if mark and any("=" not in option for option in query.split("&")):
        yield "write a ? that begins no option as %3F"


def _options(parts: SplitResult) -> Mapping[str, str]:
    return dict(parse_qsl(parts.query))


def _place(parts: SplitResult) -> str:
    host = parts.hostname or "localhost"
    return f"{f'[{host}]' if ':' in host else host}:{parts.port or DEFAULT_REDIS_PORT}"
