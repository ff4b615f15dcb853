"""Ranks, means and refusals on made-up runs."""

import json
import statistics
from pathlib import Path
from typing import Any

import pytest
import yaml

from fomo.config.compose import compose
from fomo.report.board import tables
from fomo.report.entries import BoardEntry
from fomo.report.leaderboard import leaderboard
from fomo.results.config_file import ENGINE, LOOKS
from fomo.version import SCORE_VERSION
from tests.fomo.helpers import DATASETS, error_of, evaluation, put, run_folder, status

BASE = (evaluation(0, 10, 20, 64), evaluation(1, 30, 20, 60))


def made(folder: Path, ka: float, zs: float, seed: int = 0, label: str = "finetune", lr: float = 1.0) -> Path:
    """A finished run with this result."""
    return run_folder(folder, *BASE, evaluation(2, ka - 2, ka + 2, zs), seed=seed, label=label, lr=lr)


def entries(*folders: Path) -> list[BoardEntry]:
    board = leaderboard(folders)
    assert not board.refused
    return list(board.entries)


def test_means_and_deviation_over_seeds_by_hand(tmp_path: Path) -> None:
    runs = [(36, 36), (49, 25), (64, 25)]
    (entry,) = entries(*(made(tmp_path / str(seed), *run, seed=seed) for seed, run in enumerate(runs)))
    gms = [36.0, 35.0, 40.0]
    assert entry.seeds == (0, 1, 2) and entry.rank == 1
    assert entry.ka == pytest.approx((36 + 49 + 64) / 3) and entry.zs == pytest.approx((36 + 25 + 25) / 3)
    assert entry.gm == pytest.approx(37) and entry.gm_deviation == pytest.approx(statistics.stdev(gms))
    assert entry.ka_deviation == pytest.approx(statistics.stdev([36, 49, 64]))
    assert entry.zs_deviation == pytest.approx(statistics.stdev([36, 25, 25]))
    assert entry.folders == tuple(str(tmp_path / str(seed)) for seed in range(3))
    assert entry.caveats == ("not budgeted",)


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    (entry,) = entries(made(tmp_path / "a", 36, 36))
    assert entry.gm_deviation is None and entry.gm == 36


def test_the_same_run_counts_once(tmp_path: Path) -> None:
    folder, copy = made(tmp_path / "a", 36, 36), made(tmp_path / "b", 36, 36)
    assert not leaderboard([folder, tmp_path / "b" / ".." / "a"]).notes
    for order in ([folder, copy, folder], [copy, folder]):
        board = leaderboard(order)
        assert [(e.seeds, e.gm_deviation, e.folders) for e in board.entries] == [((0,), None, (str(folder),))]
        (note,) = board.notes
        assert str(folder) in note and str(copy) in note and "seed 0 more than once" in note and "counts, once" in note


def test_better_gm_ranks_first_and_other_settings_are_other_entries(tmp_path: Path) -> None:
    folders = [
        made(tmp_path / "a", 20, 20, label="low", lr=1),
        made(tmp_path / "b", 80, 20, label="high", lr=2),
        made(tmp_path / "c", 90, 10, label="middle", lr=3),
    ]
    ranked = entries(*folders)
    assert [(entry.rank, entry.label) for entry in ranked] == [(1, "high"), (2, "middle"), (3, "low")]
    assert [entry.label for entry in entries(*reversed(folders))] == ["high", "middle", "low"]


def test_ranks_count_within_a_track(tmp_path: Path) -> None:
    other = {name: {"role": role, "num_samples": 10} for name, role in DATASETS.items()}
    other["another"] = {"role": "retention", "num_samples": 10}
    last = evaluation(2, 99, 99, 99)
    steps = (*BASE, last)
    for step in steps:
        step["scores"]["another"] = 50
    folders = [
        made(tmp_path / "a", 20, 20),
        made(tmp_path / "b", 30, 30, lr=2),
        run_folder(tmp_path / "datasets", *steps, datasets=other),
        run_folder(tmp_path / "tasks", *BASE, num_tasks=1),
        run_folder(tmp_path / "stream", *BASE, last, stream={"name": "elsewhere", "sha256": "1" * 64}),
    ]
    ranked = entries(*folders)
    assert len({entry.track for entry in ranked}) == 4
    assert sorted(entry.rank for entry in ranked) == [1, 1, 1, 1, 2]


