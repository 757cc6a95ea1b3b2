# Thin: each target names the command it runs. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help
help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z][a-zA-Z-]*:.*## / {printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mediafleet needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.PHONY: setup
setup: $(STAMP) ## A virtual environment with the locked dependencies and this project

##
.PHONY: quick
quick: $(STAMP) ## First look, no root, no cluster: both desks and stand-in workers as processes (PAGES=1: all pages in the browser)
	$(PY) -m mediafleet_testbed.demo.$(if $(PAGES),quick_pages --open,quick) $(ARGS)

.PHONY: quick-picture
quick-picture: $(STAMP) ## Draw docs/quick.svg again from a run of make quick
	$(PY) -m mediafleet_testbed.demo.quick --picture docs/quick.svg

.PHONY: demo
demo: $(STAMP) ## The whole product on a real Kubernetes node (root; KEEP=1, CLUSTER=node|kind|current)
	$(PY) -m mediafleet_testbed.demo.demo --cluster $(or $(CLUSTER),node) $(if $(KEEP),--keep) $(ARGS)

##
.PHONY: lint
lint: $(STAMP) ## Format check, lint, import layers
	ruff format --check .
	ruff check .
	lint-imports

.PHONY: types
types: $(STAMP) ## mypy --strict over everything
	mypy

.PHONY: format
format: $(STAMP) ## Apply the format and the safe fixes
	ruff format .
	ruff check --fix .

