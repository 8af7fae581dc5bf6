"""The documentation is true: its code runs, its links lead somewhere, its citations of equations exist."""

import re
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def code_blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.S)


@pytest.mark.parametrize("page", [page for page in PAGES if code_blocks(page)], ids=lambda page: page.name)
def test_the_code_on_a_page_runs_from_top_to_bottom(page):
    with jax.enable_x64(False):
        namespace = {}
        for block in code_blocks(page):
            exec(compile(block, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    local = [link for link in links if not link.startswith(("http", "mailto"))]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_equations_that_docstrings_cite_exist():
    numbers = set(re.findall(r"\\tag\{(\w+)\}", (ROOT / "docs/theory.md").read_text()))
    cited = {
        number
        for source in (ROOT / "neuro_bpl").rglob("*.py")
        for numbers in re.findall(r"docs/theory\.md ((?:\(\d+\)[–, and]*)+)", source.read_text())
        for number in re.findall(r"\((\d+)\)", numbers)
    }
    assert len(cited) >= 10
    assert cited <= numbers


def test_the_front_page_shows_an_example_before_line_35():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert next(i for i, line in enumerate(lines) if line == "```python") < 35


def test_no_number_of_a_paper_and_no_print_in_the_package():
    for source in (ROOT / "neuro_bpl").rglob("*.py"):
        assert not re.search(r"^\s*print\(", source.read_text(), re.M), source
