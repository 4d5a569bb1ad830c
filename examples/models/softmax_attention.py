"""The poster's one-layer attention with softmax weights, query, key and value matrices trained."""

import jax
import jax.numpy as jnp
import numpy as np


def model(seed=0, N=2, n=4, D=8, d=4, H=3):
    g = np.random.default_rng(seed).standard_normal
    X, y = g((N, n, D)), g((N, n, 1))
    W_O = g((H, d, 1)) / np.sqrt(H * d)

    def residual(params):
        Q, K, V = (jnp.einsum("inD,hDd->ihnd", X, params[b]) for b in "QKV")
        weights = jax.nn.softmax(jnp.einsum("ihnd,ihmd->ihnm", Q, K) / np.sqrt(d), axis=-1)
        return jnp.einsum("ihnm,ihmd,hdp->inp", weights, V, W_O) - y

    return residual, {b: g((H, D, d)) / np.sqrt(D) for b in "QKV"}
