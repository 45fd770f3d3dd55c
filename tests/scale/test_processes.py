"""Processes end with the work, with its interruption, and with their parent."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from llmdemand.scale.merging import mapped


class Unread:
    """Sent, and not to be read."""

    def __reduce__(self):
        return missing, ()


def missing():
    raise ValueError("it cannot be made again")


def unread(shard):
    return Unread()


class Odd(Exception):
    """Pickled with one argument, made of two."""

    def __init__(self, what, where):
        super().__init__(f"{what} at {where}")


def odd(shard):
    raise Odd("nothing", shard)


def marked(folder, shard):
    """Shard 1 says who is at work on it, and takes for ever."""
    if shard == 1:
        path = os.path.join(folder, "pid")
        with open(f"{path}.new", "w") as file:
            file.write(str(os.getpid()))
        os.replace(f"{path}.new", path)
        time.sleep(3600)
    return shard


def worker(folder):
    """The process at work, once it is."""
    while not (folder / "pid").exists():
        time.sleep(0.02)
    return int((folder / "pid").read_text())


def ended(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


def test_a_result_that_cannot_be_read_is_an_error_and_no_death():
    with pytest.raises(ValueError, match="made again"):
        list(mapped(unread, [1, 2, 3], 2))


def test_an_error_that_cannot_be_made_again_is_told():
    with pytest.raises(RuntimeError, match="Odd: nothing at 1"):
        list(mapped(odd, [1, 2, 3], 2))


def test_work_that_nobody_waits_for_is_ended(tmp_path):
    results = mapped(partial(marked, str(tmp_path)), range(4), 2)
    assert next(results) == 0
    pid = worker(tmp_path)
    results.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="reads /proc")
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        "from functools import partial\n"
        "import test_processes\n"
        "from llmdemand.scale.merging import mapped\n"
        "if __name__ == '__main__':\n"
        f"    list(mapped(partial(test_processes.marked, {str(tmp_path)!r}), range(4), 2))\n"
    )
    with subprocess.Popen([sys.executable, str(script)]) as parent:
        pid = worker(tmp_path)
        parent.send_signal(signal.SIGKILL)
    for _ in range(6000):
        if ended(pid):
            return
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("a worker outlives its parent")
