"""Attention and a GELU feed-forward layer, both with residual connections, and a trained read-out (arXiv 2506.05249)."""

import jax
import jax.numpy as jnp
import numpy as np


def model(seed=0, N=2, n=4, D=8, d=4, H=2, width=16):
    g = np.random.default_rng(seed).standard_normal
    X, y = g((N, n, D)), g((N, n))

    def residual(params):
        Q, K, V = (jnp.einsum("inD,hDd->ihnd", X, params["attention"][b]) for b in "QKV")
        weights = jax.nn.softmax(jnp.einsum("ihnd,ihmd->ihnm", Q, K) / np.sqrt(d), axis=-1)
        Z = X + jnp.einsum("ihnm,ihmd,hdD->inD", weights, V, params["attention"]["O"])
        first, second = params["layers"]
        Z = Z + jax.nn.gelu(Z @ first["W"] + first["b"], approximate=False) @ second["W"] + second["b"]
        return Z @ params["readout"] - y

    attention = {b: g((H, D, d)) / np.sqrt(D) for b in "QKV"}
    attention["O"] = g((H, d, D)) / np.sqrt(H * d)
    layers = [
        {"W": g((D, width)) / np.sqrt(D), "b": np.zeros(width)},
        {"W": g((width, D)) / np.sqrt(width), "b": np.zeros(D)},
    ]
    return residual, {"attention": attention, "layers": layers, "readout": g(D) / np.sqrt(D)}
