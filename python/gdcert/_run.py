"""What a command wrote into its folder, as tables."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from ._gdcert import InputError

SHARD = re.compile(r"(trials|timings)-(\d+)-of-(\d+)$")


class Run(Mapping):
    """The tables of a folder by name: "metrics", "surface", "spectrum", "summary", "trials", "trajectory" and so on.

    run: what run.json says (command, version, seed). json: the other JSON files by name. A table is also an attribute.
    """

    def __init__(self, folder, run, tables, json_files):
        self.folder, self.run, self.json = folder, run, json_files
        self._tables = tables

    def __getitem__(self, name):
        try:
            return self._tables[name]
        except KeyError:
            raise KeyError(f"{self.folder} has no table {name!r}; it has {', '.join(self._tables) or 'none'}") from None

    def __getattr__(self, name):
        tables = self.__dict__.get("_tables", {})
        if name in tables:
            return tables[name]
        raise AttributeError(f"{self.__dict__.get('folder')} has no table {name!r}; it has {', '.join(tables) or 'none'}")

    def __iter__(self):
        return iter(self._tables)

    def __len__(self):
        return len(self._tables)

    def __repr__(self):
        return f"gdcert.Run({str(self.folder)!r}, {self.run.get('subcommand')!r}, tables={list(self._tables)})"


def load_run(folder):
    """The metrics, surfaces, summaries and other tables that a command wrote into a folder, as pandas tables.

    Shards of a sweep become one table "trials". Needs pandas.

    >>> import tempfile
    >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gdcert.verify(inst, steps=5, certify=False).save(folder)
    ...     run = gdcert.load_run(folder)
    >>> run.run["subcommand"], list(run), len(run["trajectory"])
    ('verify', ['trajectory'], 6)
    """
    import pandas

    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder; give one that a command wrote (--out)")
    files = sorted(folder.glob("*.csv"))
    run_file = folder / "run.json"
    if not files and not run_file.exists():
        raise InputError(f"{folder}: holds no results of gdcert; give a folder that a command wrote (--out)")
    run = read_json(run_file) if run_file.exists() else {}
    tables, shards = {}, {}
    for file in files:
        try:
            table = pandas.read_csv(file)
        except (pandas.errors.ParserError, pandas.errors.EmptyDataError, UnicodeDecodeError) as e:
            raise InputError(f"{file}: is no table ({e}); run the command again") from None
        shard = SHARD.match(file.stem)
        if shard:
            shards.setdefault(shard[1], []).append(table)
        else:
            tables[file.stem] = table
    for name, parts in shards.items():
        if name not in tables:
            tables[name] = pandas.concat(parts).sort_values("trial", ignore_index=True)
    others = {file.stem: read_json(file) for file in sorted(folder.glob("*.json")) if file != run_file}
    return Run(folder, run, tables, others)


def read_json(file):
    """A JSON file."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as e:
        raise InputError(f"{file}: is no JSON ({e}); run the command again") from None
