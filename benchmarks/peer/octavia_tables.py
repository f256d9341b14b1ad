"""The peer's tables in an empty database. Imported by the programs beside it, inside the peer's own environment."""

from __future__ import annotations


def make_tables() -> None:
    """Octavia's tables, and the rows that its migrations put into those of allowed words."""
    from octavia.common import constants
    from octavia.db import api, base_models, models

    engine = api.get_engine()
    base_models.BASE.metadata.create_all(engine)
    words = {
        models.ProvisioningStatus: (*constants.SUPPORTED_PROVISIONING_STATUSES, "ALLOCATED"),
        models.OperatingStatus: constants.SUPPORTED_OPERATING_STATUSES,
        models.Protocol: constants.SUPPORTED_PROTOCOLS,
        models.Algorithm: constants.SUPPORTED_LB_ALGORITHMS,
        models.AmphoraRoles: constants.SUPPORTED_AMPHORA_ROLES,
        models.LBTopology: constants.SUPPORTED_LB_TOPOLOGIES,
        models.HealthMonitorType: constants.SUPPORTED_HEALTH_MONITOR_TYPES,
        models.SessionPersistenceType: constants.SUPPORTED_SP_TYPES,
        models.VRRPAuthMethod: constants.SUPPORTED_VRRP_AUTH,
        models.L7PolicyAction: constants.SUPPORTED_L7POLICY_ACTIONS,
        models.L7RuleType: constants.SUPPORTED_L7RULE_TYPES,
        models.L7RuleCompareType: constants.SUPPORTED_L7RULE_COMPARE_TYPES,
        models.ClientAuthenticationMode: constants.SUPPORTED_CLIENT_AUTH_MODES,
    }
    session = api.get_session()
    with session.begin():
        for model, allowed in words.items():
            for word in dict.fromkeys(allowed):
                session.merge(model(name=word))
