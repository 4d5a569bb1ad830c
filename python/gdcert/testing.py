"""Hypothesis strategies, so that a claim of one's own can be tested on instances of every kind.

    from hypothesis import given
    from gdcert.testing import instances

    @given(instances(kernels="gaussian"))
    def test_mine(inst):
        assert gdcert.loss(inst) >= 0

What fails is shrunk: to small sizes, softmax, scale 1, seed 0.
"""

from hypothesis import strategies as st

from ._gdcert import Instance

KERNELS = ("softmax", "gaussian")
INITS = ("lecun", "lazy", "paired", "constant-value")


def _among(given, known):
    """A strategy of names: one, several, or a strategy."""
    if isinstance(given, st.SearchStrategy):
        return given
    names = (given,) if isinstance(given, str) else tuple(given)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown {unknown}; choose among {', '.join(known)}")
    return st.sampled_from(names)


def sizes(N=3, n=4, D=8, d=4, H=4, p=2):
    """Dicts of the six sizes, each from 1 to the given largest, or exactly those of a strategy given in its place.

    >>> from hypothesis import find
    >>> find(sizes(), lambda s: s["H"] >= 2) == {"N": 1, "n": 1, "D": 1, "d": 1, "H": 2, "p": 1}
    True
    """
    largest = {"N": N, "n": n, "D": D, "d": d, "H": H, "p": p}
    each = {
        name: most if isinstance(most, st.SearchStrategy) else st.integers(1, most) for name, most in largest.items()
    }
    return st.fixed_dictionaries(each)


def kernels(names=KERNELS):
    """Kernels' names; shrinks to the first.

    >>> from hypothesis import find
    >>> find(kernels(), lambda kernel: True)
    'softmax'
    """
    return _among(names, KERNELS)


def scales(smallest=1e-2, largest=1e4):
    """Scales of an initialization, even in the logarithm; shrinks to 1.

    >>> from hypothesis import find
    >>> find(scales(), lambda scale: True)
    1.0
    """
    from math import log10

    powers = st.floats(min_value=log10(smallest), max_value=log10(largest))
    return powers.map(lambda power: float(10.0**power))


@st.composite
def instances(draw, sizes=sizes(), kernels=KERNELS, inits=INITS, scales=scales(), seeds=st.integers(0, 2**32 - 1)):
    """Instances drawn from the laws of gdcert.Instance.random.

    sizes, scales, seeds: strategies; kernels, inits: a name, several, or a strategy. Where a law needs it (paired and
    constant-value an even number of heads, lazy d >= p) sizes are raised.

    >>> from hypothesis import find
    >>> find(instances(kernels="gaussian", inits="lecun"), lambda inst: inst.H > 1)
    gdcert.Instance(N=1, n=1, D=1, d=1, H=2, p=1, kernel='gaussian')
    """
    size = dict(draw(sizes))
    init = draw(_among(inits, INITS))
    if init in ("paired", "constant-value"):
        size["H"] += size["H"] % 2
    if init == "lazy":
        size["d"] = max(size["d"], size["p"])
    scale = None if init == "lecun" else draw(scales)
    kernel = draw(_among(kernels, KERNELS))
    return Instance.random(**size, kernel=kernel, init=init, scale=scale, seed=draw(seeds))
