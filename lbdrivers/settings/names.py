"""The option names that Octavia has or had, as data: nothing here is judged.

Law: one place knows them. ``CURRENT`` lists what Octavia 19.0.0 knows, by section; ``OUTDATED`` what
it has dropped since Queens, with what replaces it; ``WHOLE`` the sections that libraries of other
services own, which are theirs to judge.
"""

from __future__ import annotations

from collections.abc import Mapping

#: section -> its options in Octavia 19.0.0 and in the OpenStack libraries that it reads [DEFAULT] with.
CURRENT: Mapping[str, frozenset[str]] = {
    section: frozenset(names.split())
    for section, names in {
        "DEFAULT": """
            host
            debug default_log_levels fatal_deprecations instance_format instance_uuid_format log_color
            log_config_append log_date_format log_dir log_file log_rotate_interval log_rotate_interval_type
            log_rotation_type logging_context_format_string logging_debug_format_suffix
            logging_default_format_string logging_exception_prefix logging_user_identity_format max_logfile_count
            max_logfile_size_mb publish_errors rate_limit_burst rate_limit_except_level rate_limit_interval
            syslog_log_facility use_journal use_json use_stderr use_syslog watch_log_file
            control_exchange executor_thread_pool_size rpc_conn_pool_size rpc_ping_enabled rpc_response_timeout
            conn_pool_min_size conn_pool_ttl transport_url
            api_paste_config backdoor_port backdoor_socket client_socket_timeout graceful_shutdown_timeout
            log_options max_header_line run_external_periodic_tasks tcp_keepidle wsgi_default_pool_size
            wsgi_keep_alive wsgi_log_format wsgi_server_debug
            config_dir config_file config_source""",
        "amphora_agent": """
            admin_log_targets administrative_log_facility agent_request_read_timeout agent_server_ca
            agent_server_cert agent_server_network_dir agent_tls_protocol amphora_id disable_local_log_storage
            forward_all_logs log_protocol log_queue_size log_retry_count log_retry_interval
            logging_template_override tenant_log_targets user_log_facility""",
        "api_settings": """
            allow_field_selection allow_filtering allow_pagination allow_ping_health_monitors
            allow_prometheus_listeners allow_sorting allow_tls_terminated_listeners api_base_uri auth_strategy
            bind_host bind_port default_listener_alpn_protocols default_listener_ciphers
            default_listener_tls_versions default_pool_alpn_protocols default_pool_ciphers
            default_pool_tls_versions default_provider_driver enabled_provider_drivers healthcheck_enabled
            healthcheck_refresh_interval minimum_tls_version pagination_max_limit tls1_3_supported_ciphers
            tls_cipher_prohibit_list udp_connect_min_interval_health_monitor""",
        "audit": "audit_map_file enabled ignore_req_list",
        "certificates": """
            barbican_auth ca_certificate ca_certificates_file ca_private_key ca_private_key_passphrase
            cert_generator cert_manager cert_validity_time endpoint endpoint_type insecure region_name
            server_certs_key_passphrase service_name signing_digest storage_path""",
        "cinder": """
            availability_zone ca_certificates_file endpoint endpoint_type insecure region_name service_name
            volume_create_max_retries volume_create_retry_interval volume_create_timeout volume_size
            volume_type""",
        "compute": "max_retries retry_backoff retry_interval retry_max",
        "controller_worker": """
            amp_active_retries amp_active_wait_sec amp_boot_network_list amp_flavor_id amp_image_owner_id
            amp_image_tag amp_secgroup_list amp_ssh_key_name amp_timezone amphora_delete_retries
            amphora_delete_retry_interval amphora_driver client_ca compute_driver db_commit_retry_attempts
            db_commit_retry_backoff db_commit_retry_initial_delay db_commit_retry_max distributor_driver
            event_notifications image_driver loadbalancer_topology network_driver statistics_drivers
            volume_driver workers""",
        "driver_agent": """
            enabled_provider_agents get_max_processes get_request_timeout get_socket_path
            max_process_warning_percent provider_agent_shutdown_timeout stats_max_processes
            stats_request_timeout stats_socket_path status_max_processes status_request_timeout
            status_socket_path""",
        "haproxy_amphora": """
            active_connection_max_retries active_connection_retry_interval api_db_commit_retry_attempts
            api_db_commit_retry_backoff api_db_commit_retry_initial_delay api_db_commit_retry_max base_cert_dir
            base_path bind_host bind_port build_active_retries build_rate_limit build_retry_interval
            client_cert connection_logging connection_max_retries connection_retry_interval
            default_connection_limit failover_connection_max_retries failover_connection_retry_interval
            haproxy_cmd haproxy_stick_size haproxy_template lb_network_interface rest_request_conn_timeout
            rest_request_read_timeout server_ca timeout_client_data timeout_member_connect timeout_member_data
            timeout_tcp_inspect user_log_format
            user_log_facility administrative_log_facility""",
        "health_manager": """
            bind_ip bind_port controller_ip_port_list failover_threads failover_threshold
            health_check_interval health_update_threads heartbeat_interval heartbeat_key heartbeat_timeout
            sock_rlimit stats_update_threads""",
        "house_keeping": """
            amphora_expiry_age cert_expiry_buffer cert_interval cert_rotate_threads cleanup_interval
            load_balancer_expiry_age""",
        "keepalived_vrrp": """
            vrrp_advert_int vrrp_check_interval vrrp_fail_count vrrp_garp_refresh_count
            vrrp_garp_refresh_interval vrrp_success_count""",
        "networking": """
            allow_invisible_resource_usage allow_vip_network_id allow_vip_port_id allow_vip_subnet_id
            denylist_vip_networks max_retries port_detach_timeout reserved_ips retry_backoff retry_interval
            retry_max use_remote_group_for_lb_peer_ports valid_vip_networks""",
        "nova": """
            anti_affinity_policy availability_zone ca_certificates_file enable_anti_affinity endpoint
            endpoint_type insecure random_amphora_name_length region_name service_name""",
        "quotas": """
            default_health_monitor_quota default_l7policy_quota default_l7rule_quota default_listener_quota
            default_load_balancer_quota default_member_quota default_pool_quota""",
        "task_flow": """
            disable_revert engine jobboard_backend_driver jobboard_backend_hosts jobboard_backend_namespace
            jobboard_backend_password jobboard_backend_port jobboard_backend_username jobboard_enabled
            jobboard_etcd_api_path jobboard_etcd_ssl_options jobboard_etcd_timeout jobboard_expiration_time
            jobboard_redis_backend_db jobboard_redis_backend_ssl_options jobboard_redis_sentinel
            jobboard_redis_sentinel_password jobboard_redis_sentinel_ssl_options
            jobboard_redis_sentinel_username jobboard_save_logbook jobboard_zookeeper_ssl_options max_workers
            persistence_connection""",
    }.items()
}

