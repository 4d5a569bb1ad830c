"""Attention of which W^Q alone is trained, with four kernels: by inner product or distance, rows that sum to 1 or not.

`values="constant"`: no value depends on its token. `"paired"`: values as drawn. In both the heads come in pairs with
opposite read-outs, so that the output at M_0 is zero. `"single"`: values as drawn, heads not paired.
"""

import jax
import jax.numpy as jnp
import numpy as np


def model(seed=0, distance=False, normalised=True, values="constant", scale=10.0, N=2, n=3, D=6, d=3, H=4):
    g = np.random.default_rng(seed).standard_normal
    X, y = g((N, n, D)), g((N, n))
    W_Q, W_K = (g((H, D, d)) / np.sqrt(D) for _ in range(2))
    u = scale * g((N, H, n))  # u[i, h, j] = x_ij W^V_h W^O_h
    if values == "constant":
        u[:] = u[:1, :, :1]
    if values != "single":
        half = H // 2
        W_Q[half:], W_K[half:], u[:, half:] = W_Q[:half], W_K[:half], -u[:, :half]
    K = np.einsum("inD,hDd->ihnd", X, W_K)

    def residual(params):
        Q = jnp.einsum("inD,hDd->ihnd", X, params["Q"])
        if distance:
            scores = -jnp.sum((Q[:, :, :, None, :] - K[:, :, None, :, :]) ** 2, axis=-1) / (2 * np.sqrt(d))
        else:
            scores = jnp.einsum("ihnd,ihmd->ihnm", Q, K) / np.sqrt(d)
        weights = jax.nn.softmax(scores, axis=-1) if normalised else jnp.exp(scores)
        return jnp.einsum("ihnm,ihm->in", weights, u) - y

    return residual, {"Q": W_Q}
