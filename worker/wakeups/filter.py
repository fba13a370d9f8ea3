"""Lets only Fornada's wake-ups pass from Redis to Celery, and drops everything else.

Anybody who can push into a queue can push anything. A Celery message can run other tasks, delay
tasks, which the worker then keeps in memory, publish messages through callbacks and chains, or
carry a compressed body that has no size limit. So only the payload of an element is kept, and
Celery gets a new message that is built around it.
"""

import base64
import json
import uuid
from collections.abc import Mapping
from queue import Empty
from types import MethodType
from typing import Any

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from fornada.spec.source.limits import MAX_DEPTH
from fornada.spec.wording import clip
from fornada.stack.broker import TASK
from fornada.worker.wakeups.limited_log import BAD_WAKE_UPS

# Longest body in characters: a spec of 256 KiB with every character escaped, as base64, and more.
LONGEST_BODY = 4 * 2**20
# Deepest nesting of a payload: that of a spec, and some levels for the document around it.
_DEEPEST = MAX_DEPTH + 8
_PAYLOAD = frozenset({"uid", "document"})
# Keys of a mapping that kombu turns into a date or a decimal when it reads it.
_OBJECT = {"__type__", "__value__"}


class NoWakeUp(ValueError):
    """The reason why an element is not a wake-up."""


def only_wake_ups(channel: Any) -> None:
    """Make a consumer's channel deliver only wake-ups, and drop elements that cannot be read."""
    read, transport = channel.handlers["BRPOP"], channel.connection
    # Kombu has no other place where an element can be checked. Each reconnect makes a new channel,
    # perhaps on the same transport. So take the method of the class, which is never wrapped twice.
    deliver = type(transport)._deliver

    def careful_deliver(self: Any, element: object, queue: str) -> None:
        deliver(self, wake_up(element, queue), queue)

    def careful_read(**options: Any) -> Any:
        try:
            return read(**options)
        except (Empty, OSError, RedisError, OperationalError):
            # These are errors of the queue or the connection, not of an element.
            raise
        except Exception as exc:  # noqa: BLE001 - an element can be wrong in many ways
            # Redis has already removed the element.
            BAD_WAKE_UPS.warning("dropped an element that is not a wake-up: %s", _reason(exc))
            return None

    transport._deliver = MethodType(careful_deliver, transport)
    # Celery's loop calls the handler. A channel that is closed while it waits for an answer calls
    # `_brpop_read`.
    channel.handlers["BRPOP"] = channel._brpop_read = careful_read


def wake_up(element: object, queue: str) -> dict[str, Any]:
    """Build a new Celery message that takes only the payload from an element.

    Args:
        element: element of a list in Redis, parsed from JSON.
        queue: the queue that held it.
    Raises:
        NoWakeUp: the element is not a wake-up.
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
        raise NoWakeUp("a body that is not text, or too long")
    if _mapping(message.get("properties"), "properties").get("body_encoding") == "base64":
        body = base64.b64decode(body, validate=True).decode()
    call = json.loads(body)
    if not isinstance(call, list) or len(call) != 3 or call[0] not in ([], None):
        raise NoWakeUp("a body that is not a task call")
    payload = dict(_mapping(call[1], "payload"))
    if not payload.keys() <= _PAYLOAD:
        raise NoWakeUp(f"a payload with the keys {sorted(payload)}")
    _inspect(payload)
    return payload


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise NoWakeUp(f"{what} is {type(value).__name__}")
    return value


def _inspect(value: dict[str, Any]) -> None:
    """Check the nesting of a payload, before other code walks through it with recursion."""
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict) and item.keys() == _OBJECT:
                raise NoWakeUp("a payload with an object of kombu")
            inner += item.values() if isinstance(item, dict) else item
        level = [item for item in inner if isinstance(item, dict | list)]
        if not level:
            return
    raise NoWakeUp("a payload that is too deep")


def _message(payload: Mapping[str, Any], queue: str) -> dict[str, Any]:
    """A message of Celery's protocol 2, without a delay, callbacks or chains."""
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


def _reason(exc: Exception) -> str:
    return f"{type(exc).__name__}: {clip(str(exc))}"
