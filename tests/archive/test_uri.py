"""How recordings are named."""

from __future__ import annotations

import pytest

from engine.archive.uri import Member, check_storable, file_name, is_url, member_of
from engine.errors import ConfigError


@pytest.mark.parametrize(
    "name", ["a.wav", "day/a.wav", "", "a::b.wav", "::", "zip://x::y.wav", "\n'\"🦜\udce9", "/a", " "]
)
@pytest.mark.parametrize("container", ["/a/b.zip", "b.tar.gz", "s3://bucket/a b.zip", "C:\\a.zip"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_come_back_from_their_uri(kind, name, container):
    member = Member(kind, name, container)
    assert member_of(member.uri) == member


@pytest.mark.parametrize("name", ["a.zip", "zip:/a", "/zip://a", "s3://zip://a", "zips://a", ""])
def test_what_is_no_member(name):
    assert member_of(name) is None


def test_urls():
    assert all(map(is_url, ["s3://a", "memory://", "zip://a::b", "GS://x"]))
    assert not any(map(is_url, ["/a", "a:b", "C:\\a", "C://a", "", "://", "a b://", "./s3://x"]))


@pytest.mark.parametrize(
    "uri", ["a.wav", "/x/a.wav", "s3://b/x/a.wav", "zip://x/a.wav::/y/b.zip", "tar://a.wav::s3://b/c.tar"]
)
def test_file_names(uri):
    assert file_name(uri) == "a.wav"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("s3://key:secret@bucket/a.wav", "'s3://...@bucket/a.wav'"),
        ("zip://a.wav::s3://key:secret@bucket/a.zip", "'zip://a.wav::s3://...@bucket/a.zip'"),
    ],
)
def test_passwords_are_refused_and_not_repeated(name, shown):
    with pytest.raises(ConfigError, match="expected a URL without a password") as caught:
        check_storable(name)
    assert shown in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["s3://bucket/a:b@c.wav", "/a://b:c@d.wav", "gs://me@bucket/x", "zip://a@b:c::/x.zip"])
def test_what_only_looks_like_a_password(name):
    check_storable(name)
