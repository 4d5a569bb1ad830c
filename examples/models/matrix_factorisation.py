"""A B = Y for square matrices."""

import numpy as np


def model(seed=0, size=4):
    g = np.random.default_rng(seed).standard_normal
    Y = g((size, size))

    def residual(params):
        return params["A"] @ params["B"] - Y

    return residual, {"A": g((size, size)), "B": g((size, size))}
