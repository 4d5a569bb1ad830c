"""Attention by distance with rows that sum to 1: exp(-|q - k|^2 / (2 sqrt d)), normalised."""

import jax
import jax.numpy as jnp
import numpy as np


def model(seed=0, N=2, n=4, D=8, d=4, H=3):
    g = np.random.default_rng(seed).standard_normal
    X, y = g((N, n, D)), g((N, n, 1))
    W_O = g((H, d, 1)) / np.sqrt(H * d)

    def residual(params):
        Q, K, V = (jnp.einsum("inD,hDd->ihnd", X, params[b]) for b in "QKV")
        apart = Q[:, :, :, None, :] - K[:, :, None, :, :]
        scores = -jnp.sum(apart**2, axis=-1) / (2 * np.sqrt(d))
        return jnp.einsum("ihnm,ihmd,hdp->inp", jax.nn.softmax(scores, axis=-1), V, W_O) - y

    return residual, {b: g((H, D, d)) / np.sqrt(D) for b in "QKV"}
