"""What is sent to workers arrives, and what they send back is read, whatever it is."""

import pickle
import threading

import pytest

import llmdemand.errors as errors
from llmdemand.errors import LLMDemandError, UsageError
from llmdemand.scale.task import Task, received, source


def plain(shard):
    raise KeyError(shard)


class Known:
    """Says which object it is."""

    def __call__(self, shard):
        return self.__dict__.setdefault("seen", []).append(shard) or list(self.seen)


def test_an_error_says_where_in_the_worker_it_was():
    with pytest.raises(KeyError) as caught:
        received(Task(plain)("x"))
    assert "in plain" in caught.value.__notes__[0]


@pytest.mark.parametrize("name", [n for n in errors.__all__ if n[0].isupper()])
def test_every_error_of_ours_arrives_as_it_was(name):
    made = getattr(errors, name)("said in one line")
    again = pickle.loads(pickle.dumps(made))
    assert isinstance(again, LLMDemandError)
    assert (type(again), str(again), vars(again)) == (type(made), str(made), vars(made))


def test_threads_of_a_worker_do_not_share_a_function():
    task, found = Task(Known()), []
    assert [received(task(k)) for k in (1, 2)] == [[1], [1, 2]]
    thread = threading.Thread(target=lambda: found.append(received(task(3))))
    thread.start()
    thread.join()
    assert found == [[3]]


def test_another_version_is_refused():
    assert received(Task(len, source())("ab")) == 2
    with pytest.raises(UsageError, match=r"another llmdemand \(.*than this process \(0\.0\.1 a\)"):
        received(Task(sum, "0.0.1 a")([1]))
