"""Arrays of every layout and kind come out as the same numbers."""

import numpy as np
import pytest
from conftest import arrays

import gdcert


def strided(a):
    wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), np.nan)
    wide[..., ::2] = a
    return wide[..., ::2]


def unaligned(a):
    raw = np.frombuffer(b"x" + a.tobytes(), dtype=np.uint8)
    return raw[1:].view(np.float64).reshape(a.shape)


def torch_tensor(a):
    torch = pytest.importorskip("torch")
    return torch.nn.Parameter(torch.from_numpy(a.copy()).transpose(0, 1).contiguous().transpose(0, 1))


def jax_array(a):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax.numpy.asarray(a)


class Protocol:
    def __init__(self, a):
        self.a = a

    def __array__(self, dtype=None, copy=None):
        return self.a


LAYOUTS = {
    "fortran": np.asfortranarray,
    "transposed view": lambda a: np.ascontiguousarray(a.T).T,
    "strided": strided,
    "backwards": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "big endian": lambda a: a.astype(">f8"),
    "unaligned": unaligned,
    "read only": lambda a: np.frombuffer(a.tobytes()).reshape(a.shape),
    "lists": lambda a: a.tolist(),
    "tuples of arrays": lambda a: tuple(a),
    "__array__": Protocol,
    "torch": torch_tensor,
    "jax": jax_array,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout(layout):
    a = arrays(p=2)
    inst = gdcert.Instance(*(LAYOUTS[layout](array) for array in a.values()))
    for name, array in a.items():
        assert np.array_equal(getattr(inst, name), array), name
    assert inst == gdcert.Instance(*a.values())


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.int8, np.uint16, bool, np.longdouble])
def test_any_real_dtype(dtype):
    a = {name: (4 * array).astype(dtype) for name, array in arrays().items()}
    inst = gdcert.Instance(*a.values())
    for name, array in a.items():
        assert np.array_equal(getattr(inst, name), array.astype(np.float64))


def test_the_array_given_is_left_alone_and_not_held():
    a = arrays()
    before = {name: array.copy() for name, array in a.items()}
    inst = gdcert.Instance(*a.values())
    for array in a.values():
        array[...] = 0
    assert all(np.array_equal(getattr(inst, name), array) for name, array in before.items())
    inst.X[...] = 7
    assert np.array_equal(inst.X, before["X"])


def test_a_torch_attention():
    torch = pytest.importorskip("torch")
    N, n, E, H = 2, 5, 12, 3
    for kwargs in ({}, {"batch_first": True}, {"kdim": E, "vdim": E}):
        attention = torch.nn.MultiheadAttention(E, H, bias=False, dtype=torch.float64, **kwargs)
        X, y = torch.randn(N, n, E, dtype=torch.float64), torch.randn(N, n, E)
        inst = gdcert.Instance.from_torch(attention, X, y)
        assert (inst.N, inst.n, inst.D, inst.d, inst.H, inst.p) == (N, n, E, E // H, H, E)
        given = X if kwargs.get("batch_first") else X.transpose(0, 1)
        out, S = attention(given, given, given, average_attn_weights=False)
        out = out if kwargs.get("batch_first") else out.transpose(0, 1)
        assert np.allclose(gdcert.outputs(inst), out.detach().numpy(), rtol=1e-10, atol=1e-12)
        assert np.allclose(gdcert.attention(inst), S.detach().numpy(), rtol=1e-10, atol=1e-12)
    X, y = X.numpy(), y.numpy()
    for kwargs, word in [
        ({"bias": True}, "bias"),
        ({"bias": False, "dropout": 0.1}, "dropout"),
        ({"bias": False, "add_bias_kv": True}, "add_bias_kv"),
        ({"bias": False, "add_zero_attn": True}, "add_zero_attn"),
        ({"bias": False, "kdim": 7}, "kdim"),
    ]:
        with pytest.raises(gdcert.InputError, match=word):
            gdcert.Instance.from_torch(torch.nn.MultiheadAttention(E, H, **kwargs), X, y)


class Attention:
    """What Instance.from_torch looks at of a torch.nn.MultiheadAttention, of arrays: for where torch is not."""

    def __init__(self, E, H, separate, **changed):
        g = np.random.default_rng(3).standard_normal
        self.embed_dim, self.num_heads, self.kdim, self.vdim = E, H, E, E
        self.in_proj_bias = self.bias_k = self.bias_v = None
        self.dropout, self.add_zero_attn = 0.0, False
        self.q, self.k, self.v = g((E, E)), g((E, E)), g((E, E))
        self.in_proj_weight = None if separate else Tensor(np.concatenate([self.q, self.k, self.v]))
        if separate:
            self.q_proj_weight, self.k_proj_weight, self.v_proj_weight = map(Tensor, (self.q, self.k, self.v))
        self.out_proj = type("Linear", (), {"weight": Tensor(g((E, E))), "bias": None})
        self.__dict__.update(changed)


class Tensor:
    def __init__(self, a):
        self.a = a

    def detach(self):
        return self

    cpu = double = detach

    def numpy(self):
        return self.a


@pytest.mark.parametrize("separate", [False, True])
def test_the_heads_of_an_attention(separate):
    N, n, E, H = 2, 5, 12, 3
    attention = Attention(E, H, separate)
    X = np.random.default_rng(4).standard_normal((N, n, E))
    inst = gdcert.Instance.from_torch(attention, X, np.zeros((N, n, E)))
    heads = lambda W: (X @ W.T).reshape(N, n, H, E // H).transpose(0, 2, 1, 3)  # noqa: E731
    q, k, v = heads(attention.q), heads(attention.k), heads(attention.v)
    C = q @ k.transpose(0, 1, 3, 2) / np.sqrt(E // H)
    S = np.exp(C - C.max(-1, keepdims=True))
    S /= S.sum(-1, keepdims=True)
    out = (S @ v).transpose(0, 2, 1, 3).reshape(N, n, E) @ attention.out_proj.weight.a.T
    assert np.allclose(gdcert.attention(inst), S) and np.allclose(gdcert.outputs(inst), out)
    with pytest.raises(gdcert.InputError, match="dropout"):
        gdcert.Instance.from_torch(Attention(E, H, separate, dropout=0.1), X, X)
    with pytest.raises(gdcert.InputError, match="bias"):
        gdcert.Instance.from_torch(Attention(E, H, separate, in_proj_bias=Tensor(X)), X, X)
    with pytest.raises(gdcert.InputError, match="MultiheadAttention"):
        gdcert.Instance.from_torch(object(), X, X)
