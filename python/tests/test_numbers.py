"""Against NumPy, which knows nothing of the library."""

import numpy as np
import pytest
from conftest import arrays

import gdcert

CASES = [(seed, kernel) for seed in range(10) for kernel in ("softmax", "gaussian")]


def model(kernel, X, W_Q, W_K, W_V, W_O):
    """S [N, H, n, n] and the outputs [N, n, p], for real or complex weights."""
    d = W_Q.shape[-1]
    q, k = (np.einsum("iaD,hDd->ihad", X, W) for W in (W_Q, W_K))
    if kernel == "softmax":
        C = np.einsum("ihad,ihbd->ihab", q, k) / np.sqrt(d)
        S = np.exp(C - C.real.max(axis=-1, keepdims=True))
        S = S / S.sum(axis=-1, keepdims=True)
    else:
        S = np.exp(-((q[:, :, :, None] - k[:, :, None]) ** 2).sum(axis=-1) / (2 * np.sqrt(d)))
    return S, np.einsum("ihab,ibD,hDd,hdp->iap", S, X, W_V, W_O)


@pytest.mark.parametrize("seed, kernel", CASES)
def test_jacobian_gradient_spectrum(seed, kernel):
    a = arrays(seed, N=1 + seed % 3, n=2 + seed % 2, D=6, d=2 + seed % 3, H=1 + seed % 4, p=1 + seed % 2)
    inst = gdcert.Instance(*a.values(), kernel=kernel)
    y, weights = a.pop("y"), {name: a[name] for name in ("W_Q", "W_K", "W_V")}
    S, out = model(kernel, **a)
    r = out - y
    assert np.allclose(gdcert.attention(inst), S, rtol=1e-12, atol=1e-14)
    assert np.allclose(gdcert.outputs(inst), out, rtol=1e-11, atol=1e-12)
    assert np.allclose(gdcert.residual(inst), r, rtol=1e-11, atol=1e-12)
    assert np.isclose(gdcert.loss(inst), 0.5 * (r**2).sum(), rtol=1e-12)
    # Complex steps: derivatives without cancellation.
    columns = []
    for name, W in weights.items():
        for index in np.ndindex(W.shape):
            moved = W.astype(complex)
            moved[index] += 1e-30j
            columns.append(model(kernel, **{**a, name: moved})[1].imag.ravel() / 1e-30)
    J = np.stack(columns, axis=1)
    assert np.allclose(gdcert.jacobian(inst), J, rtol=1e-10, atol=1e-11)
    assert np.allclose(gdcert.jacobian(inst, train="QV"), np.delete(J, np.s_[J.shape[1] // 3 : 2 * J.shape[1] // 3], 1))
    g = r.ravel() @ J
    found = gdcert.gradient(inst)
    assert np.allclose(np.concatenate([found[b].ravel() for b in "QKV"]), g, rtol=1e-9, atol=1e-10)
    s = gdcert.spectrum(inst)
    b0 = np.concatenate([np.concatenate([S[i, h] @ a["X"][i] for h in range(inst.H)], axis=1) for i in range(inst.N)])
    assert np.allclose(s.b0, b0, rtol=1e-11, atol=1e-12)
    sigma = np.linalg.svd(J, compute_uv=False)
    assert np.isclose(s.jacobian_norm, sigma[0], rtol=1e-10)
    smallest = np.linalg.svd(b0, compute_uv=False)[-1] if b0.shape[1] >= b0.shape[0] else 0.0
    assert np.isclose(s.sigma_min_b0, smallest, rtol=1e-8, atol=1e-12)
    ntk = sigma[-1] ** 2 if J.shape[1] >= J.shape[0] else 0.0
    assert np.isclose(s.betas["ntk"], ntk, rtol=1e-6, atol=1e-12)
