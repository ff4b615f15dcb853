"""The runs of a sweep, and the command of each."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fomo.launching.job import jobs_of, resolved_there, settled
from tests import tiny

AUTO = {"device": "auto", "precision": "auto"}


@pytest.mark.parametrize(
    ("runtime", "gpus", "expected"),
    [
        (AUTO, None, {}),
        (AUTO, 0, {"device": "cpu"}),
        (AUTO, 1, {"device": "cuda", "precision": "bf16"}),
        ({"device": "auto", "precision": "fp32"}, 2, {"device": "cuda"}),
        ({"device": "cpu", "precision": "auto"}, 1, {}),
        ("nonsense", 1, {}),
    ],
)
def test_auto_means_what_is_where_the_run_will_be(runtime: object, gpus: int | None, expected: dict[str, str]) -> None:
    assert settled({"runtime": runtime}, gpus) == expected


def test_a_run_that_gets_a_gpu_elsewhere_has_the_identity_that_it_has_there() -> None:
    from fomo.config.compose import compose

    auto = compose([*tiny.TINY, "runtime.device=auto"])
    there = resolved_there(auto, settled(auto, 1))
    assert there.sha256 == tiny.resolved("runtime.precision=bf16").sha256 != tiny.resolved().sha256
    assert resolved_there(auto, settled(auto, 0)).sha256 == tiny.resolved().sha256


def test_the_command_is_what_was_typed_and_what_auto_means() -> None:
    words = [["method=frozen", "run.dir='a b/x'"], ["method=lora", "run.dir='a b/y'"]]
    runs = [tiny.resolved(*each) for each in words]
    first, second = jobs_of(words, runs, Path("c.yaml"), 1, [{"device": "cuda"}, {}])
    start = (sys.executable, "-u", "-m", "fomo", "run", "--config", "c.yaml")
    assert first.command == (*start, "method=frozen", "run.dir='a b/x'", "runtime.device=cuda")
    assert second.command == (*start, "method=lora", "run.dir='a b/y'")
    assert (str(first), str(first.log)) == ("method=frozen", "a b/x.log")
    several = replace(first, gpus=4, file=None).command
    assert several[3:8] == ("torch.distributed.run", "--standalone", "--nproc-per-node", "4", "-m")
    assert several[8:10] == ("fomo", "run")


def test_no_gpu_is_visible_to_a_run_without_one() -> None:
    (job,) = jobs_of([["seed=1"]], [tiny.resolved("seed=1")], None, 0, [{}])
    assert job.work({"A": "b"}).environment == {"A": "b", "CUDA_VISIBLE_DEVICES": ""}
    assert replace(job, gpus=1).work({}).environment == {} and str(job) == "seed=1"


def test_a_run_that_is_requeued_goes_on_whatever_resume_said(tmp_path: Path) -> None:
    place = f"run.dir={tmp_path}/it's"
    for resume, added in (("auto", ()), ("must", ("resume=auto",)), ("never", ("resume=auto",))):
        words = [place, f"resume={resume}"]
        (job,) = jobs_of([words], [tiny.resolved(f'run.dir="{tmp_path}/it\'s"', words[1])], None, None, [{}])
        assert job.command[-1 - len(added) :] == (words[1], *added)
    (job,) = jobs_of([["resume=again"]], [tiny.resolved(f"run.dir={tmp_path}/new", "resume=again")], None, None, [{}])
    assert job.command[-2:] == (f"run.dir='{tmp_path}/new'", "resume=auto") and job.again
    (job,) = jobs_of([["resume=again"]], [tiny.resolved(f"run.dir={tmp_path}/new", "resume=again")], None, None, [{}])
    assert str(job.folder) == f"{tmp_path}/new.again-2"
