"""The documentation is true: its code runs, its links lead somewhere, its tables and lists say what the package has."""

import pkgutil
import re
from pathlib import Path

import jax
import pytest
from dask_jobqueue import SLURMCluster
from scripting import ROOT

import neuro_bpl as nb
from neuro_bpl.runs.quantities import QUANTITIES

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def code_blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


def table(text: str, head: str) -> list[list[str]]:
    """Cells of the rows of the Markdown table that begins with `head`."""
    _, rule, *rows = text[text.index(head) :].split("\n\n")[0].splitlines()
    assert set(rule) <= set("|-")
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=pytest.mark.smoke if page.name == "README.md" else pytest.mark.full)
        for page in PAGES
        if code_blocks(page)
    ],
)
def test_the_code_on_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with jax.enable_x64(False):
        namespace = {}
        for block in code_blocks(page):
            exec(compile(block, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith(("http", "mailto"))]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_the_recipe_for_slurm_makes_the_job_that_it_describes(tmp_path):
    text = (ROOT / "docs/clusters.md").read_text(encoding="utf-8")
    given = eval(f"dict({re.search(r'SLURMCluster[(](.*?)[)]', text, re.S)[1]})")
    # The network and the folder of the recipe are not those of this machine.
    given |= {"interface": None, "log_directory": str(tmp_path / "logs")}
    with SLURMCluster(**given, scheduler_options={"dashboard_address": ":0"}) as cluster:
        script = cluster.job_script()
    for words in ("-p cpu", "-A my_project", "-n 1", "--cpus-per-task=8", "-t 04:00:00"):
        assert f"#SBATCH {words}\n" in script
    assert re.search(r"#SBATCH --mem=1[56]G", script)
    assert "--nthreads 1" in script
    assert "--nworkers" not in script
    assert "--lifetime 230m --lifetime-stagger 5m" in script


def test_equations_that_docstrings_cite_exist():
    numbers = set(re.findall(r"\\tag\{(\w+)\}", (ROOT / "docs/theory.md").read_text(encoding="utf-8")))
    cited = {
        number
        for source in (ROOT / "neuro_bpl").rglob("*.py")
        for numbers in re.findall(r"docs/theory\.md ((?:\(\d+\)[–, and]*)+)", source.read_text(encoding="utf-8"))
        for number in re.findall(r"\((\d+)\)", numbers)
    }
    assert len(cited) >= 10
    assert cited <= numbers


def test_the_front_page_shows_an_example_before_line_35():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert next(i for i, line in enumerate(lines) if line == "```python") < 35


def test_the_schema_lists_what_can_be_recorded_and_nothing_else():
    rows = table((ROOT / "docs/schema.md").read_text(encoding="utf-8"), "| name | group | dims beside `seed`")
    declared = [
        [
            f"`{name}`",
            quantity.group,
            ", ".join(quantity.dims),
            quantity.units.format(loss="loss"),
            quantity.long_name,
            quantity.cadence,
            ", ".join(quantity.needs) or "all",
        ]
        for name, quantity in QUANTITIES.items()
    ]
    assert rows == declared


def test_the_schema_names_every_dim_of_a_quantity_as_reserved():
    page = (ROOT / "docs/schema.md").read_text(encoding="utf-8")
    reserved = re.search(r"\*\*Reserved dims\*\* are (.*?), and the axes", page, re.S).group(1)
    assert {dim for quantity in QUANTITIES.values() for dim in quantity.dims} < set(re.findall(r"`(\w+)`", reserved))


def test_the_api_page_lists_every_module_and_every_public_name():
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    modules = [module.name for module in pkgutil.walk_packages(nb.__path__, "neuro_bpl.") if not module.ispkg]
    assert sorted(re.findall(r"automodule:: (\S+)", page)) == sorted(modules)
    names = [name for row in table(page, "| name | what |") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(names) == sorted(nb.__all__)


def test_an_own_cell_task_rule_and_predictor_take_fewer_than_25_lines_each():
    own = [block for block in code_blocks(ROOT / "docs/extending.md") if block.startswith("# own ")]
    assert [block.splitlines()[0] for block in own] == ["# own cell", "# own task", "# own rule", "# own predictor"]
    for block in own:
        assert sum(bool(line) and not line.startswith("#") for line in map(str.strip, block.splitlines())) < 25
        exec(compile(block, "docs/extending.md", "exec"), {})  # Its imports are its own.


def test_an_own_equation_takes_fewer_than_ten_lines():
    (own,) = (block for block in code_blocks(ROOT / "docs/brian.md") if block.startswith("# own equation"))
    assert sum(bool(line) and not line.startswith("#") for line in map(str.strip, own.splitlines())) < 10


def test_no_number_of_a_paper_and_no_print_in_the_package():
    for source in (ROOT / "neuro_bpl").rglob("*.py"):
        assert not re.search(r"^\s*print\(", source.read_text(encoding="utf-8"), re.M), source


def test_lines_of_markdown_are_at_most_120_columns_wide():
    """Rows of tables, images, code and equations apart."""
    wide = []
    for page in [*PAGES, *ROOT.glob("*.md"), ROOT / "data" / "README.md"]:
        text = re.sub(r"```.*?```|\$\$.*?\$\$", "", page.read_text(encoding="utf-8"), flags=re.S)
        wide += [line for line in text.splitlines() if len(line) > 120 and not line.lstrip().startswith(("|", "!["))]
    assert wide == []
