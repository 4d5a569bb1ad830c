"""Models written with Flax, by both of its interfaces: residual, gradient and Jacobian against JAX, and a proof."""

import numpy as np
import pytest

import gdcert

jax = pytest.importorskip("jax")
pytest.importorskip("flax")
import jax.numpy as jnp  # noqa: E402
from flax import linen, nnx  # noqa: E402
from test_models import agree  # noqa: E402

g = np.random.default_rng(3).standard_normal


class MLP(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.gelu(linen.LayerNorm()(linen.Dense(8)(x)))
        return linen.Dense(1)(x)


class Attention(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = x + linen.MultiHeadDotProductAttention(num_heads=2)(x, x)
        x = x + linen.Dense(6)(linen.gelu(linen.Dense(8)(linen.LayerNorm()(x)), approximate=False))
        return linen.Dense(1)(x.mean(axis=1))


class CNN(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.avg_pool(linen.softplus(linen.Conv(3, (3, 3))(x)), (2, 2), strides=(2, 2))
        x = jnp.tanh(linen.Conv(4, (2, 2), strides=(2, 1), padding="VALID", kernel_dilation=(1, 2))(x))
        return linen.Dense(1)(x.reshape(x.shape[0], -1))


SHAPES = {MLP: (4, 3), Attention: (4, 3, 6), CNN: (3, 8, 8, 2)}


@pytest.mark.parametrize("module", SHAPES, ids=lambda m: m.__name__)
def test_linen(module):
    x, y = g(SHAPES[module]), g(SHAPES[module][0])
    net = module()
    params = net.init(jax.random.key(0), x)["params"]
    model = agree(lambda p: net.apply({"params": p}, x)[..., 0] - y, params)
    assert "Dense_0.kernel" in model.blocks
    if module is MLP:  # The others close too, in a minute.
        certificate = gdcert.certify(model, tail=True)
        assert certificate.kind == "theorem_a" and gdcert.check(certificate)


def attention(q, k, v, **_):
    """The library's own takes its softmax in float32."""
    p = jax.nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(q.shape[-1]), axis=-1)
    return jnp.einsum("bhqk,bkhd->bqhd", p, v)


class Net(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(2, 3, (3, 3), rngs=rngs)
        self.attention = nnx.MultiHeadAttention(1, 3, decode=False, attention_fn=attention, rngs=rngs)
        self.norm = nnx.LayerNorm(3, rngs=rngs)
        self.out = nnx.Linear(3, 1, rngs=rngs)

    def __call__(self, x):
        x = nnx.avg_pool(nnx.silu(self.conv(x)), (2, 2), strides=(2, 2))
        x = x.reshape(x.shape[0], -1, 3)
        x = self.norm(x + self.attention(x))
        return self.out(x.mean(axis=1))


def test_nnx():
    x, y = g((3, 4, 4, 2)), g(3)
    graph, params, rest = nnx.split(Net(nnx.Rngs(0)), nnx.Param, ...)
    model = agree(lambda p: nnx.merge(graph, p, rest)(x)[:, 0] - y, params)
    assert model.m == 3
