"""What docs/gallery.md says of its models."""

from pathlib import Path

import numpy as np
import pytest

import gdcert

pytest.importorskip("jax")

MODELS = Path(__file__).parents[2] / "examples" / "models"


def made(name, **settings):
    namespace = {"__name__": name}
    exec(compile((MODELS / f"{name}.py").read_text(), str(MODELS / f"{name}.py"), "exec"), namespace)
    return gdcert.Model.from_jax(*namespace["model"](**settings))


KERNELS = {
    "softmax": dict(distance=False, normalised=True),
    "normalised_gaussian": dict(distance=True, normalised=True),
    "gaussian": dict(distance=True, normalised=False),
    "exponential": dict(distance=False, normalised=False),
}


def test_files_are_those_of_the_functions():
    models = {"tanh": made("two_layer_tanh", samples=4)}
    models.update((f"query_{kernel}", made("query_only", **settings)) for kernel, settings in KERNELS.items())
    for name, model in models.items():
        stored = gdcert.Model.load(MODELS / f"{name}.json")
        assert stored.blocks == model.blocks
        # Data that JAX computes may differ in the last bit from one version to the next.
        np.testing.assert_allclose(stored.residual(), model.residual(), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(stored.jacobian(), model.jacobian(), rtol=1e-12, atol=1e-12)


def test_tanh_network_keeps_half_of_lambda_0():
    v = gdcert.verify(gdcert.Model.load(MODELS / "tanh.json"), claims={"du": 0.05334}, reading="du")
    assert (v.verdict, v.claims["ntk"].verdict) == ("certified", "certified")
    assert gdcert.check(v.certificate)


@pytest.mark.parametrize("kernel", KERNELS)
def test_constant_values_stop_kernels_whose_rows_sum_to_one(kernel):
    model = gdcert.Model.load(MODELS / f"query_{kernel}.json")
    if KERNELS[kernel]["normalised"]:
        v = gdcert.verify(model, eta=1e-3, claims={"slow": ("rate", 1e-3)}, reading="slow", steps=20)
        assert (v.verdict, v.certificate.kind) == ("obstructed", "obstructed")
        assert v.final_loss == pytest.approx(v.loss0, rel=1e-12)
    else:
        v = gdcert.verify(model)
        assert v.verdict == "certified"
    assert gdcert.check(v.certificate)


def lower_bound(model_settings, normalised):
    """Half the squared distance of the labels from every output that such weights can give, for seed 0 (N, n, H as there)."""
    g = np.random.default_rng(0).standard_normal
    N, n, D, d, H = 2, 3, 6, 3, 4
    _, y = g((N, n, D)), g((N, n))
    g((2, H, D, d))
    u = model_settings["scale"] * g((N, H, n))
    u[:, H // 2 :] = -u[:, : H // 2]
    if normalised:
        low, high = u.min(2).sum(1), u.max(2).sum(1)
    else:
        low, high = np.minimum(u, 0).sum((1, 2)), np.maximum(u, 0).sum((1, 2))
    return 0.5 * np.sum(np.maximum(0, np.maximum(low[:, None] - y, y - high[:, None])) ** 2)


@pytest.mark.parametrize("kernel", KERNELS)
def test_small_values_stop_kernels_with_bounded_weights(kernel):
    settings = dict(values="paired", scale=0.3)
    v = gdcert.verify(made("query_only", **KERNELS[kernel], **settings), certify=False)
    if kernel == "exponential":
        assert v.final_loss < 1e-9
    else:
        bound = lower_bound(settings, KERNELS[kernel]["normalised"])
        assert 0.01 < bound < v.final_loss < 0.5


def test_other_models_are_certified():
    for name, seeds in {"average_pooling": (0, 1, 2), "layer_norm": (0,), "trained_output": (0,)}.items():
        for seed in seeds:
            assert gdcert.verify(made(name, seed=seed)).verdict == "certified", (name, seed)


def test_matrix_factorisation_goes_three_ways():
    verdicts = [gdcert.verify(made("matrix_factorisation", seed=seed)).verdict for seed in range(3)]
    assert verdicts == ["certified", "held", "refuted"]
