"""The package as its users see it, name by name."""

import copy
import csv
import inspect
import json
import pickle

import numpy as np
import pytest
from conftest import arrays

import gdcert

COLUMNS = [
    "t", "loss", "bound_stacked", "bound_per_head", "bound_value", "bound_ntk", "grad_norm_q", "grad_norm_k",
    "grad_norm_v", "sigma_min_b", "moved_q", "moved_k", "moved_v",
]  # fmt: skip
READINGS = ["stacked", "per_head", "value", "ntk"]


def test_an_instance_of_arrays():
    a = arrays(p=2)
    inst = gdcert.Instance(*a.values(), kernel="gaussian")
    for name, array in a.items():
        assert np.array_equal(getattr(inst, name), array)
        assert getattr(inst, name).dtype == np.float64
    assert inst.kernel == "gaussian"
    assert (inst.N, inst.n, inst.D, inst.d, inst.H, inst.p) == (2, 4, 8, 4, 3, 2)
    assert repr(inst) == "gdcert.Instance(N=2, n=4, D=8, d=4, H=3, p=2, kernel='gaussian')"
    assert gdcert.Instance(*a.values()).kernel == "softmax"


def test_axes_of_length_one_may_be_left_out():
    a = arrays(N=1, H=1)
    whole = gdcert.Instance(*a.values())
    flat = {name: array[0] for name, array in a.items()}
    assert gdcert.Instance(**{**flat, "y": flat["y"][:, 0], "W_O": flat["W_O"][:, 0]}) == whole
    b = arrays()
    assert gdcert.Instance(**{**b, "y": b["y"][..., 0], "W_O": b["W_O"][..., 0]}) == gdcert.Instance(*b.values())


def test_drawing_saving_loading_replacing(tmp_path):
    inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, p=1, kernel="softmax", init="lazy", scale=10.0, seed=19)
    path = tmp_path / "instance.safetensors"
    inst.save(path)
    assert gdcert.Instance.load(path, kernel=None) == inst
    assert gdcert.Instance.load(str(path)) == inst
    assert gdcert.Instance.load(path, kernel="gaussian").kernel == "gaussian"
    other = inst.replace(W_V=inst.W_V + 1, kernel="gaussian")
    assert other != inst and other.kernel == "gaussian" and np.array_equal(other.W_V, inst.W_V + 1)
    assert np.array_equal(other.X, inst.X)
    assert inst.replace() == inst


def test_numerics_have_their_shapes(inst):
    N, n, D, d, H, p = inst.N, inst.n, inst.D, inst.d, inst.H, inst.p
    assert gdcert.outputs(inst).shape == gdcert.residual(inst).shape == (N, n, p)
    assert np.allclose(gdcert.residual(inst), gdcert.outputs(inst) - inst.y)
    assert isinstance(gdcert.loss(inst), float)
    assert {b: g.shape for b, g in gdcert.gradient(inst, train="QKV").items()} == dict.fromkeys("QKV", (H, D, d))
    assert list(gdcert.gradient(inst, train="QV")) == ["Q", "V"]
    assert gdcert.jacobian(inst, train="QK").shape == (N * n * p, 2 * H * D * d)
    assert gdcert.attention(inst).shape == (N, H, n, n)
    s = gdcert.spectrum(inst, train="QKV")
    assert list(s.betas) == READINGS and s.b0.shape == (N * n, H * D)
    assert s.sigma_min_b0 > 0 and s.jacobian_norm > 0
    assert 0 < gdcert.curvature(inst, 0.0) < gdcert.curvature(inst, 0.5, train="QKV")


def test_a_verdict(inst, tmp_path):
    v = gdcert.verify(
        inst, theorem=1, train=None, eta="auto", steps=None, reading=None, precision="f64", certify=True,
        curvature_at=(0.0,), threads=None, progress=None,
    )  # fmt: skip
    assert v.verdict == v.claims["per_head"].verdict == "certified"
    claim = v.claims["stacked"]
    assert (claim.verdict, claim.first_violation) == ("refuted", 182)
    assert claim.rate == v.eta * v.betas["stacked"] == v.eta * claim.beta
    assert claim.reason and claim.min_slack < 0 and claim.checked_to >= 1
    assert claim.floor_at is None or claim.floor_at > 0
    assert list(v.betas) == list(v.claims) == READINGS
    assert v.loss0 == gdcert.loss(inst) and v.final_loss < v.loss0 and 0 < v.measured_rate < 1
    assert v.f_hull is not None and list(v.grad_norms) == ["Q", "K", "V"]
    trajectory = v.trajectory
    assert list(trajectory) == trajectory.columns == COLUMNS and len(trajectory) == v.steps + 1
    assert all(c.dtype == np.float64 and len(c) == v.steps + 1 for c in trajectory.values())
    assert trajectory["loss"][0] == v.loss0 and trajectory["loss"][-1] == v.final_loss
    v.save(tmp_path / "out")
    with open(tmp_path / "out" / "trajectory.csv") as file:
        rows = list(csv.DictReader(file))
    for name, column in trajectory.items():
        assert np.array_equal(column, [float(row[name] or "nan") for row in rows], equal_nan=True)
    frame = trajectory.to_pandas()
    assert list(frame.columns) == COLUMNS and len(frame) == len(trajectory)
    assert v.svg.startswith("<svg") and v.png.startswith(b"\x89PNG")
    assert str(v) == v.summary() and "per_head" in str(v)
    assert json.loads((tmp_path / "out" / "verdict.json").read_text()) == v.to_dict()
    assert "\n" not in repr(v) and "certified" in repr(v)
    html = v._repr_html_()
    assert "<table" in html and "svg" in html and "dark" in html


