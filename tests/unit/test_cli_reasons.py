"""Why a job waits: the word of a document, and what it means in a sentence."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from fornada.cli.reasons import clock, dated, sentence, word
from fornada.db.reasons import (
    After,
    Backoff,
    Held,
    HostAvoided,
    NeedsGpu,
    NotBefore,
    NoWorker,
    Priority,
    QueueFull,
    QueuePaused,
    Reason,
    SlotsBusy,
    Unfit,
    WorkersUnfit,
)

TEN = datetime(2026, 3, 1, 22, tzinfo=UTC)
# Each reason with the word that documents have of it.
WORDS = [
    (Priority(3), "Priority(3 ahead)"),
    (SlotsBusy(), "SlotsBusy"),
    (NeedsGpu(), "NeedsGpu"),
    (After([41, 42]), "After(#41,#42)"),
    (NotBefore(TEN), "NotBefore(2026-03-01T22:00:00.000Z)"),
    (Held("ana"), "Held(by ana)"),
    (QueuePaused(), "QueuePaused"),
    (QueueFull(2), "QueueFull(max 2)"),
    (Backoff(2, 40), "Backoff(attempt 2 in 40 s)"),
    (NoWorker(), "NoWorker"),
    (HostAvoided(), "HostAvoided"),
    (WorkersUnfit(["w1", "w2"], "the disk is full"), "WorkersUnfit(w1,w2)"),
]


def every_reason(kind: type[Reason] = Reason) -> set[type[Reason]]:
    return {kind, *(one for below in kind.__subclasses__() for one in every_reason(below))}


def test_every_reason_is_here() -> None:
    assert {type(reason) for reason, _ in WORDS} == every_reason() - {Reason, Unfit}


@pytest.mark.parametrize(("reason", "text"), WORDS)
def test_a_reason_is_its_word_in_a_document(reason: Reason, text: str) -> None:
    assert json.loads(json.dumps({"waits": reason})) == {"waits": text}


def test_every_reason_has_a_sentence_of_its_own() -> None:
    said = [sentence(reason) for reason, _ in WORDS]
    assert len(set(said)) == len(WORDS)
    assert not {text for _, text in WORDS} & set(said)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (Priority(3), "3 jobs go first"),
        (Priority(1), "1 job goes first"),
        (After([41]), "the end of job 41"),
        (After([41, 42]), "the end of jobs 41, 42"),
        (Held("ana"), "held by ana"),
        (QueueFull(2), "max 2"),
        (Backoff(2, 40), "attempt 2 in 40 s"),
    ],
)
def test_the_sentence_keeps_what_the_word_says(reason: Reason, told: str) -> None:
    assert told in (sentence(reason) or "")


def test_an_estimate_is_told_as_one() -> None:
    assert sentence(SlotsBusy(), 187.0) == "next, when a slot is free; starts in ~3:07"
    assert sentence(None, 187.0) is None


def test_moments_are_of_this_machine_and_today_goes_without_saying() -> None:
    here = datetime.now().astimezone().replace(microsecond=0, second=0)
    stamp = here.astimezone(UTC).isoformat().replace("+00:00", "Z")
    assert clock(stamp) == here.strftime("%H:%M")
    later = here + timedelta(days=2)
    assert clock(later) == later.strftime("%Y-%m-%d %H:%M")
    assert word(NotBefore(here)) == f"NotBefore({here:%H:%M})"
    assert word(SlotsBusy()) == "SlotsBusy"
    assert word(None) is None


def test_a_moment_to_come_is_told_with_its_day() -> None:
    here = datetime.now().astimezone().replace(hour=22, minute=0, second=0)
    assert dated(here) == f"{here:%Y-%m-%d} 22:00 (today)"
    assert dated(here + timedelta(days=1)).endswith(" 22:00 (tomorrow)")
    assert dated(here.astimezone(UTC) + timedelta(days=2)).endswith(" 22:00")
    assert dated(here.replace(second=7)).endswith(" 22:00:07 (today)")
