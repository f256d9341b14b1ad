"""Several processes use one database at once, of each kind."""

from __future__ import annotations

import subprocess
import sys

from lbdrivers.model.resources import LoadBalancer
from lbdrivers.store.store import Store
from lbdrivers.testing.surroundings import identity

LEASES = """
import sys
from lbdrivers.store.store import Store
store, name = Store(sys.argv[1]), sys.argv[2]
won = sum(store.acquire(line.strip(), name, now=0, seconds=60) is not None for line in sys.stdin)
print(won)
"""

COUNTER = """
import sys
from lbdrivers.drivers.context import Conflict, Record
from lbdrivers.store.store import Store
records = Store(sys.argv[1]).records
done = 0
while done < 40:
    old = records.get("counter", "1")
    try:
        count = old.data["count"] if old else 0
        records.put(Record("counter", "1", {"count": count + 1}, version=old.version if old else 0))
    except Conflict:
        continue
    done += 1
"""

SUBMITTER = """
import sys
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.store.store import Store
store, name = Store(sys.argv[1]), sys.argv[2]
for line in sys.stdin:
    store.submit(LoadBalancer(id=line.strip(), name=name, vip_subnet_id=line.strip()[:-1] + "f"), "memory")
"""


def run_twice(script: str, url: str, text: str = "") -> list[str]:
    """Both processes start on a database that may not exist yet; what they printed."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, url, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
    answers = []
    for process in started:
        assert process.stdout is not None
        with process.stdout:
            answers.append(process.stdout.read())
        assert process.wait(60) == 0
    return answers


def test_a_lease_is_won_by_one_process_only(database_url: str) -> None:
    url = database_url
    store = Store(url)
    ids = [identity(number) for number in range(1, 101)]
    for one in ids:
        store.submit(LoadBalancer(id=one, vip_subnet_id=identity(7)), "memory")
    won = [int(answer) for answer in run_twice(LEASES, url, "\n".join(ids))]
    assert sum(won) == len(ids), won


def test_no_write_is_lost_and_a_new_database_is_made_once(database_url: str) -> None:
    url = database_url
    run_twice(COUNTER, url)
    record = Store(url).records.get("counter", "1")
    assert record is not None and record.data == {"count": 80}


def test_two_that_create_the_same_load_balancer_are_both_heard(database_url: str) -> None:
    ids = [identity(number) for number in range(1, 41)]
    run_twice(SUBMITTER, database_url, "\n".join(ids))
    store = Store(database_url)
    entries = store.list()
    assert sorted(entry.id for entry in entries) == ids
    assert {entry.generation for entry in entries} == {2}, "one was the first, the other changed its tree"
    assert {entry.desired.name for entry in entries} <= {"one", "two"}
    store.close()
