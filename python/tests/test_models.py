"""Models traced from JAX: residual, gradient and Jacobian against JAX's own, and what can not be taken."""

import copy
import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pytest

import gdcert

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from gdcert._trace import in_float64  # noqa: E402

GALLERY = sorted((Path(__file__).parents[2] / "examples" / "models").glob("*.py"))


def gallery(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.model


def agree(residual, params, model=None):
    """The traced model against JAX at M_0, to rounding."""
    model = model or gdcert.Model.from_jax(residual, params)
    flat, tree = jax.tree_util.tree_flatten(params)
    with in_float64(jax):
        leaves = [jnp.asarray(leaf, dtype=np.float64) for leaf in flat]
        r = np.asarray(residual(tree.unflatten(leaves)))
        J = jax.jacobian(lambda *leaves: residual(tree.unflatten(leaves)), argnums=tuple(range(len(leaves))))(*leaves)
    J = np.concatenate([np.asarray(block).reshape(r.size, -1) for block in J], axis=1)
    assert model.residual().shape == r.shape
    assert (model.m, model.P) == J.shape
    close = dict(rtol=1e-10, atol=1e-10 * max(1.0, abs(J).max()))
    np.testing.assert_allclose(model.residual(), r, **close)
    np.testing.assert_allclose(model.jacobian(), J, **close)
    gradient = np.concatenate([block.ravel() for block in model.gradient().values()])
    np.testing.assert_allclose(gradient, J.T @ r.ravel(), **close)
    assert model.loss() == pytest.approx(0.5 * (r**2).sum(), rel=1e-12)
    return model


@pytest.mark.parametrize("path", GALLERY, ids=lambda p: p.stem)
def test_gallery_agrees_with_jax(path):
    for seed in range(2):
        residual, params = gallery(path)(seed=seed)
        agree(residual, params)


def test_gallery_is_all_there():
    assert len(GALLERY) == 12


def test_blocks_are_named_by_their_path():
    residual, params = gallery(next(p for p in GALLERY if p.stem == "residual_block"))()
    model = gdcert.Model.from_jax(residual, params)
    assert model.blocks["layers.0.W"] == (8, 16)
    assert list(model.blocks)[:2] == ["attention.K", "attention.O"]
    np.testing.assert_array_equal(model.start["readout"], params["readout"])
    assert repr(model).startswith("gdcert.Model(m=8, P=")


def test_files_and_pickles_hold_all(tmp_path):
    for path in GALLERY:
        residual, params = gallery(path)()
        model = gdcert.Model.from_jax(residual, params)
        model.save(tmp_path / "model.json")
        assert gdcert.Model.load(tmp_path / "model.json") == model
        assert pickle.loads(pickle.dumps(model)) == model


def test_what_is_found_is_pickled_and_copied():
    residual, params = gallery(next(p for p in GALLERY if p.stem == "matrix_factorisation"))()
    model = gdcert.Model.from_jax(residual, params)
    for v in (gdcert.verify(model), gdcert.verify(model, train=["A"], claims={"mine": 1e9}, reading="mine", steps=20)):
        w = pickle.loads(pickle.dumps(v))
        assert w.to_dict() == v.to_dict() and w.svg == v.svg and str(w) == str(v) and w.model == v.model
        assert w.trajectory == v.trajectory and w.certificate == v.certificate == copy.copy(v).certificate
        assert copy.deepcopy(v).to_dict() == v.to_dict()
    c = gdcert.certify(model, tail=True)
    d = pickle.loads(pickle.dumps(c))
    assert c == d == copy.deepcopy(c) and d.to_dict() == c.to_dict() and gdcert.check(d)
    with pytest.raises(gdcert.InputError):
        gdcert.ModelVerification._restore(b"nonsense")


def test_other_points():
    residual, params = gallery(next(p for p in GALLERY if p.stem == "matrix_factorisation"))()
    model = gdcert.Model.from_jax(residual, params)
    other = {"A": 2 * params["A"]}
    expected = model.residual() + params["A"] @ params["B"]
    np.testing.assert_allclose(model.residual(other), expected, rtol=1e-12)
    np.testing.assert_allclose(model.residual(np.concatenate([2 * params["A"], params["B"]])), expected, rtol=1e-12)
    for wrong in ({"C": 1.0}, {"A": np.zeros(3)}, np.zeros(5)):
        with pytest.raises(gdcert.InputError, match="params"):
            model.residual(wrong)


g = np.random.default_rng(7).standard_normal
X, M = g((5, 4)), g((4, 6))
mask = np.tril(np.ones((5, 6), bool))


def scanned(p):
    def step(h, x):
        h = jnp.tanh(x @ p + h)
        return h, h * h

    last, all_of_them = jax.lax.scan(step, jnp.zeros(6), jnp.asarray(X))
    return jnp.concatenate([last, all_of_them.ravel()])


@jax.custom_jvp
def doubled(x):
    return 2.0 * x


doubled.defjvp(lambda x, t: (2.0 * x[0], 2.0 * t[0]))

TAKEN = {
    "log_softmax": lambda p: jax.nn.log_softmax(X @ p, axis=-1),
    "log_softmax, first axis": lambda p: jax.nn.log_softmax(X @ p, axis=0),
    "logsumexp": lambda p: jax.nn.logsumexp(X @ p, axis=1),
    "softmax by hand": lambda p: jnp.exp(X @ p - (X @ p).max(1, keepdims=True)),
    "masked scores": lambda p: jax.nn.softmax(jnp.where(mask, X @ p, -1e9), axis=-1),
    "masked scores, -inf": lambda p: jax.nn.softmax(jnp.where(mask, X @ p, -jnp.inf), axis=-1),
    "masked by where=": lambda p: jax.nn.softmax(X @ p, axis=-1, where=mask),
    "softplus": lambda p: jax.nn.softplus(X @ p),
    "logaddexp": lambda p: jnp.logaddexp(X @ p, X @ (p * p)),
    "silu": lambda p: jax.nn.silu(X @ p),
    "gelu, tanh": lambda p: jax.nn.gelu(X @ p),
    "gelu, erf": lambda p: jax.nn.gelu(X @ p, approximate=False),
    "powers": lambda p: (p**2 + 1.0) ** 1.5 + p**3 + 1.0 / (1.0 + p**2) + (2.0 + p * p) ** -2,
    "sin, cos, tan": lambda p: jnp.sin(p) * jnp.cos(2 * p) + jnp.tan(0.1 * p),
    "atan": lambda p: jnp.arctan(p) * jnp.arctan(3 * p + 2.0),
    "log1p, expm1": lambda p: jnp.log1p(p * p) + jnp.expm1(0.1 * p),
    "indices": lambda p: p[np.array([0, 2, 2])] * p[1] + p[::2, 1:4].sum() + p[-1, -2],
    "take along": lambda p: jnp.take_along_axis(p, np.array([[0, 3], [1, 1], [2, 5], [4, 0]]), axis=1),
    "cumsum": lambda p: jnp.cumsum(p, axis=0) * jnp.cumsum(p, axis=1),
    "pad, flip, roll": lambda p: jnp.pad(p, ((1, 0), (0, 2)))[:4, :6] * jnp.flip(p, 1) + jnp.roll(p, 1, axis=0),
    "split, stack": lambda p: jnp.stack(jnp.split(p, 2, axis=1)) ** 2,
    "mean, var, norm": lambda p: jnp.array([1.0, 2.0]) * p.mean() + p.var() + jnp.linalg.norm(p),
    "scan": scanned,
    "jit and remat": lambda p: jax.jit(lambda q: jnp.tanh(q))(jax.checkpoint(jnp.sin)(p)),
    "custom derivative": lambda p: doubled(p) * p,
    "vmap": lambda p: jax.vmap(lambda x: jnp.tanh(x @ p).sum())(X),
    "einsum": lambda p: jnp.einsum("ij,kj,il->kl", p, X[:, :3] @ p[:3], p),
    "layer norm": lambda p: (p - p.mean(1, keepdims=True)) / jnp.sqrt(p.var(1, keepdims=True) + 1e-6),
    "abs, maximum, minimum": lambda p: jnp.abs(p) + jnp.maximum(p, 0.3) * jnp.minimum(p, p * p),
    "clip": lambda p: jnp.clip(0.1 * p, -5.0, 5.0) * p,
    "relu by where": lambda p: jnp.where(p > 0, p, 0.0) + jax.nn.leaky_relu(p) + jnp.where(p < 0, 0.0, p),
    "at[].set, at[].add": lambda p: p.at[0].set(1.0) * p.at[np.array([1, 1]), 2].add(p[0, :2]) + p.at[2, 3].set(p[0, 0]),
    "tile, repeat": lambda p: jnp.tile(p, (1, 2)) * jnp.repeat(p, 2, axis=1),
    "prod": lambda p: p.prod(1) + p.prod(),
    "sinh, cosh, powers of 2": lambda p: jnp.sinh(p) + jnp.cosh(p) + 2.0**p + jnp.exp2(0.3 * p),
    "pad between": lambda p: jax.lax.pad(p, 0.5, ((0, 1, 1), (-1, 0, 0))),
    "cond on a constant": lambda p: jax.lax.cond(jnp.asarray(True), jnp.sin, jnp.cos, p),
    "parallel scan": lambda p: jax.lax.associative_scan(jnp.add, jnp.tanh(p)),
    "loop with an index": lambda p: jax.lax.fori_loop(0, 3, lambda i, h: jnp.tanh(h + jnp.asarray(X)[i, :4] @ p), p),
    "printed": lambda p: (jax.debug.print("{}", p.sum()), p * p)[1],
    "leaves of one number": lambda p: p[0, 0] * jnp.ones(3),
    "amax, amin": lambda p: (X @ p).max(1) * (X @ p).min(1) + p.max(0, keepdims=True)[:, :5] + p.min() * p.max(),
    "softmax along two axes": lambda p: (
        jax.nn.softmax(jnp.stack([p, p * p]), axis=(0, 2)) * p + jax.nn.log_softmax(p, axis=(0, 1))
    ),
    "logsumexp of all": lambda p: jax.nn.logsumexp(p) * p + jax.nn.logsumexp(p, axis=(0, 1), keepdims=True),
    "elu, selu, celu": lambda p: jax.nn.elu(p, 0.7) + jax.nn.selu(p) * jax.nn.celu(p) + jnp.where(p > 0, 0.0, p),
    "activations": lambda p: jax.nn.mish(p) * jax.nn.log_sigmoid(p) + jax.nn.soft_sign(p) + jax.nn.squareplus(p),
    "glu, standardize": lambda p: jax.nn.glu(p) + jax.nn.standardize(p)[:, :3],
    "cumulative": lambda p: jnp.cumprod(p, axis=1) + jax.lax.cumlogsumexp(p, axis=0, reverse=True),
    "cumulative product, reverse": lambda p: jax.lax.cumprod(p, axis=0, reverse=True),
    "cbrt, inverse hyperbolic": lambda p: (
        jnp.cbrt(1 + p * p) + jnp.arcsinh(p) * jnp.arctanh(0.2 * p) + jnp.arccosh(2 + p * p)
    ),
    "map": lambda p: jax.lax.map(lambda x: jnp.tanh(x @ p), X),
    "pools": lambda p: pooled(p, jax.lax.add, 0.0, "SAME") + pooled(p, jax.lax.max, -jnp.inf, "VALID")[0, 0],
    "convolve": lambda p: jnp.convolve(p[0], jnp.array([1.0, 2.0, 0.5])) * jnp.convolve(p[1], p[2, :3]),
    "convolution": lambda p: convolved(p, (1, 1), "SAME"),
    "convolution, strides and dilations": lambda p: convolved(
        p, (2, 1), [(1, -1), (0, 2)], lhs_dilation=(1, 2), rhs_dilation=(2, 1)
    ),
    "convolution, groups": lambda p: convolved(p, (1, 1), "VALID", feature_group_count=2),
    "convolution, channels last": lambda p: jax.lax.conv_general_dilated(
        images.transpose(0, 2, 3, 1), p.reshape(2, 2, 2, 3), (1, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    ),
    "convolution of parameters": lambda p: jax.lax.conv(
        jnp.tanh(p).reshape(1, 1, 4, 6), p.reshape(3, 1, 4, 2), (1, 1), "SAME"
    ),
    "convolution, transposed": lambda p: jax.lax.conv_transpose(
        images.transpose(0, 2, 3, 1), p.reshape(2, 2, 2, 3), (2, 2), "SAME"
    ),
}

images = g((2, 2, 5, 4))


def convolved(p, *how, feature_group_count=1, **more):
    kernel = p.reshape((3, 2, 2, 2) if feature_group_count == 1 else (6, 1, 2, 2))
    return jax.lax.conv_general_dilated(images, kernel, *how, feature_group_count=feature_group_count, **more)


def pooled(p, operation, start, padding):
    return jax.lax.reduce_window(p, start, operation, (2, 3), (1, 2), padding)


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken(name):
    if name == "softmax by hand":

        def residual(p):
            e = TAKEN[name](p)
            return e / e.sum(1, keepdims=True)

    else:
        residual = TAKEN[name]
    agree(residual, M)


REFUSED = {
    "stop_gradient": lambda p: jax.lax.stop_gradient(p) * p,
    "stop_gradient of a maximum": lambda p: p - jax.lax.stop_gradient(p.max(1, keepdims=True)) * p,
    "over the edge": lambda p: pooled(p, jax.lax.max, -jnp.inf, "SAME"),
    "batch_group_count": lambda p: jax.lax.conv_general_dilated(
        images, p.reshape(6, 2, 2, 1), (1, 1), "SAME", batch_group_count=2
    ),
    "atan2": lambda p: jnp.arctan2(p, 1.0 + p * p),
    "sort": lambda p: jnp.sort(p),
    "while": lambda p: jax.lax.while_loop(lambda x: x.sum() < 1e3, lambda x: 2 * x, p),
    "cond": lambda p: jax.lax.cond(p[0, 0] > 0, jnp.sin, jnp.cos, p),
    "select_n": lambda p: jnp.where(p > 0.5, p, 2 * p),
    "float32": lambda p: p.astype(np.float32) * 2,
    "lgamma": lambda p: jax.scipy.special.gammaln(p * p + 1),
    "-inf outside": lambda p: jnp.where(np.eye(4, 6) > 0, -np.inf, p),
    "not finite": lambda p: p * np.array([1.0, 2.0, np.inf, 0.0, 0.0, 0.0]),
    "values of parameters": lambda p: p if p[0, 0] > 0 else 2 * p,
    "argmax": lambda p: p[jnp.argmax(p[:, 0])],
    "complex": lambda p: (p * 1j).real,
    "while of": lambda p: jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * 2), (0, p))[1],
    "__array__": lambda p: jnp.asarray(np.tanh(p)),
    "Attempted boolean": lambda p: p if p.sum() > 0 else -p,
    "pow": lambda p: jnp.abs(p) ** p,
    "does not depend": lambda p: jnp.ones(3),
    "one array": lambda p: (p, p),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named(name):
    with pytest.raises(gdcert.InputError, match=name) as refused:
        gdcert.Model.from_jax(REFUSED[name], M)
    message = str(refused.value)
    assert "\n" not in message
    if name not in ("does not depend", "one array"):
        assert "test_models.py:" in message, message


def test_a_single_number_is_a_block():
    model = agree(lambda p: p["a"] * p["b"] - 1.0, {"a": np.float64(2.0), "b": np.arange(3.0)})
    assert model.blocks == {"a": (), "b": (3,)}


def test_some_blocks_are_trained(tmp_path):
    params = {"W": g((4, 16)), "b": np.zeros(16), "v": g(16) / 4}
    y = g(4)
    model = gdcert.Model.from_jax(lambda p: jnp.tanh(X[:4] @ p["W"] + p["b"]) @ p["v"] - y, params)
    v = gdcert.verify(model, train=["v", "W"])
    assert v.to_dict()["trained"] == ["W", "v"]
    assert list(v.grad_norms) == ["W", "v"] and "moved_b" not in v.trajectory
    J = model.jacobian()
    of_trained = np.concatenate([J[:, :64], J[:, 80:]], axis=1)
    assert v.jacobian_norm == pytest.approx(np.linalg.norm(of_trained, 2), rel=1e-12)
    assert v.betas["ntk"] == pytest.approx(np.linalg.eigvalsh(of_trained @ of_trained.T)[0], rel=1e-8)
    assert v.model == model
    v.save(tmp_path)
    assert gdcert.Model.load(tmp_path / "model.json") == model
    c = gdcert.certify(model, train="v", tail=True)
    assert c.to_dict()["trained"] == ["v"]
    assert gdcert.check(c)
    for wrong in (["x"], [], "W,W"):
        with pytest.raises(gdcert.InputError, match="train: "):
            gdcert.verify(model, train=wrong)


def test_a_stuck_model_is_obstructed():
    model = gdcert.Model.from_jax(lambda p: jnp.tanh(X @ p["W"]) @ p["v"] - 1.0, {"W": np.zeros((4, 3)), "v": np.zeros(3)})
    v = gdcert.verify(model)
    assert (v.verdict, v.steps, v.certificate.kind) == ("obstructed", 0, "obstructed")
    assert gdcert.check(v.certificate) and gdcert.check(gdcert.certify(model))


def test_integer_parameters_are_refused():
    with pytest.raises(gdcert.InputError, match="parameter b has dtype int"):
        gdcert.Model.from_jax(lambda p: p["a"] * p["b"], {"a": np.ones(2), "b": np.arange(2)})
    with pytest.raises(gdcert.InputError, match="two parameters are named a.b"):
        gdcert.Model.from_jax(lambda p: p["a.b"] * p["a"]["b"], {"a.b": np.ones(2), "a": {"b": np.ones(2)}})
    with pytest.raises(gdcert.InputError, match="parameter M is no array of numbers"):
        gdcert.Model.from_jax(lambda p: jnp.ones(2), jax.random.key(0))
    with pytest.raises(gdcert.InputError, match="no array"):
        gdcert.Model.from_jax(lambda p: jnp.ones(2), {})
