"""An appliance's refusal of a configuration -> an error that names what the user has to look at.

Law: pure. What HAProxy said is kept; whether it makes sense to try again is the error's own affair.
"""

from __future__ import annotations

from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora.haproxy.culprit import culprits


def blame(error: PermanentError | TemporaryError, text: bytes, tree: LoadBalancer) -> PermanentError | TemporaryError:
    """The same error in terms of the tree, if HAProxy's words lead to an object of it."""
    found = culprits(error.operator, text.decode(), tree)
    if not found:
        return error
    user = "HAProxy refused the configuration: " + "; ".join(map(str, found))
    if isinstance(error, TemporaryError):
        return TemporaryError(user, error.operator, retry_after=error.retry_after)
    return PermanentError(user, error.operator, object_id=found[0].id)
