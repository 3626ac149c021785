"""What a normal or a logistic distribution of a table's scale would cost in place of the fitted table.

    python benchmarks/likelihoods.py WEIGHTS

For every sixth of the 64 tables: entropy in bits, and the cross-entropy of both distributions above it in percent.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gancodec.errors import ConfigError
from gancodec.networks.integer import TABLES, table_scale
from gancodec.registry import read_entry
from gancodec.training.export_photo import logistic_weights
from gancodec.weights import PhotoWeights, load_weights


def normal_weights(scale: float, limit: int) -> NDArray[np.float64]:
    """A zero-mean normal on −limit … limit."""
    edges = [0.5 * math.erfc(-(edge - 0.5) / scale * math.sqrt(0.5)) for edge in range(-limit, limit + 2)]
    return np.diff(edges)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="a codec of photo")
    weights = load_weights(read_entry(parser.parse_args().weights), torch.device("cpu"))
    if not isinstance(weights, PhotoWeights):
        raise ConfigError("not a codec of photo")
    print("table   scale  bits  normal  logistic")
    for table in range(8, TABLES, 6):
        scale, limit = table_scale(table), int(weights.latent_tables.range_T[table])
        share = weights.latent_tables.frequencies(table)[:-1] / 65536
        bits = float(-(share * np.log2(share)).sum())
        costs = []
        for assumed in (normal_weights(scale, limit), logistic_weights(scale)[:-1]):
            cross = float(-(share * np.log2(np.maximum(assumed, 1e-12))).sum())
            costs.append(100 * (cross / bits - 1))
        print(f"{table:5d} {scale:7.3f} {bits:5.2f} {costs[0]:+6.2f} % {costs[1]:+6.2f} %")


if __name__ == "__main__":
    main()