def test_runs_on_other_data_are_another_track(tmp_path: Path) -> None:
    last = evaluation(2, 40, 50, 60)
    streams: list[dict[str, str]] = [
        {"data_sha256": "a" * 64},
        {"data_sha256": "b" * 64},
        {"data_sha256": "a" * 64},
        {},
    ]
    folders = [
        run_folder(
            tmp_path / str(number), *BASE, last, lr=number, stream={"name": "made_up", "sha256": "0" * 64, **data}
        )
        for number, data in enumerate(streams)
    ]
    ranked = entries(*folders)
    assert len({entry.track for entry in ranked}) == 3
    assert [entry.rank for entry in ranked] == [1, 1, 1, 1]  # of equal GM


def tracks_of(tmp_path: Path, *changes: dict[str, Any]) -> list[str]:
    """The tracks of runs whose configurations and cards differ so, by dotted key, in the order given."""
    found = []
    for number, change in enumerate(changes):
        folder = made(tmp_path / str(number), 36, 36)
        for file in ("config.yaml", "card.json"):
            values = yaml.safe_load((folder / file).read_text())
            for key, value in change.items():
                section, _, name = key.rpartition(".")
                if (section == "card") == (file == "card.json"):
                    (values if section in ("", "card") else values.setdefault(section, {}))[name] = value
            put(folder / file, json.dumps(values))
        found += [entry.track for entry in entries(folder)]
    return found


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("evaluation.templates", "first", "all"),
        ("runtime.precision", "fp32", "bf16"),
        ("runtime.planned_precision", "fp32", "bf16"),
        ("stream.ordering", "random", "similarity"),
        ("stream.chunks", "equal", "dataset"),
        ("stream.pool_window", 10000, 10),
        ("stream.seed", 0, 1),
        ("card.stream_listing_sha256", "a", "b"),
    ],
)
def test_what_cannot_be_compared_is_another_track(key: str, one: Any, other: Any, tmp_path: Path) -> None:
    common = {"stream.ordering": "random", "runtime.precision": "fp32"}
    first, second, again = tracks_of(tmp_path, common | {key: one}, common | {key: other}, common | {key: one})
    assert first == again != second


@pytest.mark.parametrize(
    "key", ["stream.root", "stream.path", "runtime.device", "runtime.num_workers", "mixture.update"]
)
def test_where_it_runs_and_what_a_method_chooses_is_no_other_track(key: str, tmp_path: Path) -> None:
    common = {"stream.ordering": "random"}
    assert len(set(tracks_of(tmp_path, common | {key: 1}, common | {key: 2}))) == 1


def leaves(values: Any, prefix: str = "") -> list[str]:
    """Dotted keys of nested values."""
    if not isinstance(values, dict):
        return [prefix]
    return [leaf for key, value in values.items() for leaf in leaves(value, f"{prefix}.{key}" if prefix else key)]


def test_every_key_is_of_the_track_in_the_label_or_changes_no_result(tmp_path: Path) -> None:
    """Of two runs that differ in one key, entries are never alike; a key that is in neither makes them one entry.

    What ``scores.json`` and ``ledger.json`` say too may not differ from it.
    """
    whole = compose(["budget.total_mafs=100"])
    last = evaluation(2, 34, 38, 36)
    runs = [run_folder(tmp_path / name, *BASE, last, score_version=SCORE_VERSION) for name in ("a", "b")]
    neither = set()
    refused = set()
    for leaf in leaves(whole):
        other = json.loads(json.dumps(whole))
        *sections, last = leaf.split(".")
        node = other
        for section in sections:
            node = node[section]
        node[last] = "another" if leaf != "seed" else 1
        for run, values in zip(runs, (whole, other), strict=True):
            put(run / "config.yaml", json.dumps({**values, "label": "x"}))
        board = leaderboard(runs)
        refused |= {leaf} if board.refused else set()
        ranked = [] if board.refused else board.entries
        assert len({(entry.track, entry.label) for entry in ranked}) == len(ranked)
        neither |= {leaf.replace("checkpoint.", "")} if len(ranked) == 1 else set()
    assert refused == {"score_version", "evaluation.split", "budget.total_mafs", "budget.scale"}
    place = ("strategy", "device", "num_workers", "worker_timeout", "image_cache_gb", "allow_targets")
    same = {f"runtime.{key}" for key in (*place, *ENGINE)}
    same |= {"log._target_", *(f"evaluation.{key}" for key in LOOKS)}
    ours = {"seed", "run.dir", "run.tuned", "resume", "label", "keep_weights", "every_steps", "every_minutes"}
    assert neither == {*ours, *same}


