# Two commands do everything: `make demo` (the main job on real daemons) and `make test` (every check).
# Both install what they need first: Debian packages (as root) and a virtual environment in .venv.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# What the main job runs on, and what the tests start besides.
RUN_PACKAGES := haproxy keepalived iproute2 nftables conntrack procps util-linux iputils-ping python3-venv
# A whole OVN whose daemons are started by those who need them; the system's services are not used.
OVN_PACKAGES := ovn-central ovn-host openvswitch-switch ethtool
TEST_PACKAGES := mariadb-server postgresql redis-server nginx libnginx-mod-stream $(OVN_PACKAGES)
LONG_PACKAGES := etcd-server qemu-system-x86 busybox-static zookeeper
PACKAGES := $(RUN_PACKAGES)
test test-long coverage bench: PACKAGES += $(TEST_PACKAGES)
bench: PACKAGES += wrk
demo-ovn: PACKAGES := iproute2 procps util-linux python3-venv $(OVN_PACKAGES)
test-long: PACKAGES += $(LONG_PACKAGES)

.PHONY: demo demo-ovn test test-long coverage bench setup packages clean
.DEFAULT_GOAL := help

help:
	@echo "make demo       a highly available load balancer on this machine, step by step"
	@echo "make demo-ovn   the same with Open vSwitch instead of appliances, on a private OVN"
	@echo "make test       lint, types, import contracts, all tests"
	@echo "make test-long  what takes minutes: long fuzzing, soak"
	@echo "make coverage   what the tests reach of each pure module; fails below 95 %"
	@echo "make bench      the benchmarks"

packages:
	@missing=$$(dpkg-query -W -f '$${db:Status-Status} $${Package}\n' $(PACKAGES) 2>/dev/null \
	  | awk '$$1 == "installed" {print $$2}' | sort > $(CURDIR)/.packages; \
	  echo $(PACKAGES) | tr ' ' '\n' | sort | comm -23 - $(CURDIR)/.packages; rm -f $(CURDIR)/.packages); \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" != 0 ]; then echo "These Debian packages are missing; install them as root:" $$missing >&2; exit 1; fi; \
	  echo "installing Debian packages:" $$missing; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

$(VENV)/bin/python:
	@$(PYTHON) -m venv $(VENV)

# One stamp for each set of extras; the tests' set includes the other.
$(VENV)/.amphora $(VENV)/.amphora,ovn $(VENV)/.test: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "installing Python packages into $(VENV)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[$(subst .,,$(notdir $@))]'
	@# pip compiles what it copies; what stays here would be compiled by the first command, and by each first agent.
	@$(BIN)/python -m compileall -q lbdrivers lbdrivers_amphora lbdrivers_ovn
	@touch $@

# A later HAProxy beside the system's own, for the tests alone.
.haproxy-3.0/haproxy:
	@echo "unpacking Debian 13's HAProxy into .haproxy-3.0"
	@tests/support/install_haproxy.sh trixie $(CURDIR)/.haproxy-3.0

setup: packages $(VENV)/.test .haproxy-3.0/haproxy

demo: packages $(VENV)/.amphora
	@$(BIN)/python -m examples.demo

demo-ovn: packages $(VENV)/.amphora,ovn
	@$(BIN)/python -m examples.ovn_demo

test: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not long"

test-long: setup
	@$(BIN)/python -m pytest -n 2 --dist loadfile

coverage: setup
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m coverage run -m pytest -q -n 2 --dist loadfile -m "not long" tests/unit tests/property tests/golden
	@$(BIN)/python -m coverage combine -q
	@$(BIN)/python -m tests.support.pure_coverage

bench: setup
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) .haproxy-* .kernel* build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
