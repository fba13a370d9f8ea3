"""Why a job waits: the record's word, and what it means in a sentence."""

from datetime import UTC, datetime, timedelta

import pytest

from fornada.cli.reasons import WHY, clock, dated, sentence, word

# As the record spells them.
WORDS = [
    "Priority(3 ahead)",
    "SlotsBusy",
    "NeedsGpu",
    "After(#41)",
    "NotBefore(2026-03-01T22:00:00Z)",
    "Held(by ana)",
    "QueuePaused",
    "QueueFull(max 2)",
    "Backoff(attempt 2 in 40 s)",
    "NoWorker",
    "HostAvoided",
]


@pytest.mark.parametrize("waits", WORDS)
def test_every_word_has_a_sentence_of_its_own(waits: str) -> None:
    said = sentence(waits)
    assert said is not None
    assert waits not in said
    assert waits.partition("(")[0] in WHY


@pytest.mark.parametrize(
    ("waits", "told"),
    [
        ("Priority(3 ahead)", "3 jobs go first"),
        ("Priority(1 ahead)", "1 job goes first"),
        ("After(#41)", "the end of job 41"),
        ("After(#41,#42)", "the end of jobs 41, 42"),
        ("Held(by ana)", "held by ana"),
        ("QueueFull(max 2)", "max 2"),
        ("Backoff(attempt 2 in 40 s)", "attempt 2 in 40 s"),
        ("Unheard(of)", "Unheard(of)"),
    ],
)
def test_the_sentence_keeps_what_the_word_says(waits: str, told: str) -> None:
    said = sentence(waits)
    assert said is not None
    assert told in said


def test_an_estimate_is_told_as_one() -> None:
    assert sentence("SlotsBusy", 187.0) == "next, when a slot is free; starts in ~3:07"
    assert sentence(None, 187.0) is None


def test_moments_are_of_this_machine_and_today_goes_without_saying() -> None:
    here = datetime.now().astimezone().replace(microsecond=0, second=0)
    stamp = here.astimezone(UTC).isoformat().replace("+00:00", "Z")
    assert clock(stamp) == here.strftime("%H:%M")
    later = here + timedelta(days=2)
    assert clock(later) == later.strftime("%Y-%m-%d %H:%M")
    assert word(f"NotBefore({stamp})") == f"NotBefore({here:%H:%M})"
    assert word("SlotsBusy") == "SlotsBusy"
    assert word(None) is None


def test_a_moment_to_come_is_told_with_its_day() -> None:
    here = datetime.now().astimezone().replace(hour=22, minute=0, second=0)
    assert dated(here) == f"{here:%Y-%m-%d} 22:00 (today)"
    assert dated(here + timedelta(days=1)).endswith(" 22:00 (tomorrow)")
    assert dated(here.astimezone(UTC) + timedelta(days=2)).endswith(" 22:00")
    assert dated(here.replace(second=7)).endswith(" 22:00:07 (today)")
