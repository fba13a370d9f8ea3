"""Properties of all specs: a spec that is written and read again means the same."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fornada.spec import from_document, loads
from fornada.spec.catalogue import FAMILIES
from fornada.spec.catalogue.objects import Object
from fornada.spec.docs.schema import json_schema
from fornada.spec.kinds.reading import At, Reading
from fornada.spec.render import to_yaml
from fornada.spec.source import yaml_text
from fornada.spec.values import to_json
from tests.budget import examples
from tests.unit.spec_strategies import objects, specs

# Measuring coverage would double the time of these thousands of cases.
pytestmark = pytest.mark.no_cover

ROOT = Path("/srv/data")
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


@given(specs())
@settings(max_examples=examples(60), deadline=None, suppress_health_check=_SLOW)
def test_a_spec_is_the_same_after_json_and_yaml(document: dict[str, Any]) -> None:
    spec = from_document(document)

    from_json = from_document(json.loads(json.dumps(spec.document())))
    from_yaml = loads(to_yaml(spec, ROOT), data_root=ROOT)

    assert from_json == spec
    assert from_yaml == spec
    assert from_json.hash == from_yaml.hash == spec.hash


@given(specs())
@settings(max_examples=examples(30), deadline=None, suppress_health_check=_SLOW)
def test_the_schema_accepts_what_the_parser_accepts(document: dict[str, Any]) -> None:
    spec = from_document(document)

    VALIDATOR.validate(document)
    VALIDATOR.validate(spec.document())


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_an_object_is_the_same_after_it_was_written_and_read_again(family: str) -> None:
    @given(objects(family))
    @settings(max_examples=examples(60), deadline=None, suppress_health_check=_SLOW)
    def check(document: Any) -> None:
        once = _read(family, document)
        again = _read(family, to_json(once))
        assert again == once

    check()


@given(specs(), st.integers(2, 50))
@settings(max_examples=examples(20), deadline=None, suppress_health_check=_SLOW)
def test_with_classes_replaces_every_classes(document: dict[str, Any], count: int) -> None:
    spec = from_document(document)

    resolved = spec.with_classes(count)

    yaml_text = json.dumps({k: resolved.document()[k] for k in ("model", "compile")})
    assert '"classes"' not in yaml_text
    assert spec.with_classes(count).with_classes(count + 1) == resolved


def _read(family: str, document: Any) -> Any:
    at = At(Reading())
    value = Object(FAMILIES[family]).parse(yaml_text.read(json.dumps(document), "<test>"), at)
    assert at.reading.problems == []
    return value
