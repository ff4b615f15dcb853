"""What all tests share: the device that they compute on, and a session that shows something."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # as the command line has it, which may not be the first here
os.environ.pop("COLUMNS", None)  # a terminal's width, which readline hands on to child processes
os.environ.pop("LINES", None)
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: more threads would only wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once, before the first product on a GPU

import pytest
import torch
from hypothesis import settings

from fomo.planning.rehearsal import start_engine
from fomo.system.determinism import deterministic

pytest_plugins = ("tests.browser",)

# How long an example takes is a matter of the machine, not of the code under test.
settings.register_profile("fomo", deadline=None)
settings.load_profile("fomo")

GPU = torch.cuda.is_available()
start_engine()  # of the tests that fork processes, any may come after one with fake tensors


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Where a promise is tested: on the CPU, and once more on a GPU, which is skipped where there is none."""
    return str(request.param)


def pytest_collection_finish() -> None:
    """What is imported stays: looking through it again and again for garbage would be a twentieth of the time."""
    gc.collect()
    gc.freeze()


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """The conformance kit has thawed what was frozen."""
    if item.path.stem.startswith(("test_kit", "test_conformance")):
        pytest_collection_finish()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU, before any of its fixtures is made."""
    if item.get_closest_marker("gpu") and not GPU:
        pytest.skip("needs a GPU")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test marked ``gpu`` has the GPU, and deterministic algorithms; any other, and its commands, see no GPU."""
    with deterministic(True) if item.get_closest_marker("gpu") else _gpu_hidden():
        return (yield)


@contextmanager
def _gpu_hidden() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        yield


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A session in which every test was skipped has shown nothing: let it fail."""
    if hasattr(session.config, "workerinput") or exitstatus != 0:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not session.config.option.collectonly and not reporter.stats.get("passed"):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
