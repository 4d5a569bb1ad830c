"""A two-layer network with tanh units and a fixed read-out, as in Du et al. (arXiv 1810.02054): the first layer is trained."""

import jax.numpy as jnp
import numpy as np


def model(seed=0, samples=8, features=4, width=64):
    g = np.random.default_rng(seed).standard_normal
    X, y = g((samples, features)), g(samples)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    signs = np.sign(g(width)) / np.sqrt(width)

    def residual(params):
        return jnp.tanh(X @ params["W"]) @ signs - y

    return residual, {"W": g((features, width))}
