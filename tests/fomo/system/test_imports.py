"""What is imported while nobody collects garbage."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fomo.system.imports import many_imports
from tests.fomo.helpers import put


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


def test_what_is_only_probed_for_is_not_imported_and_is_whole_afterwards(tmp_path: Path) -> None:
    put(tmp_path / "wandb" / "__init__.py", "print('imported')")
    code = """
from fomo.system.imports import many_imports
with many_imports():
    import timm.utils.summary
import sys
print("wandb" in sys.modules)
import wandb
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "imported"]
