"""A session's workers stay from one question to the next."""

import os

from llmdemand.scale.session import Session


def process(shard):
    return {os.getpid()}


def test_workers_stay_and_results_are_in_order():
    with Session(2) as session:
        first = session.map_merge(process, range(6), merge=set.union)
        assert os.getpid() not in first
        # Either may have been quick enough to do all of a question.
        assert len(session.map_merge(process, range(6), merge=set.union) | first) <= 2
        assert session.map_merge(str, range(6)) == "012345"


def test_after_its_end_the_executor_works_as_ever():
    with Session(None) as session:
        pass
    assert session.map_merge(process, range(2), merge=set.union) == {os.getpid()}
