"""Every example in the documents runs, and its types hold."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gdcert

ROOT = Path(__file__).parents[2]
MODULES = ["gdcert", "gdcert._gdcert", "gdcert._table", "gdcert._run", "gdcert.testing"]


def documented(module):
    """Doctests of a module's public things; those of native classes and functions too."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    yield from finder.find(module, extraglobs=globals_for(module))
    if module.__name__ != "gdcert._gdcert":
        return
    parser = doctest.DocTestParser()
    for name in names:
        thing = getattr(module, name)
        members = {name: thing}
        if isinstance(thing, type):
            members.update({f"{name}.{member}": value for member, value in vars(thing).items() if member[0] != "_"})
        for label, member in members.items():
            text = getattr(member, "__doc__", None) or ""
            if ">>>" in text:
                yield parser.get_doctest(text, globals_for(module), label, None, 0)


def globals_for(module):
    return {**vars(module), "gdcert": gdcert, "np": np}


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name):
    if name == "gdcert.testing":
        pytest.importorskip("hypothesis")
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    tried = 0
    for test in documented(module):
        result = runner.run(test)
        assert result.failed == 0, test.name
        tried += result.attempted
    assert tried > 0


def test_the_page_of_the_api():
    page = ROOT / "docs" / "python.md"
    if not page.exists():
        pytest.skip("no docs beside the package")
    result = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0 and result.attempted > 10


def test_types(tmp_path):
    pytest.importorskip("mypy")
    files = [str(Path(__file__).parent / "typed.py")]
    if (ROOT / "examples" / "dask_sweep.py").exists():
        files.append(str(ROOT / "examples" / "dask_sweep.py"))
    words = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), *files]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_stubs_name_what_there_is():
    stub = (Path(gdcert.__file__).parent / "_gdcert.pyi").read_text()
    for name in gdcert.__all__:
        thing = getattr(gdcert, name)
        if getattr(thing, "__module__", "") in ("gdcert", "gdcert._gdcert") and name not in ("Run", "Table", "Trajectory"):
            assert f"def {name}(" in stub or f"class {name}" in stub, name
            if isinstance(thing, type) and not issubclass(thing, Exception):
                for member in vars(thing):
                    assert member.startswith("_") or f"def {member}(" in stub, (name, member)


def test_a_cluster_gives_the_table_of_one_run(tmp_path):
    pytest.importorskip("dask.distributed")
    example = ROOT / "examples" / "dask_sweep.py"
    if not example.exists():
        pytest.skip("no examples beside the package")
    done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0 and "the same table as one run" in done.stdout, done.stderr
