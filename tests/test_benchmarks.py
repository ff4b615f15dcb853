"""The benchmark of a GPU runs everywhere, at a tiny size."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def test_the_benchmark_of_a_gpu_runs_on_a_cpu() -> None:
    small = ("--steps", "2", "--pictures", "32", "--workers", "0", "--repeats", "1")
    done = subprocess.run([sys.executable, str(SCRIPT), *small], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert all(each in said for each in ("bare PyTorch", "fomo, a step that is counted", "from shards, 2 steps"))
    padded, computed = map(float, re.findall(r"([\d.]+) (?:GFLOPs|computed)", said)[:2])
    assert 0 < computed < padded
