from collections.abc import Sequence
from typing import Union

from hypothesis.strategies import SearchStrategy

from ._gdcert import Instance

Names = Union[str, Sequence[str], SearchStrategy[str]]
Size = Union[int, SearchStrategy[int]]

def sizes(N: Size = 3, n: Size = 4, D: Size = 8, d: Size = 4, H: Size = 4, p: Size = 2) -> SearchStrategy[dict[str, int]]: ...
def kernels(names: Names = ...) -> SearchStrategy[str]: ...
def scales(smallest: float = 1e-2, largest: float = 1e4) -> SearchStrategy[float]: ...
def instances(
    sizes: SearchStrategy[dict[str, int]] = ...,
    kernels: Names = ...,
    inits: Names = ...,
    scales: SearchStrategy[float] = ...,
    seeds: SearchStrategy[int] = ...,
) -> SearchStrategy[Instance]: ...
