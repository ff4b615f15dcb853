"""The tables of the docs are what the rows in methods/ say, and the rows are all options that there are."""

import re
from pathlib import Path

import pytest

from docs.tables import HANDED, MARKED, PAGES, TABLES, filled
from fomo.config.compose import builtin_groups, compose
from methods.lora import ADAPTERS
from methods.meta_schedules import META_SCHEDULES
from methods.papers import PAPERS
from methods.presets import PRESETS
from methods.regularizers import REGULARIZERS
from methods.schedules import SCHEDULES
from methods.trainable import TRAINED

ROWS = {
    "method": list(PRESETS),
    "trainable": [*TRAINED, *ADAPTERS],
    "regularizer": ["none", *REGULARIZERS],
    "schedule": list(SCHEDULES),
    "meta_schedule": list(META_SCHEDULES),
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_what_make_docs_writes(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == filled(text), f"{page.name} is behind the rows in methods/: run make docs"


def test_every_table_stands_on_one_page() -> None:
    found = [match[2] for page in PAGES for match in MARKED.finditer(page.read_text(encoding="utf-8"))]
    assert sorted(found) == sorted(TABLES)


@pytest.mark.parametrize("handed", HANDED, ids=lambda handed: handed.__name__)
def test_help_of_what_a_part_is_handed_names_every_field(handed: type) -> None:
    fields = handed.__annotations__
    assert fields and [name for name in fields if not re.search(rf"``[^`]*\b{name}\b", handed.__doc__ or "")] == []


@pytest.mark.parametrize("group", ROWS)
def test_every_option_of_a_group_has_a_row(group: str) -> None:
    assert sorted(ROWS[group]) == sorted(builtin_groups()[group])


@pytest.mark.parametrize(("group", "rows"), [("schedule", SCHEDULES), ("meta_schedule", META_SCHEDULES)])
def test_a_row_of_a_schedule_has_the_function_that_its_option_names(group: str, rows: dict[str, object]) -> None:
    for name, row in rows.items():
        function = row.function  # type: ignore[attr-defined]
        target = compose([f"{group}={name}"])[group]["_target_"]
        assert target == f"{function.__module__}.{function.__name__}"


def test_a_paper_is_cited_with_its_year_and_has_a_number_of_arxiv() -> None:
    assert len(PAPERS) == len(set(PAPERS.values())) > 20
    for paper in PAPERS.values():
        assert re.search(r" (19|20)\d\d$", paper.cited), paper
        assert not paper.arxiv or re.fullmatch(r"\d{4}\.\d{5}", paper.arxiv), paper
