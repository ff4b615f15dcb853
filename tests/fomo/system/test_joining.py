"""Processes find those they were started with, also in a store that knows of earlier ones."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from torch.distributed import PrefixStore, Store, TCPStore

from fomo.system.joining import of_this_attempt
from tests.waiting import PATIENCE_SECONDS

PATIENCE = timedelta(seconds=PATIENCE_SECONDS)


@pytest.fixture
def server() -> TCPStore:
    """What an agent of ``torchrun`` keeps over its attempts."""
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def client(server: TCPStore) -> TCPStore:
    return TCPStore("127.0.0.1", server.port, is_master=False, timeout=PATIENCE)


def met(server: TCPStore, starts: tuple[float, ...]) -> list[Store]:
    """The store that each rank of an attempt uses, of those that start after so many seconds."""

    def start(rank: int) -> Store:
        time.sleep(starts[rank])
        return of_this_attempt(client(server), rank, len(starts), PATIENCE)

    with ThreadPoolExecutor(len(starts)) as pool:
        return list(pool.map(start, range(len(starts))))


def share(stores: list[Store], name: str) -> bool:
    """Whether what the first says is heard by all."""
    stores[0].set(name, "said")
    return all(each.check([name]) for each in stores)


@pytest.mark.parametrize("starts", [(0, 0.3), (0.3, 0), (0.3, 0, 0.1), (0,)], ids=str)
def test_ranks_of_an_attempt_share_what_earlier_ones_did_not_say(server: TCPStore, starts: tuple[float, ...]) -> None:
    earlier: list[Store] = []
    for attempt in range(3):
        stores = met(server, starts)
        assert all(isinstance(each, PrefixStore) for each in stores)
        assert share(stores, f"of {attempt}")
        assert not any(stores[0].check([f"of {before}"]) for before in range(attempt))
        assert not any(each.check([f"of {attempt}"]) for each in earlier)
        earlier += stores


def test_an_attempt_that_not_all_have_joined_is_not_that_of_later_ranks(server: TCPStore) -> None:
    with pytest.raises(RuntimeError):
        of_this_attempt(client(server), 0, 3, timedelta(seconds=0.2))
    stores = met(server, (0.5, 0, 0.1))
    assert share(stores, "word")


def test_who_comes_alone_gives_up_in_time(server: TCPStore) -> None:
    for rank in (0, 1):
        with pytest.raises(RuntimeError):
            of_this_attempt(client(server), rank, 2, timedelta(seconds=0.3))
