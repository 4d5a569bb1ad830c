"""The strategies: what they draw can be used, and what fails is shrunk."""

import pytest

hypothesis = pytest.importorskip("hypothesis")

import gdcert  # noqa: E402
from gdcert.testing import instances, kernels, scales, sizes  # noqa: E402

few = hypothesis.settings(max_examples=25, deadline=None)


@few
@hypothesis.given(instances())
def test_the_loss_is_half_the_squared_residual(inst):
    r = gdcert.residual(inst)
    assert gdcert.loss(inst) == pytest.approx(0.5 * (r * r).sum(), rel=1e-9, abs=1e-300)


@few
@hypothesis.given(instances(kernels="softmax", inits=["lecun", "lazy"]))
def test_softmax_rows_sum_to_one(inst):
    assert abs(gdcert.attention(inst).sum(axis=-1) - 1).max() < 1e-12


def test_what_fails_is_shrunk():
    found = hypothesis.find(instances(), lambda inst: inst.N * inst.n > 3 and inst.kernel == "gaussian")
    assert (found.N * found.n, found.D, found.d, found.H, found.p) == (4, 1, 1, 1, 1)
    assert hypothesis.find(scales(), lambda s: s >= 10) < 11
    assert hypothesis.find(kernels(), lambda k: True) == "softmax"
    assert hypothesis.find(sizes(N=9), lambda s: s["N"] > 4)["N"] == 5


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown"):
        hypothesis.find(instances(kernels="sigmoid"), lambda inst: True)
