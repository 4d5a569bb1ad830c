"""What long work shows while it goes on."""

import sys
import time

from ._gdcert import InputError

QUIET = 0.5  # seconds before a bar appears that nobody asked for


def reporter(label, progress):
    """A callable that gets (done, total), or None: progress is None (a bar where someone sees it), a bool or a callable."""
    if progress is False or (progress is None and not watched()):
        return None
    if progress is None or progress is True:
        return Bar(label, asked=progress is True)
    if not callable(progress):
        raise InputError(f"progress is a {type(progress).__name__} but must be True, False, None or a callable that takes (done, total)")
    return lambda done, total: progress(done, total)


def in_notebook():
    """Whether a notebook's kernel runs this."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


def watched():
    """Whether someone sees what is written to stderr."""
    try:
        return in_notebook() or sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False  # no stderr, or a closed one


class Bar:
    """tqdm's bar if it is installed, else one line that is written over."""

    def __init__(self, label, asked):
        self.label = label
        self.shows_from = time.monotonic() + (0.0 if asked else QUIET)
        self.bar = None
        self.line = ""

    def __call__(self, done, total):
        if time.monotonic() < self.shows_from:
            return
        if self.bar is None:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                self.bar = False
            else:
                self.bar = tqdm(total=total, desc=self.label, leave=False)
        if self.bar is False:
            line = f"{self.label}: {done} of {total}"
            sys.stderr.write("\r" + line.ljust(len(self.line)))
            sys.stderr.flush()
            self.line = line
        else:
            self.bar.total = total
            self.bar.n = done
            self.bar.refresh()

    def close(self):
        if self.bar:
            self.bar.close()
        elif self.line:
            sys.stderr.write("\r" + " " * len(self.line) + "\r")
            sys.stderr.flush()
