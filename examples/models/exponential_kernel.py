"""Attention by exp(q k / sqrt d) without normalisation: softmax's weights, but rows do not sum to 1."""

import jax.numpy as jnp
import numpy as np


def model(seed=0, N=2, n=4, D=8, d=4, H=3):
    g = np.random.default_rng(seed).standard_normal
    X, y = g((N, n, D)), g((N, n, 1))
    W_O = g((H, d, 1)) / np.sqrt(H * d)

    def residual(params):
        Q, K, V = (jnp.einsum("inD,hDd->ihnd", X, params[b]) for b in "QKV")
        weights = jnp.exp(jnp.einsum("ihnd,ihmd->ihnm", Q, K) / np.sqrt(d)) / n
        return jnp.einsum("ihnm,ihmd,hdp->inp", weights, V, W_O) - y

    return residual, {b: g((H, D, d)) / np.sqrt(D) for b in "QKV"}
