"""A task that ends the process that trains on it, for workers to import."""

import os
import signal
from dataclasses import dataclass
from functools import partial

import jax
from tiny import Recall

SURVIVOR = "NEURO_BPL_SURVIVOR"  # the process that does not die of it


@partial(jax.tree_util.register_dataclass, data_fields=("noise", "fatal"), meta_fields=())
@dataclass(frozen=True)
class Deadly(Recall):
    """With noise of 1, a worker dies before the first update."""

    def held_out(self, split):
        if self.noise == 1 and os.environ[SURVIVOR] != str(os.getpid()):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().held_out(split)
