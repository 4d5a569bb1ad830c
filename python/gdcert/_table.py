"""Columns of equal length: a run's trajectory, a sweep's rows."""

from collections.abc import Mapping

import numpy as np

from ._gdcert import InputError


class Columns(Mapping):
    """Named columns of equal length. Iterates over the names; len() is the number of rows."""

    def __init__(self, columns):
        self._columns = columns

    def __getitem__(self, name):
        try:
            return self._columns[name]
        except KeyError:
            raise KeyError(f"there is no column {name!r}; the columns are {', '.join(self._columns)}") from None

    def __contains__(self, name):
        return name in self._columns

    def __iter__(self):
        return iter(self._columns)

    def __len__(self):
        return next((len(column) for column in self._columns.values()), 0)

    def __bool__(self):
        return len(self) > 0

    def __eq__(self, other):
        if not isinstance(other, type(self)):
            return NotImplemented
        return list(self) == list(other) and all(map(same, self._columns.values(), other._columns.values()))

    __hash__ = None

    @property
    def columns(self):
        """The columns' names, in order."""
        return list(self._columns)

    def to_pandas(self):
        """A pandas.DataFrame of the same columns and rows."""
        import pandas

        empty = {name: np.where(np.equal(c, None), np.nan, c) for name, c in self._columns.items() if c.dtype == object}
        return pandas.DataFrame({**self._columns, **empty})

    def __repr__(self):
        return f"gdcert.{type(self).__name__}({len(self)} rows, {len(self._columns)} columns)"


def same(a, b):
    """Whether two columns agree, empty cells included."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


class Trajectory(Columns):
    """The columns of trajectory.csv as float64 arrays, NaN where a cell is empty; len() is the number of rows.

    >>> v = gdcert.verify(gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3), steps=5, certify=False)
    >>> v.trajectory.columns[:3], v.trajectory["t"].tolist()
    (['t', 'loss', 'bound_stacked'], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    """


class Table(Columns):
    """The rows of a sweep: whole numbers, float64 (NaN where a cell is empty) and names (None where empty).

    >>> settings = {"N": 2, "n": 4, "D": 8, "d": 4, "H": [1, 2, 3], "steps": 20, "certify": False}
    >>> whole = gdcert.sweep(settings)
    >>> parts = [gdcert.sweep(settings, shard=(k, 2)) for k in (1, 2)]
    >>> gdcert.Table.merge(parts) == whole
    True
    """

    @classmethod
    def merge(cls, tables):
        """The shards of one sweep as one table, in the order of the trials."""
        tables = [table for table in tables if len(table)]
        if not tables:
            raise InputError("there is nothing to merge; give the tables of the shards")
        if any(table.columns != tables[0].columns for table in tables):
            raise InputError("the tables have different columns; merge those of one sweep")
        cells = {name: sum((table[name].tolist() for table in tables), []) for name in tables[0]}
        trials = cells["trial"]
        order = sorted(range(len(trials)), key=trials.__getitem__)
        if [trials[i] for i in order] != list(range(len(trials))):
            raise InputError("trials are missing or twice there; merge every shard of the sweep once")
        return of_cells({name: [column[i] for i in order] for name, column in cells.items()})

    def _repr_html_(self):
        shown = 10
        head = "".join(f"<th>{name}</th>" for name in self)
        rows = (
            "".join(f"<td>{'' if empty(cell) else cell}</td>" for cell in row)
            for row in zip(*(column[:shown].tolist() for column in self._columns.values()))
        )
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><tr>{head}</tr>{body}</table><p>{len(self)} rows</p>"


def empty(cell):
    """Whether a cell has nothing in it."""
    return cell is None or cell != cell


def of_cells(columns):
    """A Table of lists of numbers, names and None."""
    return Table({name: column(cells) for name, cells in columns.items()})


def column(cells):
    """One column as an array."""
    if any(isinstance(cell, str) for cell in cells):
        return np.array([None if empty(cell) else cell for cell in cells], dtype=object)
    if cells and all(isinstance(cell, int) for cell in cells):
        return np.array(cells)
    return np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)
