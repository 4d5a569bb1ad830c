"""A sweep over a cluster: every task is one shard, and the shards merge to the table of a single run.

    pip install "dask[distributed]"
    python examples/dask_sweep.py

LocalCluster starts processes on this machine; in its place goes the cluster that you have (dask_jobqueue.SLURMCluster,
a Client of a running scheduler, ...). A row depends on its trial alone, so it does not matter who computes it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import gdcert

SETTINGS: dict[str, Any] = {
    "N": 2,
    "n": 4,
    "D": 8,
    "d": 4,
    "H": [1, 2, 3],
    "kernel": ["softmax", "gaussian"],
    "init": "lazy",
    "scale": 10.0,
    "seeds": {"from": 0, "to": 9},
    "steps": 500,
    "certify": False,
}
SHARDS = 8


def shard(k: int) -> gdcert.Table:
    """The k-th of SHARDS parts, on one thread: the cluster has its own parallelism."""
    return gdcert.sweep(SETTINGS, shard=(k, SHARDS), threads=1, progress=False)


def main() -> None:
    distributed: Any = import_module("dask.distributed")
    local = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with local as cluster, distributed.Client(cluster) as client:
        parts = client.gather(client.map(shard, range(1, SHARDS + 1), pure=False))
    table = gdcert.Table.merge(parts)
    assert table == gdcert.sweep(SETTINGS, progress=False)
    print(f"{len(table)} trials in {SHARDS} shards, the same table as one run")
    frame = table.to_pandas()
    print(frame.groupby(["kernel", "H"])["verdict_stacked"].value_counts().unstack(fill_value=0))


if __name__ == "__main__":
    main()