#: Sections of libraries: keystoneauth and keystonemiddleware, oslo.db and oslo.messaging, castellan
#: and so on. Any option is accepted, except the outdated ones below.
WHOLE = frozenset(
    {
        "barbican",
        "barbican_service_user",
        "cors",
        "database",
        "glance",
        "healthcheck",
        "key_manager",
        "keystone_authtoken",
        "neutron",
        "ovn",
        "placement",
        "profiler",
        "service_auth",
        "service_user",
        "ssl",
        "vault",
    }
)
#: The same for sections that begin so (oslo_messaging_rabbit, oslo_policy, ...).
WHOLE_PREFIX = "oslo_"

_API = {
    name: f"[api_settings] {name}"
    for name in (
        "allow_pagination",
        "allow_sorting",
        "api_base_uri",
        "auth_strategy",
        "bind_host",
        "bind_port",
        "pagination_max_limit",
    )
}
_URL = "the URL in [DEFAULT] transport_url"
_GONE = "nothing: remove it"
_UPSTART = "nothing: the agent starts HAProxy again, under systemd or on its own"
_PLUGIN = "username, password, project_name and auth_type = password in the same section"

#: (section, option) -> what to write instead. An empty option stands for the whole section.
OUTDATED: Mapping[tuple[str, str], str] = {
    **{("DEFAULT", name): place for name, place in _API.items()},
    ("DEFAULT", "api_handler"): _GONE,
    ("DEFAULT", "octavia_plugins"): "the drivers named in [controller_worker]",
    ("DEFAULT", "os_region_name"): "region_name in [nova], [neutron] and [glance]",
    ("DEFAULT", "rpc_backend"): _URL,
    ("DEFAULT", "rpc_thread_pool_size"): "[DEFAULT] executor_thread_pool_size",
    ("DEFAULT", "use_syslog_rfc_format"): _GONE,
    ("DEFAULT", "verbose"): "[DEFAULT] debug",
    ("amphora_agent", "amphora_udp_driver"): "[haproxy_amphora] datagram_driver",
    ("anchor", ""): "[certificates] cert_generator = local",
    ("api_settings", "api_handler"): _GONE,
    ("api_settings", "api_v1_enabled"): "nothing: v2 is the only API",
    ("api_settings", "api_v2_enabled"): "nothing: v2 is the only API",
    ("api_settings", "tls_cipher_blacklist"): "[api_settings] tls_cipher_prohibit_list",
    ("controller_worker", "amp_image_id"): "[controller_worker] amp_image_tag, the tag of the newest image",
    ("controller_worker", "amp_network"): "[controller_worker] amp_boot_network_list",
    ("controller_worker", "amp_ssh_access_allowed"): "an empty [controller_worker] amp_ssh_key_name for no access",
    ("controller_worker", "cert_generator"): "[certificates] cert_generator",
    ("controller_worker", "cert_manager"): "[certificates] cert_manager",
    ("controller_worker", "port_detach_timeout"): "[networking] port_detach_timeout",
    ("controller_worker", "user_data_config_drive"): "nothing: files travel on the config drive",
    ("haproxy_amphora", "active_connection_rety_interval"): "[haproxy_amphora] active_connection_retry_interval",
    ("haproxy_amphora", "base_log_dir"): "[amphora_agent] tenant_log_targets",
    ("haproxy_amphora", "key_path"): "nothing: agents are reached by HTTPS, not by SSH",
    ("haproxy_amphora", "respawn_count"): _UPSTART,
    ("haproxy_amphora", "respawn_interval"): _UPSTART,
    ("haproxy_amphora", "use_upstart"): _UPSTART,
    ("haproxy_amphora", "user_group"): "nothing: the agent finds the group of unprivileged users",
    ("haproxy_amphora", "username"): "nothing: agents are reached by HTTPS, not by SSH",
    ("health_manager", "event_streamer_driver"): "nothing: statuses are read from the API",
    ("health_manager", "health_update_driver"): _GONE,
    ("health_manager", "stats_update_driver"): "[controller_worker] statistics_drivers",
    ("health_manager", "status_update_threads"): "[health_manager] health_update_threads and stats_update_threads",
    ("health_manager", "sync_provisioning_status"): "nothing: statuses are read from the API",
    ("house_keeping", "spare_check_interval"): "nothing: the warm pool is refilled by lbdrivers maintain",
    ("keystone_authtoken", "admin_password"): _PLUGIN,
    ("keystone_authtoken", "admin_tenant_name"): _PLUGIN,
    ("keystone_authtoken", "admin_user"): _PLUGIN,
    ("keystone_authtoken", "auth_plugin"): "[keystone_authtoken] auth_type",
    ("keystone_authtoken", "auth_uri"): "[keystone_authtoken] www_authenticate_uri",
    ("keystone_authtoken", "identity_uri"): "[keystone_authtoken] auth_url",
    ("keystone_authtoken_v3", ""): "project_domain_name and user_domain_name in [keystone_authtoken]",
    ("networking", "lb_network_name"): "[controller_worker] amp_boot_network_list",
    ("networking", "vip_network_blacklist"): "[networking] denylist_vip_networks",
    ("neutron", "ca_certificates_file"): "[neutron] cafile",
    ("neutron", "endpoint"): "[neutron] endpoint_override",
    ("neutron", "endpoint_type"): "[neutron] valid_interfaces",
    ("oslo_messaging", "event_stream_topic"): "nothing: statuses are read from the API",
    ("oslo_messaging", "event_stream_transport_url"): "nothing: statuses are read from the API",
    ("oslo_messaging", "rpc_thread_pool_size"): "[DEFAULT] executor_thread_pool_size",
    **{
        ("oslo_messaging_rabbit", name): _URL
        for name in (
            "rabbit_host",
            "rabbit_hosts",
            "rabbit_password",
            "rabbit_port",
            "rabbit_userid",
            "rabbit_virtual_host",
        )
    },
    ("oslo_messaging_rabbit", "rabbit_use_ssl"): "[oslo_messaging_rabbit] ssl",
    ("service_auth", "auth_plugin"): "[service_auth] auth_type",
}

#: Octavia's entry-point names of drivers -> ours.
DRIVERS: Mapping[str, str] = {
    "allowed_address_pairs_driver": "neutron",
    "amphora_haproxy_rest_driver": "rest",
    "amphora_noop_driver": "memory",
    "compute_noop_driver": "memory",
    "compute_nova_driver": "nova",
    "local_cert_generator": "local",
    "local_cert_manager": "local",
    "network_noop_driver": "memory",
    "noop_cert_manager": "memory",
}


def driver(name: str) -> str:
    """Our name of a driver that may be called by Octavia's."""
    return DRIVERS.get(name, name)