def test_entries_of_one_label_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    runs = [made(tmp_path / "a", 36, 36, lr=1), made(tmp_path / "b", 49, 49, lr=2)]
    assert [entry.label for entry in entries(*runs)] == ["finetune (optimizer.lr=2)", "finetune (optimizer.lr=1)"]


def test_equal_scores_share_a_rank_whatever_their_folders_are_called(tmp_path: Path) -> None:
    gms = {"z": 36, "a": 49, "m": 49, "b": 25}
    runs = [made(tmp_path / name, gm, gm, label=name, lr=number) for number, (name, gm) in enumerate(gms.items())]
    for order in (runs, runs[::-1]):
        assert [(e.rank, e.label) for e in entries(*order)] == [(1, "a"), (1, "m"), (3, "z"), (4, "b")]


def test_two_results_of_one_seed_are_named_and_neither_counts(tmp_path: Path) -> None:
    first, second, other = (
        made(tmp_path / n, gm, gm, seed=s) for n, gm, s in (("a", 36, 0), ("b", 49, 0), ("c", 25, 1))
    )
    for order in ([first, second, other], [other, second, first]):
        board = leaderboard(order)
        assert [entry.seeds for entry in board.entries] == [(1,)] and board.entries[0].gm == 25
        assert list(board.refused) == [str(first), str(second)]
        for reason in board.refused.values():
            assert all(text in reason for text in (str(first), str(second), "seed 0 more than once", "36", "49"))
    assert not leaderboard([first, second]).entries


def test_runs_over_one_order_of_the_stream_share_an_entry_in_a_track_of_their_own(tmp_path: Path) -> None:
    last = evaluation(2, 40, 50, 60)
    runs = [(0, None), (1, None), (0, 7), (1, 7), (0, 8)]
    folders = [
        run_folder(tmp_path / str(number), *BASE, last, seed=seed, stream_seed=own)
        for number, (seed, own) in enumerate(runs)
    ]
    found = {entry.track.partition("stream seed ")[2][:1]: entry.seeds for entry in entries(*folders)}
    assert found == {"": (0, 1), "7": (0, 1), "8": (0,)}


def test_runs_that_may_not_be_ranked_are_refused_with_the_reason(tmp_path: Path) -> None:
    good = made(tmp_path / "good", 36, 36)
    refused = {
        "half": (run_folder(tmp_path / "half", *BASE), "1 of 2 updates"),
        "validation": (run_folder(tmp_path / "validation", *BASE, BASE[1] | {"task": 2}, split="validation"), "never"),
        "no card": (made(tmp_path / "no card", 90, 90), "card.json"),
        "no scores": (put(tmp_path / "no scores" / "config.yaml", "runtime: {}").parent, "scores.json"),
        "nan": (run_folder(tmp_path / "nan", *BASE, evaluation(2, 1, float("nan"), 3)), "new_b"),
        "no config": (made(tmp_path / "no config", 90, 90), "config.yaml"),
        "bad config": (made(tmp_path / "bad config", 90, 90), "config.yaml"),
        "no seed": (made(tmp_path / "no seed", 90, 90), "seed"),
        "edited": (made(tmp_path / "edited", 90, 90), "not the one that the run wrote"),
        "bad card": (made(tmp_path / "bad card", 90, 90), "not the card of a run"),
    }
    edited = tmp_path / "edited" / "scores.json"
    edited.write_text(edited.read_text().replace("92", "99"))
    put(tmp_path / "bad card" / "card.json", "[]")
    (tmp_path / "no card" / "card.json").unlink()
    (tmp_path / "no config" / "config.yaml").unlink()
    put(tmp_path / "bad config" / "config.yaml", "{")
    put(tmp_path / "no seed" / "config.yaml", "runtime: {}")
    board = leaderboard([good, *(folder for folder, _ in refused.values())])
    assert [entry.gm for entry in board.entries] == [36]
    assert set(board.refused) == {str(folder) for folder, _ in refused.values()}
    for folder, reason in refused.values():
        assert reason in board.refused[str(folder)] and str(folder) in board.refused[str(folder)]


