"""Encoder effort: better symbols for the picture at hand, from the same weights and for the same decoder.

    picture ─► y, z ─► plain rounding (effort 0)
                └────► annealing.py: y and z refined by gradients (effort 5 to 9)
                        └─► descent.py: whole steps of symbols, judged by exact tables and curvature (effort 1 to 9)
                             └─► objective.py: bits and distortion of the real picture decide which ones are kept

docs/effort.md has the equations and their sources, and what every level gains.
"""

from gancodec.effort.curvature import measure_curvature
from gancodec.effort.levels import LEVELS, Level
from gancodec.effort.refine import Refiner
from gancodec.effort.request import Effort, Step, go_on

__all__ = ["LEVELS", "Effort", "Level", "Refiner", "Step", "go_on", "measure_curvature"]
