"""``benchmarks/memory.py``: planned beside measured, a bar, and a dated file."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import measures

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "memory.py"
RATIOS = {"lora": 0.96, "ewc": 1.06, "zscl": None}


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, with rows that are made up."""
    spec = importlib.util.spec_from_file_location("memory_benchmark", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def survey(jobs: list[dict[str, Any]], measured_by: list[Any]) -> Iterator[dict[str, Any]]:
        for values, measure in zip(jobs, measured_by, strict=True):
            ratio = RATIOS[values["label"].split()[0]] if measure else None
            known = {"measured_peak_memory_gib": 2 * ratio, "measured_to_planned": ratio} if ratio else {}
            problem = {"problem": "not measured: out of memory."} if measure and not ratio else {}
            yield {**measures.counted(values), "method": values["label"].split()[0], **known, **problem}

    monkeypatch.setattr(module, "survey", survey)
    return module


@pytest.mark.parametrize("on_gpu", [False, True])
def test_the_table_tells_what_is_beyond_the_bar(
    on_gpu: bool, memory: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "measures_of", lambda jobs: [measures.measured if on_gpu else None] * len(jobs))
    monkeypatch.setattr(memory.torch.cuda, "get_device_name", lambda: "a card")
    arguments = ["--out", str(tmp_path / "table.txt"), "model=pocket", "batch_size=8", "method=lora,ewc,zscl"]
    if on_gpu:
        with pytest.raises(SystemExit) as stopped:
            memory.main(arguments)
        assert stopped.value.code == 1
    else:
        memory.main(arguments)
    shown = capsys.readouterr().out
    assert shown == (tmp_path / "table.txt").read_text()
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in shown.splitlines()}
    if on_gpu:
        assert rows["lora"] == "2.000 GiB 1.920 GiB 0.960" and rows["ewc"].endswith("1.060 beyond 5%")
        assert rows["zscl"] == "2.000 GiB not measured: out of memory." and shown.endswith("not met: ewc, zscl\n")
    else:
        assert "nothing can be measured" in shown and set(rows) >= {"lora", "ewc", "zscl"}
        assert rows["lora"] == "2.000 GiB not measured"


def test_every_preset_is_in_the_table_unless_some_are_chosen(memory: Any) -> None:
    assert len(memory.jobs_of(["model=pocket"])) == len(memory.builtin_groups()["method"])
    assert len(memory.jobs_of(["method=lora,ewc"])) == 2