def test_the_command_finds_runs_in_folders_and_prints_json_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        made(tmp_path / "sweep" / f"seed={seed}", 36, 36, seed=seed)
    run_folder(tmp_path / "sweep" / "half", *BASE)
    assert status("leaderboard", str(tmp_path), "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [entry["seeds"] for entry in shown["entries"]] == [[0, 1]] and len(shown["refused"]) == 1


def test_the_command_shows_labels_and_reasons_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "a", 36, 36, label="lora trainable.x=[attn,mlp]")
    run_folder(tmp_path / "[half]", *BASE)
    assert status("leaderboard", str(tmp_path)) == 0
    shown = capsys.readouterr().out
    assert "36.0" in shown and "not budgeted" in " ".join(shown.split())
    assert "[attn,mlp]" in shown.replace("\n", "") and "[half]" in shown


def test_the_command_fails_when_nothing_can_be_ranked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no run folder" in error_of(capsys, "leaderboard", str(tmp_path))
    run_folder(tmp_path / "half", *BASE)
    assert "1 of 2 updates" in error_of(capsys, "leaderboard", str(tmp_path), "--json")
    assert "not a folder" in error_of(capsys, "leaderboard", str(tmp_path / "nowhere"))


def test_a_run_that_overspent_is_refused(tmp_path: Path) -> None:
    run_folder(tmp_path / "a", *BASE, evaluation(2, 36, 36, 36), spent=100.5)
    run_folder(tmp_path / "b", *BASE, evaluation(2, 36, 36, 36), spent=100.0)
    board = leaderboard([tmp_path / "a", tmp_path / "b"])
    assert len(board.entries) == 1 and "overspent: 100.5 of 100 total_mafs" in board.refused[str(tmp_path / "a")]
    assert board.entries[0].track.endswith("total_mafs 100")


@pytest.mark.parametrize("content", ["{", "[]", '{"unit": "total_mafs"}', '{"unit": "total_mafs", "total": "x"}'])
def test_a_ledger_that_is_none_or_not_the_runs_is_refused(content: str, tmp_path: Path) -> None:
    folder = made(tmp_path / "a", 36, 36)
    put(folder / "ledger.json", content)
    assert "ledger.json" in leaderboard([folder]).refused[str(folder)]
    (folder / "ledger.json").unlink()
    assert "ledger.json" in leaderboard([folder]).refused[str(folder)]


def test_results_of_two_score_versions_are_never_ranked_together(tmp_path: Path) -> None:
    last = evaluation(2, 36, 36, 36)
    now, old = run_folder(tmp_path / "now", *BASE, last, score_version="2.1"), made(tmp_path / "old", 49, 49, seed=1)
    found = entries(now, old)
    assert [entry.rank for entry in found] == [1, 1]
    assert ["scores 1.0" in entry.track for entry in found] == [True, False]


def test_what_a_stranger_wrote_takes_no_more_room_than_a_line(tmp_path: Path) -> None:
    made(tmp_path / "long", 40, 40, label=f"first\n{'x' * 5000} last")
    steps = (*BASE, evaluation(2, 40, 40, 40))
    run_folder(tmp_path / "split", *steps, split="z" * 10**6)
    run_folder(tmp_path / "odd", *steps, marks={"y": "y" * 10**6})
    run_folder(tmp_path / "marks", *steps, marks=["y" * 1001])
    run_folder(tmp_path / "name", *steps, stream={"name": "y" * 1001})
    board = leaderboard(list(tmp_path.iterdir()))
    (table,) = tables(board)
    (label,) = [row[1] for row in table.rows]
    assert label.startswith("first xxx") and label.endswith("x last") and len(label) == 200 and "…" in label
    assert board.entries[0].label.count("x") == 5000
    assert {Path(name).name for name in board.refused} == {"split", "odd", "marks", "name"}
    assert max(map(len, board.refused.values())) <= 600
    assert "its caveats have 1,001 characters" in board.refused[str(tmp_path / "marks")]
