"""Locks between launches of the benchmarks, which may go on side by side."""
import contextlib
import fcntl
import time

from benchmark_list import SCRATCH


class Busy(Exception):
    """Another launch, or a program that one left behind, holds the lock."""


@contextlib.contextmanager
def locked(name, stopping=None, waiting=None):
    """Holds the lock of that name, which threads and launches share; yields its descriptor: a program that inherits it holds the lock too,
    so that what it writes is left alone until it has ended, whatever becomes of its launch. Where another holds it: Busy; with `stopping`,
    an event, only when that is set, and waiting() is called once."""
    path = SCRATCH / "locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        while not _taken(file):
            if stopping is None or stopping.is_set():
                raise Busy
            if waiting:
                waiting()
                waiting = None
            time.sleep(0.5)
        yield file.fileno()


def _taken(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
