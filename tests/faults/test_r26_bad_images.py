"""R26: truncated, empty, mislabelled and giant images are all named at once, before any epoch."""

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from fornada.client.submission import new_job
from fornada.db.queue import jobs
from fornada.db.reads import history
from fornada.spec import from_document
from tests.servers import PostgresServer, RedisServer
from tests.services.test_data_bad import gif
from tests.services.trainer_jobs import document, png, write_images
from tests.until import until
from tests.worker_process import Site, WorkerProcess

PIXELS = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
# MiB that the trainer may hold at most: Keras and TensorFlow take some 600, a giant thousands.
MOST_MIB = 2000


def giant() -> bytes:
    """A PNG of some bytes that says it has 3,600,000,000 pixels."""
    whole = png(PIXELS)
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]


def bad() -> dict[str, bytes]:
    """Files by their path, each bad in its own way."""
    jpeg: bytes = tf.io.encode_jpeg(PIXELS).numpy()
    return {
        "Train/a/truncated.png": png(PIXELS)[:60],
        "Train/a/truncated.jpg": jpeg[: len(jpeg) // 2],
        "Train/a/empty.png": b"",
        "Train/b/words.png": b"these are words, not pixels",
        "Train/b/webp.jpg": b"RIFF\x24\0\0\0WEBPVP8 ",
        "Train/b/giant.png": giant(),
        "Test/a/frames.gif": gif(frames=3),
        "Test/a/canvas.gif": gif(frames=1, sizes=[(65_535, 1), (1, 65_535)]),
        "Test/b/header.bmp": b"BM" + bytes(60),
    }


def test_r26_all_bad_images_are_named_at_once_before_the_first_epoch(
    postgres_server: PostgresServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    write_images(tmp_path / "Train", {"a": 4, "b": 4})
    write_images(tmp_path / "Test", {"a": 2, "b": 2})
    for name, content in bad().items():
        (tmp_path / name).write_bytes(content)
    with Site.on(postgres_server, redis_server.url) as site:
        environment = site.environment(FORNADA_DATA_ROOT=str(tmp_path))
        with WorkerProcess(site, ["--slots", "1"], environment) as worker:
            new = replace(new_job(from_document(document())), queue=site.queue)
            job_id = jobs.add(site.database, new, "test")
            peaks = [0]

            def ended() -> bool:
                peaks.append(max(_peak_mib(pid) for pid in [*site.trainers(), 0]))
                return site.state(job_id) in ("failed", "succeeded")

            until(ended, 120, saw=worker.text)
            job, epochs = site.show(job_id), history.epochs(site.database, job_id)

    failure = job["failure"]
    print(f"R26: {failure['code']} after {job['attempts']} attempt, {len(epochs)} epochs")
    print(f"R26: most that the trainer held: {max(peaks)} MiB\n{failure['message']}")
    assert (failure["code"], job["attempts"], epochs) == ("DATA_INVALID", 1, [])
    _, *lines = failure["message"].splitlines()
    assert [line.split(": ")[0] for line in lines] == sorted(bad())
    assert max(peaks) < MOST_MIB


def _peak_mib(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return int(fields.get("VmHWM", "0 kB").split()[0]) // 1024
