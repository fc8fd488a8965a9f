"""Locks between launches of the benchmarks, which may go on side by side."""
import contextlib
import fcntl

from benchmark_list import SCRATCH


class Busy(Exception):
    """Another launch holds the lock."""


@contextlib.contextmanager
def locked(name, wait=True):
    """Holds the lock of that name, which threads and launches share; yields its descriptor: a program that inherits it holds the lock too,
    so that what it writes is left alone until it has ended, whatever becomes of its launch."""
    folder = SCRATCH / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise Busy from None
        yield file.fileno()
