"""What is generated under `docs/` stays small enough to be read, reviewed and loaded."""

from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PICTURES = sorted(DOCS.rglob("*.svg"))
# Of all generated SVG and JSON together.
MOST_LINES = 3_000
MOST_BYTES = 40_000


def test_generated_svg_and_json_have_few_lines() -> None:
    lines = {
        str(file.relative_to(DOCS)): len(file.read_text().splitlines())
        for file in [*PICTURES, *DOCS.rglob("*.json")]
    }
    assert sum(lines.values()) < MOST_LINES, lines


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_is_small_and_loads_nothing(picture: Path) -> None:
    content = picture.read_text()
    assert len(content.encode()) < MOST_BYTES
    assert content.count("http") == content.count('xmlns="http://www.w3.org/2000/svg"') == 1
