"""No account of whoever runs the tests, and the run that nobody logs."""

import os
from pathlib import Path

import pytest

from tests import tiny
from tests.fomo.loggers.told import METHOD


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests may have one."""
    for name in [*filter(lambda name: name.startswith("WANDB_"), os.environ)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb_config"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody logs."""
    return tiny.run(tmp_path_factory.mktemp("whole") / "run", *METHOD)
