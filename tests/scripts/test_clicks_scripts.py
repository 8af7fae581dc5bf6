"""The analysis of rats that count clicks, and the benchmark of reading, run from the command line."""

import os
import re
from pathlib import Path

import hanks_files
import numpy as np
import pytest

from neuro_bpl.neural.sessions.reading import read

pytestmark = pytest.mark.full

SCRIPT = "analyses/clicks_recordings.py"


def tells(trials, much):
    """Units fire at 0.2 to 0.4 s from stimulus onset where the rat goes right."""
    rng = np.random.default_rng(0)
    for one in trials:
        for unit in range(2):
            extra = rng.uniform(0.2, 0.4, (much * int(one["pokedR"]), 1))
            one["spike_times"][0, unit] = np.sort(np.r_[one["spike_times"][0, unit], extra], axis=0)
    return trials


def rows(out):
    """Areas by region, window and trials."""
    found = re.findall(r"\| (\w+) \(\d+ units\) \| (\S+) to \S+ \| ([\w ]+) \| ([\d.]+) \[.*\| ([\d.]+) \|\n", out)
    return {(region, float(start), kind): (float(area), float(p)) for region, start, kind, area, p in found}


def test_the_analysis_finds_the_region_and_the_window_that_tell_the_choice(script, tmp_path):
    for name, much in (("T034_1", 20), ("T036_1", 20), ("T035_1", 0), ("T011_1", 0)):
        seed = int(name[1:4])
        hanks_files.write(tmp_path / f"{name}.mat", tells(hanks_files.trials(seed, 80), much))
    words = (
        "--folder",
        tmp_path,
        "--output",
        tmp_path / "figure",
        "--n-permutations",
        200,
        "--n-bootstrap",
        200,
        "--n-refits",
        100,
    )
    status, out, err = script(SCRIPT, *words)
    assert (status, err) == (0, "")
    found = rows(out)
    assert len(found) == 18
    for (region, start, kind), (area, p) in found.items():
        if (region, start) == ("FOF", 0.2):
            least = 0.7 if kind == "spikes until it ends" else 0.9  # some stimuli end before units fire
            assert (area > least, p) == (True, 0.005), kind
        else:
            assert area < 0.65, kind
    assert np.mean([p < 0.05 for key, (_, p) in found.items() if key[:2] != ("FOF", 0.2)]) <= 0.2
    assert re.search(r"\| T034 \| FOF \| 1 \| 2 \| 80 \(0\) (\| [-+.\d]+ \[[-+.\d]+, [-+.\d]+\] ){4}\|\n", out)
    assert "| FOF − PPC, above shuffles | 0.2 to 0.4 |" in out
    assert {path.suffix for path in tmp_path.glob("figure.*")} == {".png", ".svg"}


def test_the_analysis_without_sessions_says_how_to_get_them(script, tmp_path):
    status, out, err = script(SCRIPT, "--folder", tmp_path)
    assert (status, out) == (2, "")
    assert "hanks2015" in err
    assert script(SCRIPT, "--folder", tmp_path, "--download")[0] == 2


def test_the_analysis_of_one_unit_says_that_there_is_no_interval(script, tmp_path):
    hanks_files.write(tmp_path / "T034_1.mat", hanks_files.trials(0, 40, n_units=1))
    status, _, err = script(SCRIPT, "--folder", tmp_path, "--output", tmp_path / "figure")
    assert status == 2
    assert "at least two of a region" in err


def test_the_benchmark_of_reading(script, tmp_path):
    output = tmp_path / "table.md"
    words = ("--spikes", 500, "--units", 3, "--trials", 10, "--rounds", 1, "--output", output)
    status, out, err = script("benchmarks/spike_reading.py", *words)
    assert (status, err) == (0, "")
    assert "| all three |" in out
    assert output.read_text(encoding="utf-8") in out


@pytest.mark.science
def test_frontal_units_tell_the_choice_before_parietal_ones(script, tmp_path):
    """Hanks et al. 2015: choice is told by FOF from the stimulus on, and later by both."""
    place = os.environ.get("NEURO_BPL_DATA")
    folder = Path(place or ".") / "neural/hanks2015"
    if not place or not folder.is_dir():
        pytest.skip("NEURO_BPL_DATA names no folder with neural/hanks2015")
    status, out, _ = script(SCRIPT, "--folder", folder, "--output", tmp_path / "figure")
    found = rows(out)
    assert status == 0
    assert sum(read(path)["units"].sizes["unit"] for path in folder.glob("*.mat")) == 18
    assert [round(found["FOF", start, "all trials"][0], 2) for start in (-0.3, 0.0, 0.2)] == [0.54, 0.56, 0.63]
    assert [round(found["PPC", start, "all trials"][0], 2) for start in (-0.3, 0.0, 0.2)] == [0.53, 0.53, 0.62]
    assert found["FOF", 0.0, "all trials"][1] < 0.01 < 0.2 < found["PPC", 0.0, "all trials"][1]
    assert found["PPC", 0.2, "stimulus still on"][0] < found["PPC", 0.2, "all trials"][0]
    assert round(found["PPC", 0.2, "spikes until it ends"][0], 2) == 0.55
