"""A session's workers stay from one question to the next."""

import os

from llmdemand.scale.session import Session


def process(shard):
    return {os.getpid()}


def test_workers_stay_and_results_are_in_order():
    with Session(2) as session:
        first = session.map_merge(process, range(6), merge=set.union)
        assert os.getpid() not in first
        assert session.map_merge(process, range(6), merge=set.union) <= first
        assert session.map_merge(str, range(6)) == "012345"
    # After its end the executor works as ever.
    again = session.map_merge(process, range(2), merge=set.union)
    assert again and not again & {os.getpid()}
