"""The pool of these tests lies in a cache of its own."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOMO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
