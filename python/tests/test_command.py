"""The same numbers as the command, bit for bit."""

import json
import random

import pytest

import gdcert


def without_command(verdict):
    return {key: value for key, value in verdict.items() if key != "command"}


def cases():
    draw = random.Random(18)
    for number in range(50):
        init = draw.choice(["lecun", "lazy", "paired", "constant-value"])
        size = {name: draw.randint(1, most) for name, most in dict(N=3, n=4, D=8, d=4, H=4, p=2).items()}
        if init in ("paired", "constant-value"):
            size["H"] += size["H"] % 2
        if init == "lazy":
            size["d"] = max(size["d"], size["p"])
        scale = None if init == "lecun" else draw.choice([0.1, 1.0, 10.0, 1e4])
        law = dict(kernel=draw.choice(["softmax", "gaussian"]), init=init, scale=scale, seed=number)
        how = dict(
            train=draw.choice([None, "QKV", "Q", "V", "QK"]),
            eta=draw.choice(["auto", 0.001]),
            reading=draw.choice([None, "stacked", "value"]),
            # An exact orbit that leaves the lazy regime takes seconds: long ones are few.
            steps=draw.choice([None, 0, 20, 100, 100, 300]),
            orbit=draw.choice(["auto", "auto", "auto", "never"]),
        )
        yield size, law, how


def test_fifty_verdicts(command, tmp_path):
    for number, (size, law, how) in enumerate(cases()):
        flags = [f"-{name}={value}" for name, value in size.items()]
        flags += [f"--{name}={value}" for name, value in {**law, **how}.items() if value is not None]
        out = tmp_path / str(number)
        done = command("verify", *flags, "--out", out, cwd=tmp_path)
        assert done.returncode in (0, 1), done.stderr
        v = gdcert.verify(gdcert.Instance.random(**size, **law), **how)
        v.save(tmp_path / f"own-{number}")
        verdict = json.loads((out / "verdict.json").read_text())
        assert without_command(v.to_dict()) == without_command(verdict), (size, law, how)
        names = {file.name for file in out.iterdir()}
        assert names == {file.name for file in (tmp_path / f"own-{number}").iterdir()}
        for name in names - {"verdict.json", "run.json"}:
            assert (out / name).read_bytes() == (tmp_path / f"own-{number}" / name).read_bytes(), name


def test_a_file_and_its_figure(command, tmp_path, inst):
    inst.save(tmp_path / "mine.safetensors")
    done = command("verify", "--instance", "mine.safetensors", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    v = gdcert.verify(gdcert.Instance.load(tmp_path / "mine.safetensors"))
    assert v.svg == (tmp_path / "out" / "rate-vs-bound.svg").read_text()
    assert v.png == (tmp_path / "out" / "rate-vs-bound.png").read_bytes()
    assert done.stdout.startswith(str(v))


def test_a_folder_saved_here_is_read_there(command, tmp_path, proven):
    gdcert.verify(proven).save(tmp_path / "v")
    assert command("check", "v/certificate.json", cwd=tmp_path).returncode == 0
    assert command("explain", "v", cwd=tmp_path).returncode == 0
    assert command("report", "v", cwd=tmp_path).returncode == 0
    again = gdcert.verify(proven, certify=False)
    again.save(tmp_path / "v")
    assert not (tmp_path / "v" / "certificate.json").exists()


def test_a_sweep_is_the_commands_file(command, tmp_path):
    text = 'N = 2\nn = 4\nD = 8\nd = 4\nH = [1, 2]\nkernel = ["softmax", "gaussian"]\nsteps = 200\n'
    (tmp_path / "c.toml").write_text(text)
    assert command("sweep", "c.toml", "--out", "there", cwd=tmp_path).returncode == 0
    settings = {"N": 2, "n": 4, "D": 8, "d": 4, "H": [1, 2], "kernel": ["softmax", "gaussian"], "steps": 200}
    table = gdcert.sweep(settings, out=tmp_path / "here")
    there = (tmp_path / "there" / "trials-1-of-1.csv").read_bytes()
    assert (tmp_path / "here" / "trials-1-of-1.csv").read_bytes() == there
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(tmp_path / "there" / "trials-1-of-1.csv", float_precision="round_trip")
    pandas.testing.assert_frame_equal(table.to_pandas(), frame, check_dtype=False, check_exact=True)


def test_python_m_gdcert_is_the_command(command, tmp_path):
    assert command("--version", cwd=tmp_path).stdout == f"gdcert {gdcert.__version__}\n"
    wrong = command("verify", "-N", "0", cwd=tmp_path)
    assert wrong.returncode == 2 and wrong.stderr.startswith("gdcert: ") and wrong.stderr.count("\n") == 1
