"""The recipes of the amphora provider, as tables.

Law: replacement first, removal after; the VIP is reserved first and released last; records are
committed before and forgotten after. Every step stands in ``steps.py``.
"""

from __future__ import annotations

from lbdrivers_amphora.flows import steps
from lbdrivers_amphora.flows.recipe import Recipe, Stage, Step, Subject

RESERVE = Stage(
    Subject.LOAD_BALANCER,
    (
        Step("mark as unsettled", steps.mark_unsettled),
        Step("reserve VIP", steps.reserve_vip),
        Step("reserve ports", steps.reserve_ports),
    ),
)
BUILD = Stage(
    Subject.BUILT,
    (
        Step("boot machine", steps.boot_machine, undo=steps.remove_machine),
        Step("wait for agent", steps.wait_for_agent),
        Step("plug interfaces", steps.plug),
        Step("configure", steps.configure),
    ),
)
REFRESH = Stage(Subject.KEPT, (Step("plug interfaces", steps.plug), Step("configure", steps.configure)))
COMMIT = Stage(Subject.LOAD_BALANCER, (Step("commit", steps.mark_allocated, commits=True),))
RETIRE = Stage(
    Subject.REMOVED,
    (
        Step("mark for removal", steps.mark_pending_delete),
        Step("collect statistics", steps.collect_statistics),
        Step("remove machine", steps.remove_machine),
        Step("remove ports", steps.remove_ports),
        Step("forget amphora", steps.forget_amphora),
    ),
)

#: nothing -> a running load balancer.
CREATE: Recipe = (RESERVE, BUILD, COMMIT, RETIRE)
#: a change of a running one; an amphora that is missing is built on the way.
UPDATE: Recipe = (RESERVE, BUILD, REFRESH, COMMIT, RETIRE)
#: a change that leaves machines and networks as they are.
CONFIGURE: Recipe = (Stage(Subject.KEPT, (Step("configure", steps.configure),)), COMMIT)
#: a failover is an update whose plan replaces amphorae: replacements serve and the survivors know
#: of them before anything goes.
FAILOVER: Recipe = UPDATE
DELETE: Recipe = (
    RETIRE,
    Stage(
        Subject.LOAD_BALANCER,
        (Step("release VIP", steps.release_vip), Step("forget load balancer", steps.forget_balancer)),
    ),
)
