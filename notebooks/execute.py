"""Runs notebooks from top to bottom in a folder of their own; any error, also a panic of Rust, fails.

    python notebooks/execute.py [--store] [NAME ...]

--store keeps what the cells show in the notebooks, which is how they are committed.
"""

import sys
import tempfile
import time
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).resolve().parent
TIMEOUT = 600  # seconds a cell may take: the first Rust cell compiles the library


def failure(notebook):
    """What a kernel let pass: evcxr answers a panic with a message on stderr and goes on."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            text = output.get("text", "")
            if output.output_type == "error":
                return "\n".join(output.traceback)
            if notebook.metadata.kernelspec.language == "rust" and ("panicked at" in text or "Child process" in text):
                return text
    return None


def keep(notebook, path):
    """Writes the notebook with its outputs, without progress bars and times."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(notebook, path)


def execute(path, store):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace('path = "GDCERT"', f'path = "{HERE.parent}"')
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=TIMEOUT,
            kernel_name=notebook.metadata.kernelspec.name,
            resources={"metadata": {"path": folder}},
        )
        try:
            client.execute()
        except CellExecutionError as error:
            return str(error)
    failed = failure(notebook)
    if store and not failed and notebook.metadata.kernelspec.language != "rust":
        keep(notebook, path)
    return failed


def main(names, store):
    paths = sorted(HERE.glob("*.ipynb"))
    if names:
        paths = [path for path in paths if path.stem in names]
    kernels = KernelSpecManager().find_kernel_specs()
    passed = failed = skipped = 0
    for path in paths:
        kernel = nbformat.read(path, as_version=4).metadata.kernelspec.name
        if kernel not in kernels:
            print(f"{path.name}: skipped, the kernel '{kernel}' is not installed", flush=True)
            skipped += 1
            continue
        start = time.monotonic()
        error = execute(path, store)
        print(f"{path.name}: {'FAILED' if error else 'ok'}, {time.monotonic() - start:.0f} s", flush=True)
        if error:
            print(error, flush=True)
            failed += 1
        else:
            passed += 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word]
    sys.exit(main([word for word in words if word != "--store"], "--store" in words))
