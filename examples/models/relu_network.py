"""A two-layer ReLU network: taken where no unit comes near its kink."""

import jax
import numpy as np


def model(seed=0, samples=6, features=4, width=32):
    g = np.random.default_rng(seed).standard_normal
    X, y = g((samples, features)), g(samples)
    signs = np.sign(g(width)) / np.sqrt(width)

    def residual(params):
        return jax.nn.relu(X @ params["W"]) @ signs - y

    return residual, {"W": g((features, width))}
