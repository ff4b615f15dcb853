"""What is imported while nobody collects garbage."""

import gc

import pytest

from fomo.system.imports import many_imports


@pytest.mark.parametrize("was_enabled", [True, False])
def test_garbage_waits_and_is_then_collected_as_before(was_enabled: bool) -> None:
    (gc.enable if was_enabled else gc.disable)()
    try:
        with pytest.raises(ImportError), many_imports():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() is was_enabled
    finally:
        gc.enable()