def test_a_certificate(proven, tmp_path):
    c = gdcert.certify(
        proven, theorem=1, train=None, eta="auto", reading=None, search_scale=False, tail=False, steps=None
    )
    assert c.kind == "theorem_a" and c.t == 0 and c.rate > 0 and c.rate >= c.eta * c.beta
    assert c.instance == c.centre == proven and str(c) == c.statement
    c.save(tmp_path / "c")
    assert json.loads((tmp_path / "c" / "certificate.json").read_text()) == c.to_dict()
    for what in (c, tmp_path / "c" / "certificate.json", str(tmp_path / "c" / "certificate.json"), tmp_path / "c"):
        checked = gdcert.check(what)
        assert bool(checked) and checked.statement and checked.reason is None
    forged = json.loads((tmp_path / "c" / "certificate.json").read_text())
    forged["rate_lower"] = 0.9
    (tmp_path / "c" / "certificate.json").write_text(json.dumps(forged))
    checked = gdcert.check(tmp_path / "c" / "certificate.json")
    assert not checked and checked.reason and checked.statement is None


def test_a_tail_and_a_scale(inst):
    c = gdcert.certify(inst, tail=True)
    assert c.t > 0 and c.centre != c.instance == inst and gdcert.check(c)
    smallest = gdcert.certify(inst, search_scale=True)
    assert smallest.t == 0 and smallest.instance != inst and gdcert.check(smallest)
    with pytest.raises(gdcert.InputError, match="Instance.random"):
        gdcert.certify(inst.replace(X=inst.X), search_scale=True)


def test_the_exact_orbit(inst):
    v = gdcert.verify(inst, orbit="auto", bits=4096)
    orbit, claims = v.orbit, v.claims
    assert (v.verdict, claims["stacked"].verdict) == ("certified", "refuted")
    assert claims["per_head"].proven_to >= orbit.steps and claims["stacked"].proven_to == 181
    assert orbit.losses.shape == (orbit.steps + 1, 2) and (orbit.losses[:, 0] <= orbit.losses[:, 1]).all()
    assert orbit.distance < orbit.run_distance < 1e-9 and orbit.bits >= 128 and orbit.log2_growth >= 0
    # The run in f64 stays close to the exact orbit.
    run = v.trajectory["loss"][: orbit.steps + 1]
    assert np.allclose(run, orbit.losses[:, 0], rtol=1e-6, atol=0)
    record = v.to_dict()["orbit"]
    assert record == {name: getattr(orbit, name) for name in record}
    c = v.refutations["stacked"]
    assert (c.kind, c.reading, c.t, c.rate) == ("refuted", "stacked", 182, None) and gdcert.check(c)
    deciding = gdcert.verify(inst, reading="stacked")
    assert deciding.verdict == "refuted" and deciding.certificate == deciding.refutations["stacked"] == c
    never = gdcert.verify(inst, orbit="never")
    assert never.orbit is None and never.refutations == {} and never.claims["per_head"].proven_to is None
    assert (never.verdict, never.claims["stacked"].verdict) == ("certified_tail", "violated")
    assert gdcert.verify(inst, steps=30, orbit="always").orbit.steps >= 1
    c = gdcert.certify(inst, tail=True, orbit="always", bits=256)
    assert c.t > 0 and c.to_dict()["orbit"]["steps"] == c.t
    assert gdcert.certify(inst, tail=True, orbit="never").to_dict().get("orbit") is None
    for wrong in (dict(orbit="sometimes"), dict(bits=64), dict(bits=-1), dict(bits="many")):
        with pytest.raises(gdcert.InputError):
            gdcert.verify(inst, **wrong)


def test_nothing_proven_says_why(inst):
    with pytest.raises(gdcert.NotCertified) as e:
        gdcert.certify(inst)
    assert e.value.condition == str(e.value) and e.value.factor > 1 and e.value.t == 0


def test_falsify():
    found = gdcert.falsify(reading="stacked", kernel="gaussian")
    assert found.verification.verdict == "refuted" and found.instance.kernel == "gaussian"
    assert gdcert.verify(found.instance, reading="stacked").verdict == "refuted"
    nothing = gdcert.falsify("ntk", tries=1)
    assert not nothing and nothing.instance is None and nothing.tried == 1