##
.PHONY: proto
proto: $(STAMP) ## Generate common/mediafleet_common/wire from proto/
	$(PY) -m grpc_tools.protoc -Iproto --python_out=common --mypy_out=quiet:common proto/mediafleet_common/wire/*.proto

.PHONY: crds
crds: $(STAMP) ## Generate crds/ and the CRD chart from the models
	$(PY) -m mediafleet_common.api.crds crds charts/mediafleet-crds/templates

.PHONY: docs
docs: $(STAMP) ## Generate docs/settings.md, docs/metrics.md and the chart's table of values
	$(PY) -m docs.generate
	$(PY) -m docs.dashboards

.PHONY: lock
lock: ## Resolve the dependencies again (needs uv)
	uv pip compile pyproject.toml --universal --generate-hashes --no-header --no-emit-index-url --no-emit-package types-protobuf --python-version 3.11 -q -o requirements/runtime.txt
	uv pip compile pyproject.toml --group dev --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 -q -o requirements/dev.txt
	uv pip compile --group testbed --no-deps --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 -q -c requirements/dev.txt -o requirements/testbed.txt

.PHONY: sbom
sbom: $(STAMP) ## What the product consists of, as CycloneDX: build/sbom.cdx.json
	mkdir -p build
	cyclonedx-py requirements requirements/runtime.txt --pyproject pyproject.toml --output-reproducible --of JSON -o build/sbom.cdx.json

.PHONY: drift
drift: $(STAMP) ## What is generated is in step with what it is generated from
	$(PY) tests/drift.py

##
.PHONY: test
test: $(STAMP) ## The tests that need no cluster: unit, contract, real
	$(PY) tests/run.py $(if $(STRICT),--strict) unit contract real -- $(ARGS)

.PHONY: test-all
test-all: $(STAMP) ## Every tier this machine can run (STRICT=1: a tier it cannot run is a failure)
	$(PY) tests/run.py $(if $(STRICT),--strict) $(or $(TIERS),unit contract real pages cluster proofs keda) -- $(ARGS)

.PHONY: test-unit test-contract test-real test-pages test-cluster test-proofs test-keda
test-unit test-contract test-real test-pages test-cluster test-proofs test-keda: $(STAMP) ## One tier alone
	$(PY) tests/run.py $(if $(STRICT),--strict) $(@:test-%=%) -- $(ARGS)

EGRESS_FAULTS := tests/real/egress/test_desks.py tests/real/egress/test_redis_faults.py \
	tests/real/egress/test_faults.py tests/real/egress/test_each_message.py
PLANS := tests/real/egress/test_redis_plans.py tests/real/workers/test_shared_plans.py \
	tests/real/workers/test_killed_plans.py tests/contract/workers/test_stream_plans.py
EGRESS_VIRTUAL := tests/contract/egress/test_virtual.py tests/contract/egress/test_messages.py \
	tests/contract/egress/test_late_metrics.py tests/contract/egress/test_frozen_server.py

.PHONY: pages-look
pages-look: $(STAMP) ## Screenshots of each page, empty, busy and broken, light, dark and phone: build/pages
	$(PY) -m tests.kit.pages.look build/pages $(ARGS)

.PHONY: pages-picture
pages-picture: $(STAMP) ## Make docs/pages.png again: the page of fleets in a browser
	$(PY) -m tests.kit.pages.look --picture docs/pages.png

.PHONY: faults
faults: $(STAMP) ## Longer: 100 kills of a desk, 30 without the API server, 50 of Redis, 50 stories with ten SIGKILLs each, 200 changes, a fault at each write of 27 workloads, at each command and message of Redis, at each message of a worker, 17 mistakes in the engine, 100,000 events of AI workers, 5,000 attacks on each of the AI broker's doors, 50 outages under KEDA (RUNS, SEED)
	MEDIAFLEET_SEED=$(SEED) MEDIAFLEET_KILLS=100 MEDIAFLEET_REDIS_FAULTS=50 \
		MEDIAFLEET_REQUESTS=1700 MEDIAFLEET_PAIRS=1000 $(PY) -m pytest $(EGRESS_FAULTS) $(ARGS)
	MEDIAFLEET_SEED=$(SEED) MEDIAFLEET_VIRTUAL=100000 MEDIAFLEET_EVERY_PAIR=1 MEDIAFLEET_LATE_JOBS=5000 \
		MEDIAFLEET_FROZEN_RUNS=50 \
		$(PY) -m pytest $(EGRESS_VIRTUAL) $(ARGS)
	MEDIAFLEET_REDIS_PLANS=0 MEDIAFLEET_STREAM_PLANS=0 MEDIAFLEET_KILLED_PLANS=0 \
		$(PY) -m pytest -s $(PLANS) $(ARGS)
	MEDIAFLEET_ORDERS=100000 $(PY) -m pytest --timeout 3600 tests/unit/workers/core/test_dispatch.py $(ARGS)
	MEDIAFLEET_FUZZ=5000 $(PY) -m pytest --timeout 3600 \
		tests/contract/workers/test_fuzz.py tests/contract/workers/test_fuzz_others.py $(ARGS)
	MEDIAFLEET_SEED=$(SEED) MEDIAFLEET_FAULT_RUNS=$(or $(RUNS),50) MEDIAFLEET_CHANGES=40 \
		MEDIAFLEET_KILLS_WITHOUT_API=30 MEDIAFLEET_LISTED_CHANGES=100 MEDIAFLEET_TENANTS_SECONDS=60 \
		$(PY) -m mediafleet_testbed exec --up -- \
		$(PY) -m pytest tests/proofs tests/cluster/test_kills_without_api.py $(ARGS)
	$(MAKE) plans
	$(MAKE) kubernetes
	MEDIAFLEET_UPGRADES=0 MEDIAFLEET_DELETIONS=0 $(PY) -m mediafleet_testbed exec --up -- \
		$(PY) -m pytest -s tests/cluster/test_upgrade.py tests/cluster/test_deleting.py $(ARGS)
	MEDIAFLEET_ADMISSIONS=5000 $(PY) -m mediafleet_testbed exec --up -- \
		$(PY) -m pytest tests/cluster/test_admission.py $(ARGS)
	$(PY) -m mediafleet_testbed exec --up -- $(PY) -m pytest -s tests/cluster/long_community_senders.py $(ARGS)
	$(MAKE) runbook
	MEDIAFLEET_SEED=$(SEED) MEDIAFLEET_OUTAGES=50 $(PY) -m mediafleet_testbed exec --up -- \
		$(PY) -m pytest tests/keda/test_outages.py $(ARGS)

.PHONY: plans
plans: $(STAMP) ## One fault at one write or event of a fleet's workloads: 600 plans (N=0: all, hours; ONLY='node_|autoscale': of these; OF='services': at their events) and 17 mistakes in the engine; RESUME=1 goes on where the last run was stopped
	$(if $(RESUME),,rm -f build/plans.jsonl)
	MEDIAFLEET_PLANS=$(or $(N),600) MEDIAFLEET_MISTAKES=17 MEDIAFLEET_SEED=$(SEED) \
		MEDIAFLEET_WORKLOADS=$(if $(ONLY),'$(ONLY)') MEDIAFLEET_PLANS_OF=$(if $(OF),'$(OF)') \
		MEDIAFLEET_PLANS_KEPT=build/plans.jsonl $(PY) -m mediafleet_testbed exec --up -- \
		$(PY) -m pytest -s tests/cluster/test_api_faults.py $(ARGS)

.PHONY: runbook
runbook: $(STAMP) ## The runbook tried on the node: each trouble made, told, and ended by what its page says
	$(PY) -m mediafleet_testbed exec --up -- $(PY) -m pytest -s tests/cluster/long_runbook.py $(ARGS)

.PHONY: kubernetes
kubernetes: $(STAMP) ## What we rely on of an API server, on other minor versions (MINORS="1.35"; each is built once, 5 min)
	for minor in $(or $(MINORS),1.35); do \
		MEDIAFLEET_KUBERNETES=$$minor $(PY) -m pytest -s tests/cluster/test_api_behaviour.py $(ARGS); done

SOAKS := tests/real/test_hostile_soak.py tests/real/test_operator_soak.py tests/real/workers/test_broker_soak.py

.PHONY: soak
soak: $(STAMP) ## Each process for 30 min (SECONDS=7200 before a release): memory, at most 1 MB an hour when warm, descriptors and tasks
	MEDIAFLEET_SOAK_SECONDS=$(or $(SECONDS),1800) $(PY) -m pytest -n$(words $(SOAKS)) $(SOAKS) $(ARGS)

.PHONY: check
check: $(STAMP) ## What CI runs: lint, types, drift, and all tests with STRICT=1
	$(MAKE) -j3 --output-sync=target lint types drift
	$(MAKE) test-all STRICT=1

.PHONY: coverage
coverage: $(STAMP) ## Branches of each core that unit tests alone take, and those they do not
	$(PY) -m tests.measures.coverage $(ARGS)

.PHONY: mutants
mutants: $(STAMP) ## Small changes to each core that its unit tests notice (CORE=scheduler/mediafleet_scheduler/core/egress/placement, N=0 for all, SEED)
	$(PY) -m tests.measures.mutants $(CORE) --number $(or $(N),150) --seed $(or $(SEED),1) $(ARGS)

.PHONY: rbac
rbac: $(STAMP) ## Rights that the last run on the nodes did not use or lacked, by their audit logs (after make test-all)
	$(PY) -m tests.measures.rights $(ARGS)

.PHONY: profile
profile: $(STAMP) ## Flame graphs of a desk, an advertiser and an operator under load: build/profiles (SECONDS; PID: of a running process)
	$(PY) -m bench.profiles build/profiles $(or $(SECONDS),15) $(PID)

.PHONY: bench
bench: $(STAMP) ## Print the figures beside their baseline, measured in the same run
	$(PY) -m bench $(ARGS)
