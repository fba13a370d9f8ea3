"""The closed lists, and the legal moves between states."""

from fornada.db.queue.verdicts import STATE_AFTER
from fornada.db.states import (
    FINAL_STATES,
    LEGAL_MOVES,
    LIVE_STATES,
    AttemptOutcome,
    FailureCode,
    JobState,
    StopReason,
)

# As the design's table has them.
MOVES = {
    (None, "queued"),
    (None, "held"),
    ("held", "queued"),
    ("held", "cancelled"),
    ("queued", "running"),
    ("queued", "held"),
    ("queued", "cancelled"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("running", "queued"),
    ("failed", "queued"),
    ("cancelled", "queued"),
}


def test_the_legal_moves_are_those_of_the_design() -> None:
    moves = {(before, after) for before, afters in LEGAL_MOVES.items() for after in afters}
    assert moves == MOVES


def test_every_state_says_where_it_leads() -> None:
    assert set(LEGAL_MOVES) == {None, *JobState}


def test_every_state_is_reached_from_a_new_job() -> None:
    reached: set[JobState | None] = {None}
    while fresh := {after for state in reached for after in LEGAL_MOVES[state]} - reached:
        reached |= fresh
    assert reached == {None, *JobState}


def test_a_final_state_is_left_only_by_a_person_who_retries() -> None:
    for state in FINAL_STATES:
        assert state.final
        assert LEGAL_MOVES[state] <= {JobState.QUEUED}
    for state in LIVE_STATES:
        assert not state.final
        assert LEGAL_MOVES[state]
    assert set(JobState) == FINAL_STATES | LIVE_STATES
    assert not FINAL_STATES & LIVE_STATES


def test_every_outcome_of_an_attempt_is_a_legal_move_of_its_job() -> None:
    assert set(STATE_AFTER) == set(AttemptOutcome)
    assert set(STATE_AFTER.values()) <= LEGAL_MOVES[JobState.RUNNING]


def test_the_words_are_what_is_stored() -> None:
    assert [str(state) for state in JobState] == [
        "held",
        "queued",
        "running",
        "succeeded",
        "failed",
        "cancelled",
    ]
    assert all(code == code.upper() == code.name for code in FailureCode)
    assert all(reason == reason.lower() for reason in StopReason)
