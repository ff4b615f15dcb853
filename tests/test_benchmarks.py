"""The benchmarks of a GPU, of several devices and of the board run everywhere, at a tiny size."""

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


def test_the_benchmark_of_prompts_runs_at_a_tiny_size() -> None:
    tiny = ("--model", "pocket", "--classes", "40", "--repeats", "1", "--device", "cpu")
    script = SCRIPT.with_name("prompts.py")
    done = subprocess.run([sys.executable, str(script), *tiny], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ways = re.findall(r"^(whole context|trimmed|shared beginning) +\d+ +\d+$", done.stdout, re.MULTILINE)
    assert ways == ["whole context", "trimmed", "shared beginning"]
    (apart,) = re.findall(r"features are (\S+) apart", done.stdout)
    assert float(apart) < 1e-5


def test_the_benchmark_of_several_devices_runs_on_cores() -> None:
    tiny = ("--processes", "2", "--model", "pocket", "--batch-size", "8", "--steps", "1", "--rounds", "2")
    script = SCRIPT.with_name("devices.py")
    done = subprocess.run([sys.executable, str(script), *tiny], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^(.+?) +(\d+) rows +([\d.]+) ms a step(?:  efficiency ([\d.]+))?", done.stdout, re.MULTILINE)
    assert [(name, int(size)) for name, size, *_ in rows] == [
        ("one process", 8),
        ("2, fixed global batch", 8),
        ("2, fixed batch per device", 16),
    ]
    assert all(float(ms) > 0 for *_, ms, _ in rows) and all(float(ratio) > 0 for *_, ratio in rows[1:])
    assert "cores" in done.stdout or "a core each" in done.stdout


def test_the_benchmark_of_the_board_ranks_made_up_runs() -> None:
    script = SCRIPT.with_name("board.py")
    small = ("--runs", "10", "--rounds", "1")
    done = subprocess.run([sys.executable, str(script), *small], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "10 runs" in done.stdout and len(re.findall(r"bar 2\.0", done.stdout)) == 2
