"""Training that is stopped between two commits, or inside one."""

import pytest
from tiny import train

from neuro_bpl.runs import part_writer, run_writer

ASKED = {"record": ["gradient_alignment"], "n_updates": 6, "n_evaluations": 3, "n_snapshots": 2}


class StoppedError(KeyboardInterrupt):
    """The process ends here."""


def stopped(monkeypatch, path, commits, at="commit", begin=train, **experiment):
    """Train until so many commits are done, then end: before the next one, or inside it."""
    commit, write, passed = run_writer.RunWriter.commit, part_writer._write, []

    def counted(*arguments):
        if at == "commit" and len(passed) == commits:
            raise StoppedError
        commit(*arguments)
        passed.append(1)

    def half(*arguments):
        if len(passed) == commits:
            raise StoppedError
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(run_writer.RunWriter, "commit", counted)
        if at == "write":
            patch.setattr(part_writer, "_write", half)
        with pytest.raises(StoppedError):
            begin(**{**ASKED, **experiment}, output=path)
