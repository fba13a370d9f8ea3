"""Elements of a Redis list that are no wake-ups of ours: what hostile publishers push."""

import base64
import json
import os
import pickle
import zlib
from collections.abc import Callable
from typing import Any

from fornada.stack.broker import TASK

PICKLE = "application/x-python-serialize"


class _Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self._command,)


def pickled(command: str) -> bytes:
    """A pickle that runs a command."""
    return pickle.dumps(_Runs(command))


def element(
    body: bytes | None = None,
    *,
    payload: Any = None,
    args: Any = (),
    embed: Any = None,
    content_type: str = "application/json",
    encoding: str = "utf-8",
    properties: Any = None,
    task: Any = TASK,
    **headers: Any,
) -> str:
    """An element as Celery publishes one, with what a test changes."""
    call = [args, {} if payload is None else payload, embed or {}]
    content = json.dumps(call).encode() if body is None else body
    ours = {
        "correlation_id": "1",
        "delivery_info": {"exchange": "", "routing_key": "x"},
        "delivery_tag": "1",
        "body_encoding": "base64",
    }
    return json.dumps(
        {
            "body": base64.b64encode(content).decode(),
            "content-encoding": encoding,
            "content-type": content_type,
            "headers": {"task": task, "id": "1", "lang": "py"} | headers,
            "properties": ours if properties is None else properties,
        }
    )


def hostile(command: str) -> dict[str, str | bytes]:
    """Elements by what they try; `command` must never run."""
    signature = {"task": "os.system", "args": [command], "kwargs": {}, "options": {}}
    again = {"task": TASK, "args": [], "kwargs": {}, "options": {"serializer": "pickle"}}
    code = f"__import__('os').system({command!r})"
    return {
        "words": "not json",
        "nothing": "",
        "no UTF-8": b"\xff\xfe\x00",
        "an empty mapping": "{}",
        "a list": "[1]",
        "null": "null",
        "a number": "7",
        "a number without end": "9" * 10_000,
        "not a number": '{"body": NaN}',
        "deeper than any stack": "[" * 200_000,
        "deep and closed": "[" * 50_000 + "]" * 50_000,
        "a decimal that is none": '{"__type__": "decimal", "__value__": "x"}',
        "a date that is none": '{"__type__": "datetime", "__value__": []}',
        "an unhashable type": '{"__type__": [], "__value__": 1}',
        "a body that is a number": '{"body": 1, "properties": {}}',
        "no delivery tag": element(properties={}),
        "properties that are a list": element(properties=[1]),
        "a delivery tag that is a mapping": element(
            properties={"delivery_tag": {}, "delivery_info": {}, "body_encoding": "base64"}
        ),
        "delivery information of another kind": element(
            properties={"delivery_tag": "1", "delivery_info": 7, "body_encoding": "base64"}
        ),
        "a body in no base64": element().replace('"body": "', '"body": "!!!'),
        "a pickle": element(pickled(command), content_type=PICKLE, encoding="binary"),
        "a pickle that says it is JSON": element(pickled(command)),
        "YAML": element(
            f"!!python/object/apply:os.system [{command!r}]".encode(),
            content_type="application/x-yaml",
        ),
        "another task": element(args=[command], task="os.system"),
        "a task of Celery's": element(args=[signature], task="celery.map"),
        "a task that is a list": element(task=[TASK]),
        "code in arguments": element(args=[code]),
        "code in the payload": element(payload={"uid": code}),
        "a deep payload": element(b'[[], {"document": ' + b"[" * 900 + b"]" * 900 + b"}, {}]"),
        "a deeper payload": element(b"[" * 100_000),
        "a decimal in the payload": element(
            payload={"document": {"__type__": "decimal", "__value__": "x"}}
        ),
        "a body that is no call": element(b"7"),
        "a call without arguments": element(b"[]"),
        "a payload that is a list": element(payload=[1]),
        "an unknown argument": element(payload={"x": 1}),
        "for the year 2099": element(eta="2099-01-01T00:00:00+00:00"),
        "a time that is none": element(eta="soon", expires="never"),
        "callbacks": element(embed={"callbacks": [signature], "errbacks": [signature]}),
        "a chain": element(embed={"chain": [again] * 3}),
        "a chord": element(embed={"chord": again}),
        "a bomb": element(zlib.compress(bytes(2**26)), compression="application/x-gzip"),
        "a compression that is none": element(compression="x"),
        "an encoding that is none": element(encoding="x"),
        "limits of time": element(timelimit=[0, 0]),
        "a reply that is wanted": element(reply_to="x", ignore_result=False),
        "stamps": element(stamped_headers=["x"], stamps={"x": "y"}),
        "a megabyte": element(payload={"document": {"x": "y" * 700_000}}),
    }
