"""Encoder effort: better symbols for the picture at hand, from the same weights and for the same decoder.

    picture ─► y, z ─► plain rounding (effort 0)
                └────► annealing.py: y and z refined by gradients (effort 5 to 9)
                        └─► descent.py: whole steps of symbols, judged by exact tables and curvature (effort 1 to 9)
                             └─► objective.py: bits and distortion of the real picture decide which ones are kept

request.py is what callers say, refine.py what the facade calls.  docs/effort.md has the equations and their sources,
and what every level gains.
"""
