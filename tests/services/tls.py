"""Servers behind TLS: authorities made here, PostgreSQL and Redis with certificates of theirs."""

import secrets
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from tests.servers import PostgresServer, RedisServer

# It makes certificates; Python alone cannot.
OPENSSL = shutil.which("openssl")
# The name in each certificate.
HOST = "localhost"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, both in PEM."""

    file: Path
    key: Path


class Authority:
    """Signs certificates. Nobody trusts it who does not name its file."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._own = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
        extensions = ("basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign")
        said = [part for each in extensions for part in ("-addext", each)]
        _openssl(
            "req", "-x509", *_KEY, "-subj", f"/CN={name}", *said, "-keyout", self._own.key,
            "-out", self._own.file,
        )  # fmt: skip

    @property
    def file(self) -> Path:
        """What a client must name to trust it."""
        return self._own.file

    def sign(self, host: str, days: int = 1) -> Certificate:
        """A certificate for a server of this name. With days below 0 it has expired."""
        signed = Certificate(self._folder / f"{host}.crt", self._folder / f"{host}.key")
        request, extensions = self._folder / f"{host}.csr", self._folder / f"{host}.ext"
        extensions.write_text(f"subjectAltName=DNS:{host}\n")
        _openssl(
            "req", "-new", *_KEY, "-subj", f"/CN={host}", "-keyout", signed.key, "-out", request
        )
        _openssl(
            "x509", "-req", "-in", request, "-CA", self._own.file, "-CAkey", self._own.key,
            "-CAcreateserial", "-days", days, "-extfile", extensions, "-out", signed.file,
        )  # fmt: skip
        return signed


def _openssl(*words: object) -> None:
    subprocess.run([str(OPENSSL), *map(str, words)], check=True, capture_output=True)


class TlsPostgres(PostgresServer):
    """A PostgreSQL that also listens on an address of this host, by TLS where it has a certificate.

    The address is one of the many of the loopback device, so that no two tests share one.
    """

    def __init__(self, certificate: Certificate | None) -> None:
        super().__init__()
        self.address = f"127.{10 + secrets.randbelow(240)}.{secrets.randbelow(256)}.7"
        self.settings["listen_addresses"] = self.address
        kind = "host"
        if certificate is not None:
            kind = "hostssl"
            self.settings |= {
                "ssl": "on",
                "ssl_cert_file": str(self._own(certificate.file)),
                "ssl_key_file": str(self._own(certificate.key)),
            }
        # In place of the rules of initdb, which let everybody in from this host without TLS.
        (self.folder / "data" / "pg_hba.conf").write_text(
            f"local all all scram-sha-256\n{kind} all all 127.0.0.0/8 scram-sha-256\n"
        )

    @property
    def has_tls(self) -> bool:
        """Whether this build of PostgreSQL was made with TLS."""
        shown = subprocess.run(
            [str(self._bin / "postgres"), "-C", "ssl_library", "-D", str(self.folder / "data")],
            user=self._account,
            extra_groups=[] if self._account else None,
            capture_output=True,
            text=True,
            check=True,
            cwd=self.folder,
        )
        return bool(shown.stdout.strip())

    def address_url(self, host: str, **options: str) -> str:
        """A URL by which it is reached as a host of this name, as a server's settings have it."""
        # libpq compares the certificate with `host`, and connects to `hostaddr`.
        given = urlencode({"hostaddr": self.address} | options)
        return f"postgresql://fornada:{self.password}@{host}:5432/postgres?{given}"

    def _own(self, file: Path) -> Path:
        ours = self.folder / file.name
        shutil.copyfile(file, ours)
        ours.chmod(0o600)
        if self._account:
            shutil.chown(ours, self._account)
        return ours


class TlsFront:
    """A way to a Redis by TLS: takes connections, shows a certificate, passes on every byte.

    The Redis of the wheels was made without TLS.
    """

    def __init__(self, redis: RedisServer, certificate: Certificate | None) -> None:
        self._redis = redis.socket
        self.password = redis.password
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate.file, certificate.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, host: str, **options: str) -> str:
        """The URL that a broker setting takes."""
        given = f"?{urlencode(options)}" if options else ""
        return f"rediss://:{self.password}@{host}:{self.port}/0{given}"

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # An SSLError, of a client that refuses the certificate, is an OSError.
        with suppress(OSError), client:
            secure = client
            if self._context is not None:
                secure = self._context.wrap_socket(client, server_side=True)
            with secure, socket.socket(socket.AF_UNIX) as server:
                server.connect(str(self._redis))
                answers = threading.Thread(target=_pass_on, args=(server, secure), daemon=True)
                answers.start()
                _pass_on(secure, server)
                answers.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while some := source.recv(2**16):
            target.sendall(some)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
