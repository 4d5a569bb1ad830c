"""Bad input is an exception with one line that helps: no panic, no abort, no leak."""

import os
import random

import numpy as np
import pytest
from conftest import DIMS, arrays

import gdcert

WRONG = [
    None, "x", 3.5, -1, 0, 2**70, float("nan"), float("inf"), [], [[]], [[1, 2], [3]], {}, object(), b"bytes", 1j, True,
    np.zeros((0, 2, 3)), np.zeros((2, 3, 4, 5)), np.array("text"), np.array([None]), np.array([1j]), np.full((2, 4, 8), np.nan),
    np.ma.masked_array([1.0, 2.0], [True, False]), np.array(5.0), np.zeros(3), np.array(["a"], dtype=object),
    np.datetime64("2024-01-01"), range(3), lambda: 0, "\x00", "stacked", (1, 2),
]  # fmt: skip


def one(draw, inst, tmp):
    """A call with one argument that is most likely wrong."""
    wrong = draw.choice(WRONG)
    a = arrays()
    kind = draw.randrange(12)
    if kind == 0:
        a[draw.choice(list(a))] = wrong
        return lambda: gdcert.Instance(**a)
    if kind == 1:
        return lambda: gdcert.Instance(**a, kernel=wrong)
    if kind == 2:
        name = draw.choice([*DIMS, "p", "kernel", "init", "scale", "seed"])
        return lambda: gdcert.Instance.random(**{**DIMS, name: wrong})
    if kind == 3:
        name = draw.choice(["theorem", "train", "eta", "steps", "reading", "precision", "curvature_at", "threads", "progress"])
        return lambda: gdcert.verify(inst, **{"steps": 3, "certify": False, name: wrong})
    if kind == 4:
        name = draw.choice(["theorem", "train", "eta", "reading", "steps", "threads", "progress"])
        return lambda: gdcert.certify(inst, **{name: wrong})
    if kind == 5:
        return lambda: gdcert.check(wrong)
    if kind == 6:
        path = tmp / "file"
        path.write_bytes(draw.randbytes(draw.randrange(64)))
        return lambda: draw.choice([gdcert.check, gdcert.Instance.load, gdcert.load_run])(path)
    if kind == 7:
        key = draw.choice(["N", "H", "kernel", "eta", "seeds", "sample", "steps", "certify", "nonsense"])
        settings = {"N": 1, "n": 2, "D": 2, "d": 1, "H": 1, "steps": 2, "certify": False, key: wrong}
        return lambda: gdcert.sweep(settings)
    if kind == 8:
        name = draw.choice(["settings", "threads", "shard", "out", "progress"])
        small = {"settings": {"N": 1, "n": 2, "D": 2, "d": 1, "H": 1, "steps": 2, "certify": False}}
        return lambda: gdcert.sweep(**{**small, name: wrong if name != "out" else b"\xff"})
    if kind == 9:
        function = draw.choice([gdcert.gradient, gdcert.jacobian, gdcert.spectrum])
        return lambda: function(inst, train=wrong)
    if kind == 10:
        name = draw.choice(["grid", "span", "directions", "direction_seeds", "lanczos_steps"])
        return lambda: gdcert.landscape(inst, **{"grid": 3, "lanczos_steps": 0, name: wrong})
    name = draw.choice(["reading", "N", "p", "kernel", "init", "scale", "seed", "steps", "tries"])
    return lambda: gdcert.falsify(**{"reading": "stacked", "tries": 1, "steps": 3, name: wrong})


def test_two_hundred_bad_inputs(inst, tmp_path, capfd):
    draw, refused = random.Random(0), 0
    for _ in range(400):
        call = one(draw, inst, tmp_path)
        try:
            call()
        except (gdcert.InputError, TypeError, OSError, gdcert.NotCertified, OverflowError, RecursionError) as e:
            refused += 1
            assert str(e).count("\n") == 0 and str(e), repr(e)
    assert refused >= 200
    assert "panicked" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "name, shape, words",
    [
        ("X", (8,), r"X has shape \[8\]; give \[N, n, D\]"),
        ("W_Q", (2, 2, 2, 2), r"W_Q has shape \[2, 2, 2, 2\]; give \[H, D, d\]"),
        ("W_K", (3, 8, 5), r"W_K has shape \[3, 8, 5\] .* \[H, D, d\] = \[3, 8, 4\]"),
        ("W_V", (3, 7, 4), r"W_V has shape \[3, 7, 4\] .* \[H, D, d\] = \[3, 8, 4\]"),
        ("W_O", (3, 5, 1), r"W_O has shape \[3, 5, 1\] .* \[H, d, p\] = \[3, 4, 1\]"),
        ("y", (2, 3, 1), r"y has shape \[2, 3, 1\] .* \[N, n, p\] = \[2, 4, 1\]"),
        ("y", (0, 4, 1), r"y has shape \[0, 4, 1\]; every axis"),
    ],
)
def test_a_wrong_shape_is_named_with_the_right_one(name, shape, words):
    with pytest.raises(gdcert.InputError, match=words):
        gdcert.Instance(**{**arrays(), name: np.zeros(shape)})


def test_errors_are_what_python_expects(tmp_path, inst):
    assert issubclass(gdcert.InputError, ValueError)
    with pytest.raises(FileNotFoundError):
        gdcert.Instance.load(tmp_path / "none.safetensors")
    with pytest.raises(OSError):
        gdcert.check(tmp_path / "none.json")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError):
        inst.save(tmp_path / "file" / "instance.safetensors")
    with pytest.raises(OSError):
        gdcert.verify(inst, steps=1, certify=False).save(tmp_path / "file")
    with pytest.raises(gdcert.InputError, match="memory|too large"):
        gdcert.Instance.random(N=2**20, n=2**20, D=2**20, d=4, H=3)
    with pytest.raises(gdcert.InputError, match="finite"):
        gdcert.Instance(**{**arrays(), "X": np.full((2, 4, 8), np.inf)})
    with pytest.raises(AttributeError):
        inst.X = inst.X


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")
def test_memory_stays_flat_over_ten_thousand_calls(inst):
    a = arrays()
    bad = {**a, "W_K": np.zeros((3, 8, 5))}

    def calls(count):
        for number in range(count):
            gdcert.Instance(**a)
            gdcert.jacobian(inst)
            if number % 4 == 0:
                gdcert.verify(inst, steps=1, certify=False)
            for wrong in (lambda: gdcert.Instance(**bad), lambda: gdcert.curvature(inst, -1.0)):
                with pytest.raises(gdcert.InputError):
                    wrong()

    calls(500)
    before = resident()
    calls(2500)
    assert resident() - before < 8e6, f"{(resident() - before) / 1e6:.1f} MB more"
