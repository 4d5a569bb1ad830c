"""An encoder whose tokens are averaged and read out, as in arXiv 2311.01575: softmax attention, a ReLU-like layer, a mean.

The published one has ReLU; softplus takes its place here, which is smooth.
"""

import jax
import jax.numpy as jnp
import numpy as np


def model(seed=0, N=4, n=3, D=6, d=4, width=8):
    g = np.random.default_rng(seed).standard_normal
    X, y = g((N, n, D)), g(N)

    def residual(params):
        Q, K, V = (X @ params[b] for b in "QKV")
        A = jax.nn.softmax(Q @ K.transpose(0, 2, 1) / np.sqrt(d), axis=-1) @ V
        return jnp.mean(jax.nn.softplus(A @ params["W"]), axis=1) @ params["v"] - y

    params = {b: g((D, d)) / np.sqrt(D) for b in "QKV"}
    return residual, {**params, "W": g((d, width)) / np.sqrt(d), "v": g(width) / np.sqrt(width)}
