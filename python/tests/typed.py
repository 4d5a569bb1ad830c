"""Examples that `mypy --strict` reads; test_documents.py runs it."""

from __future__ import annotations

import numpy as np

import gdcert

inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, kernel="gaussian", init="lazy", scale=10.0)
other = gdcert.Instance(inst.X, inst.y, inst.W_Q, inst.W_K, inst.W_V, inst.W_O, kernel="softmax")
moved: gdcert.Instance = inst.replace(W_V=inst.W_V + 1.0, kernel="softmax")

norm: float = float(np.linalg.norm(gdcert.jacobian(inst, train="QK"), 2))
blocks: dict[str, float] = {name: float(abs(g).max()) for name, g in gdcert.gradient(inst).items()}
beta: float = gdcert.spectrum(inst).betas["per_head"]

v = gdcert.verify(inst, steps=100, eta="auto", progress=lambda done, total: print(done, total))
losses = v.trajectory["loss"]
last: float = float(losses[-1])
first: int | None = v.claims["stacked"].first_violation
if v.certificate is not None:
    checked: bool = bool(gdcert.check(v.certificate))

try:
    c = gdcert.certify(inst, tail=True)
    rate: float | None = c.rate
except gdcert.NotCertified as e:
    why: str = e.condition
    factor: float | None = e.factor

table = gdcert.sweep({"N": 2, "n": 4, "D": 8, "d": 4, "H": [1, 2, 3]}, shard=(1, 2))
mean: float = float(np.nanmean(table["measured_rate"]))
names: list[str] = table.columns
