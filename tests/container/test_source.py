"""The source chunk: what it costs, that it is found again, and that readers pass over it."""

from __future__ import annotations

import hashlib

import pytest

from gancodec.container import (
    SOURCE_COST,
    SOURCE_TYPE,
    Chunk,
    read_container,
    source_digest,
    source_of,
    with_source,
)
from gancodec.container.file import append_chunk
from gancodec.errors import ConfigError, TruncatedError

DIGEST = source_digest(b"a picture file")


def test_the_digest_is_the_start_of_sha_256():
    assert hashlib.sha256(b"a picture file").digest()[:8] == DIGEST


def test_a_marked_file_is_the_same_file_with_one_more_chunk(sample):
    plain, marked = read_container(sample), read_container(with_source(sample, DIGEST))
    for name in ("payload", "alpha", "metadata", "damaged"):
        assert getattr(marked, name) == getattr(plain, name)
    assert marked.unknown == (*plain.unknown, Chunk(type=SOURCE_TYPE, data=DIGEST))
    assert (source_of(plain), source_of(marked)) == (None, DIGEST)


def test_it_costs_what_is_said(make):
    assert len(with_source(make(), DIGEST)) - len(make()) == SOURCE_COST == 26


def test_marking_gives_the_bytes_that_writing_gives(make):
    assert with_source(make(), DIGEST) == make(unknown=(Chunk(type=SOURCE_TYPE, data=DIGEST),))


@pytest.mark.parametrize("unknown", [(b"short",), (DIGEST, DIGEST), ()])
def test_other_source_chunks_say_nothing(make, unknown):
    chunks = tuple(Chunk(type=SOURCE_TYPE, data=data) for data in unknown)
    assert source_of(read_container(make(unknown=chunks))) is None


def test_chunks_that_are_known_are_not_appended(make):
    with pytest.raises(ConfigError, match="known type"):
        append_chunk(make(), Chunk(type=b"EXIF", data=b""))


def test_a_cut_file_is_not_marked(make):
    whole = make(unknown=(Chunk(type=b"NOTE", data=b"hello"),))
    with pytest.raises(TruncatedError, match="closing chunk"):
        with_source(whole[:-1], DIGEST)
    with pytest.raises(TruncatedError, match="payload"):
        with_source(make()[:-1], DIGEST)
