"""Reading random bytes, text, paths and overrides gives a spec or problems, and nothing else.

`test_spec_mutations` changes valid specs; the inputs here are random from the start.
"""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fornada.spec import PathRefused, Spec, SpecProblems, load, loads
from fornada.spec.paths import resolve
from tests.budget import examples
from tests.services.hostile_specs import TEXT

# Measuring coverage would double the time of these thousands of cases.
pytestmark = pytest.mark.no_cover

ROOT = Path("/srv/data")
# Seconds of processor time. We promise one; the rest is for a busy machine.
WITHIN_S = 3.0
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]

# Texts with a meaning in YAML, and texts with a meaning in a spec.
TOKENS = st.sampled_from(
    [
        *("\n", "  ", "    ", "- ", ": ", ":", "{", "}", "[", "]", ",", "'", '"', "#", "&a ", "*a"),
        *("!!python/name:os.system ", "!x ", "|\n", ">\n", "? ", "---\n", "...\n", "%YAML 1.1\n"),
        *("<<: ", "~", "null", "true", "0x1f", "1_0", "1e999", ".nan", "9" * 400, "\t", "\\x41"),
        *("data", "model", "compile", "fit", "callbacks", "Dense", "units", "train", "classes"),
        *("optimizer: Adam\n", "data: {train: T}\n", "model: [Flatten]\n", "../..", "é", "\u2028"),
        *("\ud800", "\0", "\x85", "\ufeff", "\N{ARABIC-INDIC DIGIT ONE}", "\r", "\x1b[2J"),
    ]
)


def read(what: Callable[[], Spec]) -> Spec | SpecProblems:
    """The spec or its problems, in time. Any other exception fails the test."""
    began = time.process_time()
    found: Spec | SpecProblems
    try:
        found = what()
    except SpecProblems as problems:
        found = problems
    assert time.process_time() - began < WITHIN_S
    if isinstance(found, SpecProblems):
        assert found.problems
        # The messages quote the input, but contain no character that controls a terminal.
        assert str(found).replace("\n", "").isprintable()
    return found


@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbf")
@example(b"\xff\xfe\0\0")
@example(b"\x80\x04\x95.")
@example(b"PK\3\4" + bytes(99))
@example(b"a" * 262_145)
@settings(max_examples=examples(200), deadline=None, suppress_health_check=_SLOW)
def test_any_bytes_are_a_spec_or_problems(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "fuzz.yaml"
    file.write_bytes(content)
    assert isinstance(read(lambda: load(file, data_root=ROOT, base=ROOT)), SpecProblems)


@given(st.lists(TOKENS, max_size=40).map("".join))
@example("{" * 131_072 + "}" * 131_072)
@example("[" * 262_144)
@example("? " * 131_072)
@example("- " * 131_072)
@example("a: " + "'" * 262_000)
@example("\n".join(f"{'a' * 100}{n}: {n}" for n in range(2_300)))
@example("x: " + "é" * 130_000)
@settings(max_examples=examples(250), deadline=None, suppress_health_check=_SLOW)
def test_any_text_of_yaml_tokens_is_a_spec_or_problems(text: str) -> None:
    read(lambda: loads(text, data_root=ROOT, base=ROOT))


@given(st.lists(TOKENS, max_size=12).map("".join))
@settings(max_examples=examples(150), deadline=None, suppress_health_check=_SLOW)
def test_any_text_after_a_good_spec_is_a_spec_or_problems(text: str) -> None:
    read(lambda: loads(TEXT.format(text.replace("{", "{{")), data_root=ROOT, base=ROOT))


@given(
    st.lists(
        st.lists(TOKENS, max_size=8).map("".join)
        | st.builds(
            "{}={}".format,
            st.sampled_from(["data", "model", "model.0", "model.1.Dense.units", "fit.epochs", ""]),
            st.lists(TOKENS, max_size=6).map("".join),
        ),
        max_size=3,
    )
)
@example(["model.99999999999999999999=1"])
@example(["." * 1000 + "=1"])
@example(["a." * 5000 + "=1"])
@example(["model.-1.Dense.units=1"])
@example(["fit.epochs=" + "[" * 100_000])
@settings(max_examples=examples(100), deadline=None, suppress_health_check=_SLOW)
def test_any_override_is_a_spec_or_problems(overrides: list[str]) -> None:
    read(lambda: loads(TEXT.format(""), overrides=overrides, data_root=ROOT, base=ROOT))


@given(
    st.lists(
        st.sampled_from([*("..", ".", "/", "~", "a", "link", "loop", "", "\0", "\ud800", "é")])
        | st.text(max_size=5),
        max_size=8,
    ).map("/".join)
)
@example("/" * 5000)
@example("a/" * 5000)
@settings(max_examples=examples(120), deadline=None, suppress_health_check=_SLOW)
def test_no_path_leads_out_of_the_root(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    root = tmp_path_factory.getbasetemp() / "root"
    if not root.exists():
        root.mkdir()
        (root / "a").mkdir()
        (root / "link").symlink_to("/etc")
        (root / "loop").symlink_to("loop")
    try:
        found = resolve(path, root)
    except PathRefused:
        return
    assert found == root or root in found.parents
