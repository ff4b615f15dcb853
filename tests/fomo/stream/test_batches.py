"""What the maker of batches keeps in memory changes no batch, and stays in its process."""

import pickle
from dataclasses import replace

import pytest
import torch

from fomo.model.fast import shortest
from fomo.stream import batches
from fomo.stream.batches import BatchKey, BatchMaker, PassKey
from fomo.system.ranks import World
from tests import tiny

KEYS: tuple[BatchKey, ...] = ((1, 0), (2, 1), PassKey(2, 1, 16, 40), (1, 2))


def maker() -> BatchMaker:
    return tiny.prepared().maker


def same(one: BatchMaker, other: BatchMaker) -> bool:
    return all(
        torch.equal(a.images, b.images)
        and torch.equal(a.tokens, b.tokens)
        and torch.equal(a.sources, b.sources)
        and (a.counts, a.whole, a.skipped, a.num_cut) == b[3:]
        for a, b in ((one[key], other[key]) for key in KEYS)
    )


def test_it_travels_to_workers_without_what_it_keeps_and_makes_the_same_there() -> None:
    used, fresh = maker(), maker()
    before = len(pickle.dumps(used))
    for key in KEYS:
        used[key]
    sent = pickle.dumps(used)
    assert len(sent) - before < 20_000  # the pools open their datasets; no token and no image is in it
    assert same(pickle.loads(sent), fresh)


def test_forgetting_tokens_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_CACHED_CAPTIONS", 3)
    assert same(maker(), maker())
    forgetful = maker()
    made = {key: forgetful[key].tokens for key in KEYS}
    monkeypatch.undo()
    assert all(torch.equal(tokens, maker()[key].tokens) for key, tokens in made.items())


def test_a_pass_ends_with_its_total() -> None:
    sizes = [len(maker()[PassKey(2, number, 16, 40)].images) for number in range(3)]
    assert sizes == [16, 16, 8]


def test_a_rank_may_have_no_row_of_the_last_batch_of_a_pass() -> None:
    whole = maker()[PassKey(2, 2, 16, 33)]
    own = [replace(maker(), here=World(rank, 3))[PassKey(2, 2, 16, 33)] for rank in range(3)]
    assert [each.counts for each in own] == [(0, 1, 0), (0, 0, 0), (0, 0, 0)]
    assert {each.whole for each in own} == {whole.counts} and torch.equal(own[0].tokens, whole.tokens)
    for name in ("images", "tokens", "sources"):
        one, none = getattr(whole, name), getattr(own[2], name)
        assert none.shape == (0, *one.shape[1:]) and none.dtype == one.dtype
    assert shortest(tiny.prepared().model.network, own[2].tokens) <= own[2].tokens.shape[1]


def test_captions_that_the_context_cuts_are_counted() -> None:
    """By the tokens of the whole context, which is long enough here."""
    whole = maker()
    short = maker()
    short.tokenize = lambda texts, context_length=None: whole.tokenize(texts, context_length or 6)
    for key in KEYS:
        lengths = (whole[key].tokens != 0).sum(dim=1)
        assert whole[key].num_cut == 0 and short[key].num_cut == int((lengths > 6).sum())
    assert any(short[key].num_cut for key in KEYS)