SETTINGS = {
    "N": 2, "n": 4, "D": 8, "d": 4, "H": [1, 2, 3], "kernel": ["softmax", "gaussian"], "steps": 60,
    "eta": {"from": 0.25, "to": 0.5, "count": 2}, "certify": False,
}  # fmt: skip


def test_a_sweep_and_its_shards(tmp_path):
    table = gdcert.sweep(SETTINGS, threads=None, shard=(1, 1), out=None, resume=False, progress=None)
    assert len(table) == 12 and table.columns[0] == "trial" and "measured_rate" in table
    assert table["measured_rate"].dtype == np.float64 and table["H"].tolist() == [1] * 4 + [2] * 4 + [3] * 4
    assert len(table.to_pandas()) == 12
    parts = [gdcert.sweep(SETTINGS, shard=(k, 5), threads=1) for k in range(1, 6)]
    assert gdcert.Table.merge(reversed(parts)) == table
    with pytest.raises(gdcert.InputError, match="missing or twice"):
        gdcert.Table.merge(parts[1:])
    assert gdcert.sweep(SETTINGS, out=tmp_path / "out") == table
    with pytest.raises(gdcert.InputError, match="resume"):
        gdcert.sweep(SETTINGS, out=tmp_path / "out")
    lines = (tmp_path / "out" / "trials-1-of-1.csv").read_bytes().splitlines(keepends=True)
    (tmp_path / "out" / "trials-1-of-1.csv").write_bytes(b"".join(lines[:7]) + lines[7][:9])
    assert gdcert.sweep(SETTINGS, out=tmp_path / "out", resume=True) == table
    assert gdcert.load_run(tmp_path / "out").trials["H"].tolist() == table["H"].tolist()


def test_a_landscape(inst, tmp_path):
    land = gdcert.landscape(inst, grid=5, lanczos_steps=3, direction_seeds=[0, 1], out=tmp_path)
    assert land.axis.tolist() == [-1, -0.5, 0, 0.5, 1] and land.surfaces.shape == (2, 5, 5)
    assert land.surfaces[0, 2, 2] == gdcert.loss(inst) and ("all", 0) in land.spectra
    assert land.svg.startswith("<svg") and land.relief_svg.startswith("<svg") and land.to_dict()["schema"]
    assert (tmp_path / "contour.svg").read_text() == land.svg
    assert (tmp_path / "relief.png").read_bytes().startswith(b"\x89PNG")
    run = gdcert.load_run(tmp_path)
    assert "surface" in run and len(run.surface) and run.json["surface"] == land.to_dict()


def test_pickles_copies_and_equality(inst, proven):
    a = gdcert.Instance(*(getattr(inst, name) for name in ("X", "y", "W_Q", "W_K", "W_V", "W_O")))
    assert a == inst and inst == copy.copy(inst) == copy.deepcopy(inst)
    assert inst != inst.replace(kernel="gaussian") and inst != 3
    again = pickle.loads(pickle.dumps(inst))
    assert again == inst and gdcert.certify(again, search_scale=True).t == 0
    for v in (gdcert.verify(inst), gdcert.verify(proven), gdcert.verify(inst, train="QK")):
        w = pickle.loads(pickle.dumps(v))
        assert w.to_dict() == v.to_dict() and w.svg == v.svg and w.png == v.png and str(w) == str(v)
        assert w.trajectory == v.trajectory and w.instance == v.instance and w.certificate == v.certificate
        assert copy.deepcopy(v).to_dict() == v.to_dict()
    c = gdcert.certify(inst, tail=True)
    d = pickle.loads(pickle.dumps(c))
    assert c == d == copy.copy(c) and d.centre == c.centre and gdcert.check(d)
    with pytest.raises(gdcert.InputError):
        gdcert.Verification._restore(b"nonsense")


def test_every_public_name_is_documented():
    for name in gdcert.__all__:
        thing = getattr(gdcert, name)
        if callable(thing):
            assert ">>>" in inspect.getdoc(thing) or name in ("Landscape", "Run", "Falsified"), name
    for word in list(inspect.signature(gdcert.verify).parameters)[1:]:
        assert word in gdcert.verify.__doc__
    assert str(inspect.signature(gdcert.verify)).startswith("(inst, theorem=1, train=None, eta='auto', steps=None")


def test_matplotlib(inst):
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    for v in (gdcert.verify(inst), gdcert.verify(inst, train="QK"), gdcert.verify(inst, steps=0)):
        ax = v.plot()
        assert v.plot(ax=ax) is ax
        colours = {line.get_color() for line in ax.lines}
        assert "#000000" in colours and all(colour in v.svg.lower() for colour in colours & {"#0072b2", "#d55e00"})
        plt.close("all")
    assert gdcert.landscape(inst, grid=3, lanczos_steps=0).plot() is not None
