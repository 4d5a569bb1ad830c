"""Linear, layer norm, tanh, linear."""

import jax
import jax.numpy as jnp
import numpy as np


def model(seed=0, samples=6, features=4, width=16):
    g = np.random.default_rng(seed).standard_normal
    X, y = g((samples, features)), g(samples)

    def residual(params):
        z = X @ params["W"]
        z = z - jnp.mean(z, axis=-1, keepdims=True)
        z = z * jax.lax.rsqrt(jnp.mean(z**2, axis=-1, keepdims=True) + 1e-5)
        return jnp.tanh(params["scale"] * z + params["shift"]) @ params["v"] - y

    params = {"W": g((features, width)) / np.sqrt(features), "scale": np.ones(width), "shift": np.zeros(width)}
    return residual, {**params, "v": g(width) / np.sqrt(width)}
