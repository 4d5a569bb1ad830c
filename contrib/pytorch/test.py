"""The module against the command: logits of PyTorch's own reference, losses of gdcert train, landscapes of weights from here.

GDCERT=target/release/gdcert python contrib/pytorch/test.py
"""

import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn import functional

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here))
import gdcert_torch as ours  # noqa: E402

root = here.parent.parent
gdcert = os.environ.get("GDCERT", str(root / "target/release/gdcert"))


def run(*words, cwd):
    subprocess.run([gdcert, *map(str, words)], cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def reference():
    """Logits that an independent program computed in f64."""
    cases = root.parent / "shared/cases"
    files = sorted(cases.glob("encoder_*.safetensors"))
    if not files:
        print("skipped: the maintainers' reference cases are not at hand")
    for file in files:
        told = json.loads(file.with_suffix(".json").read_text())
        tensors = load_file(file)
        parameters = {k[len("param.") :]: t for k, t in tensors.items() if k.startswith("param.")}
        positions = parameters["position.weight"].shape[0]
        model = ours.Classifier(told["kernel"], positions, heads=told["heads"]).double().eval()
        model.load_state_dict(parameters)
        with torch.no_grad():
            found = model(tensors["ids"])
        far = (found - tensors["logits"]).abs().max().item()
        assert far < 1e-9, (file.name, far)
        print(f"{file.name}: logits within {far:.1e}")


def samples(folder):
    """The test samples of gdcert's text data in train.csv and test.csv, as the command orders them: by label, then row."""
    with open(folder / "test.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    rows.sort(key=lambda row: int(row["label"]))
    return [row["text"].encode() for row in rows], torch.tensor([int(row["label"]) for row in rows])


def write_texts(folder):
    for name, count in [("train.csv", 40), ("test.csv", 12)]:
        with open(folder / name, "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["text", "label"])
            for i in range(count):
                word = "good" if i % 2 else "bad"
                table.writerow([f"number {i} is {word}, " * (1 + i % 3), i % 2])


def command(kernel):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_texts(folder)
        run("train", "--data", ".", "--task", "imdb", "--kernel", kernel, "--length", 50, "--steps", 6, "--batch", 8,
            "--optimizer", "adam", "--lr", 1e-3, "--eval-samples", 0, "--out", "run", cwd=folder)  # fmt: skip
        checkpoint = folder / "run/checkpoint-0.safetensors"
        model, state = ours.load(checkpoint)
        model.eval()
        texts, labels = samples(folder)
        tokens = ours.tokens(texts, state["settings"]["length"], shift=1)
        with torch.no_grad():
            loss = functional.cross_entropy(model(tokens), labels).item()
        with open(folder / "run/metrics.csv") as file:
            final = [row for row in csv.DictReader(file) if row["split"] == "final"][-1]
        far = abs(loss - float(final["loss"]))
        assert far < 1e-5, (kernel, loss, final["loss"])
        print(f"{kernel}: loss of the command's checkpoint within {far:.1e}")

        # There and back: the same bytes in every parameter.
        ours.save(folder / "copy.safetensors", model, state, step=state["step"])
        with safe_open(checkpoint, "pt") as a, safe_open(folder / "copy.safetensors", "pt") as b:
            for key in b.keys():
                assert torch.equal(a.get_tensor(key), b.get_tensor(key)), key

        # Trained here, looked at there.
        model.train()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(5):
            optimizer.zero_grad()
            functional.cross_entropy(model(tokens), labels).backward()
            optimizer.step()
        ours.save(folder / "mine.safetensors", model, state, step=11)
        model.eval()
        with torch.no_grad():
            loss = functional.cross_entropy(model(tokens), labels).item()
        run("landscape", "mine.safetensors", "--data", ".", "--grid", 3, "--samples", 12, "--lanczos-steps", 0,
            "--out", "land", cwd=folder)  # fmt: skip
        with open(folder / "land/surface.csv") as file:
            rows = list(csv.DictReader(file))
        centre = float(rows[len(rows) // 2]["loss"])
        assert abs(centre - loss) < 1e-5, (kernel, centre, loss)
        print(f"{kernel}: landscape's centre within {abs(centre - loss):.1e} of the loss here")
        run("train", "--data", ".", "--from", "mine.safetensors", "--steps", 1, "--out", "on", cwd=folder)


if __name__ == "__main__":
    torch.manual_seed(0)
    reference()
    for kernel in ("softmax", "gaussian"):
        command(kernel)
