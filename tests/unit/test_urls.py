"""URLs: what is not refused is read alike by all libraries that read it."""

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from kombu.utils.url import url_to_parts
from redis.connection import parse_url
from sqlalchemy import make_url

from fornada import urls

# Mostly what means something in a URL.
ODD = st.text(st.one_of(st.sampled_from("%/?#@[]:;+&=' \\\té41"), st.characters(codec="utf-8")))


@given(user=ODD, password=ODD.filter(bool))
def test_any_password_can_be_written(user: str, password: str) -> None:
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"

    assert urls.problems(f"postgresql://{login}@host:5432/name") == []
    assert urls.redis_problems(f"redis://{login}@host:6379/0") == []
    assert _read(login) == [(user, password)] * 3


@given(login=ODD.map(":{}".format))
def test_a_login_is_refused_or_read_alike(login: str) -> None:
    problems = urls.problems(f"postgresql://{login}@host:5432/name")

    assert urls.redis_problems(f"redis://{login}@host:6379/0") == problems
    if not problems:
        assert len(set(_read(login))) == 1


@given(login=ODD, scheme=st.sampled_from(["redis", "rediss", "redis+socket", "postgresql"]))
def test_no_sentence_depends_on_the_password(login: str, scheme: str) -> None:
    url = f"{scheme}://:{login}@host:6379/0"
    for sentence in urls.problems(url):
        assert sentence in SENTENCES


SENTENCES = {
    sentence
    for url in (
        "redis://a#b@host",
        "redis://:%FF@host",
        "redis://host#x",
        "redis://host:port",
        "redis://h..h",
        "redis://host?x",
    )
    for sentence in urls.problems(url)
}


def _read(login: str) -> list[tuple[str, str]]:
    """User and password as SQLAlchemy, kombu and redis-py read them."""
    database = make_url(f"postgresql://{login}@host:5432/name")
    broker = urls.canonical(f"redis://{login}@host:6379/0")
    kombu = url_to_parts(broker)
    redis = parse_url(broker)  # type: ignore[no-untyped-call]
    return [
        (database.username or "", database.password or ""),
        (kombu.username or "", kombu.password or ""),
        (redis.get("username", ""), redis.get("password", "")),
    ]
