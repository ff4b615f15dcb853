"""Runs as tasks of Ray, on a Ray of this machine."""

import signal
from pathlib import Path

import pytest

from fomo.errors import FomoError, Stopped
from fomo.launching.launcher import Counts
from fomo.launching.on_ray import Ray
from fomo.system.signals import Stop
from tests.fomo.launching.stand_in import Listener, script

SAVES = """
import pathlib, signal, sys, time
place = pathlib.Path({place!r})
def told(number, frame):
    (place / "saved").write_text("")
    sys.exit(75)
signal.signal(signal.SIGTERM, told)
(place / "ready").write_text("")
time.sleep(600)
"""
CODES = (
    "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['CUDA_VISIBLE_DEVICES'], os.getcwd(), sep='|')",
    "print('error: no such dataset'); raise SystemExit(2)",
    "import os; os.kill(os.getpid(), 9)",
)


@pytest.mark.parametrize("settings", [{"cpus_per_run": 0}, {"gpus_per_run": -1}, {"gpus_per_run": "all"}])
def test_bad_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(FomoError, match=r"launcher\.[cg]pus_per_run="):
        Ray(**settings)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FomoError, match=r"launcher=ray needs Ray: pip install 'fomo-bench\[ray\]'"):
        Ray().place({"auto"})


def test_a_sweep_on_a_ray_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One start of Ray for all: failures, a stop, and what it does not have."""
    pytest.importorskip("ray", reason="Ray is an extra of 80 MB: pip install 'fomo-bench[ray]'")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    with Stop().listening() as stop:
        before = signal.getsignal(signal.SIGTERM)
        for settings, said in (({"gpus_per_run": 1}, "there are 0 here"), ({"cpus_per_run": 4096}, "no machine has")):
            with pytest.raises(FomoError, match=said):
                Ray(**settings).place({"auto"})
        assert Ray().place({"auto"}) == 0 and signal.getsignal(signal.SIGTERM) == before
        jobs = [script(number, tmp_path, code) for number, code in enumerate(CODES, start=1)]
        jobs.append(script(4, tmp_path, SAVES.format(place=str(tmp_path))))

        def ask(counts: Counts) -> None:
            if counts.done + counts.failed == 3 and (tmp_path / "ready").exists() and not stop.asked:
                signal.raise_signal(signal.SIGTERM)

        heard = Listener(ask)
        with pytest.raises(Stopped) as stopped:
            Ray().launch(jobs, stop, heard)
    assert stopped.value.status == 75 and "1 of 4 runs are done" in str(stopped.value)
    assert (tmp_path / "saved").exists() and jobs[0].log.read_text().endswith(f"\n1||{tmp_path}\n")
    said = "\n".join(heard.lines)
    assert "run 2 has failed (status 2: no such dataset)" in said and "run 3 has failed (ended by SIGKILL" in said
    assert "run 4 has stopped (it was asked to stop (status 75)" in said
