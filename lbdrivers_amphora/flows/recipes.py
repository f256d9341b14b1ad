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
        Step("configure agent", steps.reconfigure_agent),
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

CREATE = Recipe("create", "Nothing becomes a running load balancer.", (RESERVE, BUILD, COMMIT, RETIRE))
UPDATE = Recipe(
    "update",
    "A running load balancer becomes the wanted one, networks and machines included; an amphora that is missing is "
    "built on the way.",
    (RESERVE, BUILD, REFRESH, COMMIT, RETIRE),
)
CONFIGURE = Recipe(
    "configure",
    "A running load balancer becomes the wanted one; machines and networks stay as they are.",
    (Stage(Subject.KEPT, (Step("configure", steps.configure),)), COMMIT),
)
FAILOVER = Recipe(
    "failover",
    "Amphorae are replaced: replacements serve, and the survivors know of them, before anything goes.",
    UPDATE.stages,
)
MAINTAIN = Recipe(
    "maintain",
    "Certificates that near their end are renewed, agents get their present configuration; traffic is not touched.",
    (
        Stage(
            Subject.KEPT,
            (
                Step("renew certificate", steps.renew_certificate),
                Step("configure agent", steps.reconfigure_agent),
            ),
        ),
    ),
)
DELETE = Recipe(
    "delete",
    "A load balancer, whole or half-built, becomes nothing.",
    (
        RETIRE,
        Stage(
            Subject.LOAD_BALANCER,
            (Step("release VIP", steps.release_vip), Step("forget load balancer", steps.forget_balancer)),
        ),
    ),
)

WARM = Recipe(
    "fill the warm pool",
    "Amphorae are booted and wait for a load balancer; those that are dead, outdated or too many go.",
    (
        Stage(
            Subject.BUILT,
            (
                Step("reserve management port", steps.reserve_management_port),
                Step("boot machine", steps.boot_machine, undo=steps.remove_machine),
                Step("wait for agent", steps.wait_for_agent),
                Step("mark as ready", steps.mark_ready, commits=True),
            ),
        ),
        Stage(
            Subject.REMOVED,
            (
                Step("mark for removal", steps.mark_pending_delete),
                Step("remove machine", steps.remove_machine),
                Step("remove ports", steps.remove_ports),
                Step("forget amphora", steps.forget_amphora),
            ),
        ),
    ),
)

#: All of them, in the order in which a load balancer meets them.
RECIPES = (CREATE, UPDATE, CONFIGURE, FAILOVER, MAINTAIN, DELETE, WARM)
