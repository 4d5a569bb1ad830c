import subprocess
import sys

import numpy as np
import pytest

import gdcert

DIMS = dict(N=2, n=4, D=8, d=4, H=3)


@pytest.fixture
def inst():
    return gdcert.Instance.random(**DIMS, p=1, kernel="softmax", init="lazy", scale=10.0, seed=19)


@pytest.fixture
def proven():
    return gdcert.Instance.random(**DIMS, init="lazy", scale=1e4)


@pytest.fixture
def command():
    """Runs the command in a folder; `python -m gdcert`, so that it is the one of this package."""

    def run(*args, cwd):
        words = [sys.executable, "-m", "gdcert", *map(str, args)]
        return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=300)

    return run


def arrays(seed=0, N=2, n=4, D=8, d=4, H=3, p=1):
    g = np.random.default_rng(seed).standard_normal
    return dict(X=g((N, n, D)), y=g((N, n, p)), W_Q=g((H, D, d)), W_K=g((H, D, d)), W_V=g((H, D, d)), W_O=g((H, d, p)))
