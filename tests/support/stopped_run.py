"""A run that was stopped half-way, as other versions of Python and of the packages have left it.

`python tests/support/stopped_run.py PATH.zip` writes it again, with the versions that it is started with.
"""

import contextlib
import sys
import tempfile
import zipfile
from pathlib import Path

import neuro_bpl as nb
from neuro_bpl.runs import run_writer

FILES = sorted((Path(__file__).resolve().parents[2] / "data" / "reference").glob("stopped_run_*.zip"))
N_UPDATES, N_STORED = 6, 2


class StoppedError(Exception):
    """The process ends here."""


def train(**changed):
    """The experiment: masks, states of three optimisers, texts as labels, weights drawn from seeds."""
    task = nb.tasks.TargetReaching(n_steps=4)
    circuit = nb.Circuit(nb.RateCortex(task.n_inputs, 3), nb.LinearReadout(2), nb.GranularPredictor(5, fan_in=2))
    asked = {
        "n_updates": N_UPDATES,
        "batch_size": 3,
        "n_evaluations": 3,
        "n_snapshots": 3,
        "seeds": 2,
        "optimizers": nb.Optimizers(nb.Optimizer("adam"), nb.Optimizer("rmsprop"), nb.Optimizer("sgd", 0.1)),
        "record": ["weight_change", "gradient_alignment", "rates"],
        "compare": [nb.dni()],
        "model": "stopped_run.py",
        "progress": False,
    }
    return nb.train(circuit, task, nb.bp_lambda(0.5), **{**asked, **changed})


def unpacked(file, path):
    """The run of a file, in a folder."""
    with zipfile.ZipFile(file) as archive:
        archive.extractall(path)
    return path


def write(file):
    """Train until `N_STORED` updates are stored, and put what is there into a file."""
    commit, done = run_writer.RunWriter.commit, []

    def counted(*arguments):
        if len(done) == 2:
            raise StoppedError
        commit(*arguments)
        done.append(1)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        run_writer.RunWriter.commit = counted
        with contextlib.suppress(StoppedError):
            train(output=path)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in sorted(path.rglob("*")):
                archive.write(part, part.relative_to(path))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
