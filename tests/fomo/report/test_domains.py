"""Forgetting by domain, worked out by hand."""

import json
from pathlib import Path
from typing import Any

from fomo.report.domains import DomainRow, by_domain
from fomo.results.scores import Scores
from fomo.results.scores_file import read_scores
from tests.fomo.helpers import evaluation, put, scores_content

PATH = (evaluation(0, 10, 20, 64), evaluation(1, 50, 20, 60), evaluation(2, 40, 32, 36))


def scored(folder: Path, *path: dict[str, Any], **domains: str) -> Scores:
    content = scores_content(*path)
    for name, domain in domains.items():
        content["datasets"][name]["domain"] = domain
    put(folder / "scores.json", json.dumps(content))
    return read_scores(folder)


def test_a_domain_falls_from_the_best_of_each_of_its_datasets(tmp_path: Path) -> None:
    assert by_domain(scored(tmp_path, *PATH, new_a="birds", new_b="birds", old="maps")) == [
        DomainRow("maps", ("old",), base=64, best=64, last=36),
        DomainRow("birds", ("new_a", "new_b"), base=15, best=41, last=36),
    ]


def test_a_dataset_is_in_each_of_its_domains_and_without_one_stands_for_itself(tmp_path: Path) -> None:
    rows = by_domain(scored(tmp_path, *PATH, new_a="birds, drawn", new_b="birds"))
    assert [(row.domain, row.fall) for row in rows] == [("old", 28), ("drawn", 10), ("birds", 5)]
    assert [row.fall for row in by_domain(scored(tmp_path, PATH[0]))] == [0, 0, 0]
