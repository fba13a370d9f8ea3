"""Ranges that name no job are told as such, and how to write them."""

from shlex import quote

import pytest

from fornada.db.errors import BadReference, JobNotFound
from fornada.db.reads.references import refuse_malformed, refuse_range

UID = "01930a2b-7c4d-7e5f-8a6b-0123456789ab"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("20-4", '"20-4" names no jobs: the range runs backwards. Write 4-20.'),
        ("4-", "for example 4-20"),
        ("a-b", "for example 4-20"),
        ("0-5", "for example 4-20"),
        ("4-20-30", "for example 4-20"),
        ("1-@last", "for example 4-20"),
        ("1,2-3", '"1 2-3"'),
    ],
)
def test_a_bad_range_is_told_with_what_to_write(reference: str, said: str) -> None:
    for refuse in (refuse_malformed, refuse_range):
        with pytest.raises(BadReference) as refused:
            refuse(reference)
        assert said in str(refused.value)
        assert f'"{reference}"' in str(refused.value)


@pytest.mark.parametrize("name", ["my-run", "été-2", "resnet-50-b"])
def test_the_name_of_a_job_is_told_with_how_to_find_it(name: str) -> None:
    with pytest.raises(BadReference, match=f"fornada ls --name {quote(name)}"):
        refuse_range(name)
    assert f"fornada ls --name {name}zz." in str(JobNotFound(f"{name}zz").args[0]).replace("'", "")


@pytest.mark.parametrize("reference", [12, "12", "@last", UID, "1-5"])
def test_what_is_no_name_has_no_such_hint(reference: int | str) -> None:
    assert "--name" not in str(JobNotFound(reference))


@pytest.mark.parametrize("reference", ["4-20", "7-7", "12345678-12345690"])
def test_a_range_is_refused_only_where_one_job_is_meant(reference: str) -> None:
    refuse_malformed(reference)
    with pytest.raises(BadReference, match=f"for example {reference.partition('-')[0]}"):
        refuse_range(reference)


@pytest.mark.parametrize("reference", ["12", "@last", UID, UID[:4], UID[:9], UID[:14], "nonsense"])
def test_what_is_no_range_is_for_the_record_to_find(reference: str) -> None:
    refuse_malformed(reference)
    refuse_range(reference)
