"""What may leave a queue of Redis: wake-ups of ours, made anew; everything else is dropped.

Whoever can push into a queue can push anything, and Celery's messages can do much: other tasks,
tasks for later that a worker hoards, callbacks and chains that publish again, compressed bodies
that grow without end. So of an element only the payload is kept, and the message that Celery sees
is our own.
"""

import base64
import json
import logging
import uuid
from collections.abc import Mapping
from queue import Empty
from types import MethodType
from typing import Any

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from fornada.spec.limits import MAX_DEPTH
from fornada.spec.wording import clip
from fornada.stack.broker import TASK

log = logging.getLogger("fornada.worker")

# Of a body as text: a spec of 256 KiB, its characters escaped, as base64, and room.
LONGEST_BODY = 4 * 2**20
# The spec, in its document, in the payload, in the body.
_DEEPEST = MAX_DEPTH + 8
_PAYLOAD = frozenset({"uid", "document"})
# How kombu writes dates and decimals, which it makes of such a mapping again when it reads.
_OBJECT = {"__type__", "__value__"}


class NoWakeUp(ValueError):  # a finding, logged and never more
    """Why an element is no wake-up."""


def only_wake_ups(channel: Any) -> None:
    """Let a consumer's channel deliver wake-ups alone, and let nothing else end the worker."""
    read, transport = channel.handlers["BRPOP"], channel.connection
    # Kombu has no other place to look at an element.
    # Each reconnect brings a new channel, but perhaps on the same transport: always from its class.
    deliver = type(transport)._deliver

    def careful_deliver(self: Any, element: object, queue: str) -> None:
        deliver(self, wake_up(element, queue), queue)

    def careful_read(**options: Any) -> Any:
        try:
            return read(**options)
        except (Empty, OSError, RedisError, OperationalError):
            # Of the queue or the connection, not of an element.
            raise
        except Exception as exc:  # noqa: BLE001 - JSON alone can fail in a dozen ways
            # It has left Redis already.
            log.warning("dropped what is no wake-up from a queue: %s", _said(exc))
            return None

    transport._deliver = MethodType(careful_deliver, transport)
    # Read by the loop, and by a channel that is closed with an answer still to come.
    channel.handlers["BRPOP"] = channel._brpop_read = careful_read


def wake_up(element: object, queue: str) -> dict[str, Any]:
    """Celery's message, made anew, with nothing of an element but its payload.

    Args:
        element: of a list in Redis, its JSON read.
        queue: where it lay.
    Raises:
        NoWakeUp: it is none.
    """
    return _message(_payload(element), queue)


def _payload(element: object) -> dict[str, Any]:
    message = _mapping(element, "element")
    task = _mapping(message.get("headers"), "header").get("task")
    if task != TASK:
        raise NoWakeUp(f"task {task!r}")
    if message.get("content-type") != "application/json":
        raise NoWakeUp(f"content type {message.get('content-type')!r}")
    body = message.get("body")
    if not isinstance(body, str) or len(body) > LONGEST_BODY:
        raise NoWakeUp("a body that is no text, or too long")
    if _mapping(message.get("properties"), "properties").get("body_encoding") == "base64":
        body = base64.b64decode(body, validate=True).decode()
    call = json.loads(body)
    if not isinstance(call, list) or len(call) != 3 or call[0] not in ([], None):
        raise NoWakeUp("a body that is no call")
    payload = dict(_mapping(call[1], "payload"))
    if not payload.keys() <= _PAYLOAD:
        raise NoWakeUp(f"payload of {sorted(payload)}")
    _inspect(payload)
    return payload


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise NoWakeUp(f"{what} is {type(value).__name__}")
    return value


def _inspect(value: dict[str, Any]) -> None:
    """Walk through all of it without recursion, which others will do with it."""
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict) and item.keys() == _OBJECT:
                raise NoWakeUp("a payload with an object")
            inner += item.values() if isinstance(item, dict) else item
        level = [item for item in inner if isinstance(item, dict | list)]
        if not level:
            return
    raise NoWakeUp("a payload that is too deep")


def _message(payload: Mapping[str, Any], queue: str) -> dict[str, Any]:
    """As Celery's protocol 2 has it, without anything that is to happen later or afterwards."""
    task_id = str(uuid.uuid4())
    call = [[], dict(payload), {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    return {
        "body": base64.b64encode(json.dumps(call).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": TASK,
            "id": task_id,
            "root_id": task_id,
            "parent_id": None,
            "group": None,
        },
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }


def _said(exc: Exception) -> str:
    return f"{type(exc).__name__}: {clip(str(exc))}"
