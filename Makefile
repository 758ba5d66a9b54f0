# From a clone: `make demo` and `make test`. Whatever they need is installed first, into three environments:
# .venv (the project), .venv-stack (the local stack), .venv-sam (SAM); their pins clash, so they are apart. Three more are
# made when they are asked for: .venv-lint (`make lint`), .venv-audit (`make audit`) and .venv-bench (`make bench`).

PYTHON ?= python3
ARCHITECTURE ?= arm64
DEVICES ?= 24
PYTEST ?=

# Hundreds of processes are started, and each would compile all that it imports. `make clean` removes what is kept.
unexport PYTHONDONTWRITEBYTECODE

SOURCES = $(wildcard bench cli docs functions fuzz layers local page testkit tests tools)
UV = UV_PYTHON_DOWNLOADS=never .venv/bin/uv --quiet pip
LOCK = UV_PYTHON_DOWNLOADS=never .venv/bin/uv --quiet pip compile --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)
SAM = JITR_LAYER_ARCHITECTURE=$(ARCHITECTURE) .venv/bin/python tools/sam.py

# An environment is made anew where its checkout was moved or its Python is gone.
IN_PLACE := $(shell test -x .venv/bin/python && test "`cat .venv/.made 2>/dev/null`" = "$(CURDIR)" && echo yes)
MADE = printf '%s\n' "$(CURDIR)" >$@

.NOTPARALLEL:
.PHONY: help setup lock models lint audit format test docs test-unit coverage soak fuzz bench build dist screenshots verify demo invoke clean distclean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: .venv/.made .venv-stack/.made .venv-sam/.made ## install everything that the other targets need

.venv/.made: requirements/uv.txt requirements/project.txt pyproject.toml layers/jitr/jitr/__init__.py $(if $(IN_PLACE),,FORCE)
	$(call stop-if,$(shell sh tools/prerequisites "$(PYTHON)"))
	@echo "Installing into .venv, .venv-stack and .venv-sam"
	@$(if $(IN_PLACE),true,rm -rf .venv .venv-stack .venv-sam && "$(PYTHON)" -m venv .venv)
	@PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip install -qq --require-hashes -r requirements/uv.txt
	@$(UV) sync --require-hashes --python .venv requirements/project.txt
	@$(UV) install --python .venv --no-deps --no-build-isolation --editable .
	@$(MADE)

.venv-%/.made: requirements/%.txt | .venv/.made
	@rm -rf .venv-$*
	@.venv/bin/python -m venv --without-pip .venv-$*
	@$(UV) sync --require-hashes --python .venv-$* $<
	@$(MADE)

stop-if = $(if $(1),$(error $(1)))

lock: .venv/.made ## pin what requirements/*.in name; UPGRADE=1 takes newer versions
	@for name in uv project stack sam lint audit; do \
		$(LOCK) --output-file requirements/$$name.txt requirements/$$name.in || exit 1; done
	@$(LOCK) --constraint requirements/project.txt --output-file requirements/cli.txt requirements/cli.in
	@$(LOCK) --constraint requirements/project.txt --output-file requirements/bench.txt requirements/bench.in
	@$(LOCK) --constraint requirements/project.txt --output-file layers/jitr/requirements.txt requirements/layer.in
	@$(LOCK) --constraint requirements/project.txt --output-file layers/yaml/requirements.txt requirements/yaml.in

models: setup ## cut AWS's API models to what functions call, after UPGRADE=1 brought another botocore
	@.venv/bin/python -m tools.api_models

lint: setup .venv-lint/.made ## ruff, mypy, the line around the pure library, no committed secrets, the template, the workflows
	.venv/bin/ruff check $(SOURCES)
	.venv/bin/ruff format --check $(SOURCES)
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python tools/committed_secrets.py
	$(SAM) validate --lint
	.venv/bin/python -m tools.scan
	.venv/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	.venv/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	.venv/bin/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	.venv/bin/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	.venv/bin/zizmor --offline --no-progress --quiet .github

audit: .venv-audit/.made ## known vulnerabilities of everything that is pinned; needs the network
	@.venv-audit/bin/python tools/audit.py

format: setup ## put the code into the project's format
	.venv/bin/ruff check --fix $(SOURCES)
	.venv/bin/ruff format $(SOURCES)

# Four workers on two cores: the two that test local stacks wait a third of the time.
test: setup ## every test, also on the local stack; PYTEST="-k name" for some of them
	.venv/bin/pytest -n 4 --dist loadgroup $(PYTEST)

docs: setup ## documentation is true: links, generated pages, examples typed on local stacks; UPDATE=1 writes generated pages
	$(if $(UPDATE),UPDATE_DOCS=1) .venv/bin/pytest -n 2 --dist loadgroup -m docs $(if $(UPDATE),-k current) $(PYTEST)

test-unit: setup ## the tests of the pure library: seconds
	.venv/bin/pytest -n 2 --dist loadgroup tests/unit $(PYTEST)

coverage: setup ## what the tests in process run of the library and the command line; fails below what it has been
	.venv/bin/pytest -n 2 --dist loadgroup --cov --cov-report=term:skip-covered tests/unit tests/properties tests/project tests/aws tests/cli $(PYTEST)

soak: setup ## ten thousand random histories, 100,000 held devices, a fleet of 2,000, each permission of each role taken away; an hour
	JITR_SOAK_EXAMPLES=10000 .venv/bin/pytest tests/aws/test_model.py tests/aws/test_fleet_crash.py tests/aws/test_fleet_schedule.py $(PYTEST)
	JITR_SOAK_HELD=100000 .venv/bin/pytest -s tests/stack/test_recheck.py $(PYTEST)
	JITR_SOAK_FLEET=2000 .venv/bin/pytest -s tests/stack/test_fleet.py $(PYTEST)
	JITR_SOAK_PERMISSIONS=1 .venv/bin/pytest -s tests/stack/test_permissions.py $(PYTEST)

fuzz: setup ## hostile input for every reader of what strangers write, for so long: SECONDS=600; ONLY=crl,csv for some
	.venv/bin/python -m fuzz --seconds $(or $(SECONDS),60) $(if $(ONLY),--only $(ONLY))

bench: setup .venv-bench/.made ## how fast, how cheap, how flat: writes bench/results and the figures in docs/; ONLY=decision,burst for some parts
	.venv/bin/python -m bench $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick)

build: setup ## build the functions and the layer for Lambda; ARCHITECTURE=x86_64 for the other processor
	$(SAM) build --no-cached --parameter-overrides Architecture=$(ARCHITECTURE)
	@.venv/bin/python -m tools.architecture .aws-sam/build/template.yaml $(ARCHITECTURE)
	@du -sk .aws-sam/build/JitrLayer | awk '{ printf "\nLayer: %.1f MB\n", $$1 / 1024 }'
	@du -sk .aws-sam/build/YamlLayer | awk '{ printf "YAML, for PublishFunction alone: %.1f MB\n", $$1 / 1024 }'

dist: setup ## a release in dist/: wheel, deployable archives, bill of materials, checksums
	@.venv/bin/python -m tools.dist

screenshots: setup ## the pictures in docs/page/, taken by a test of the page in a real browser; VIEWS=folder for one of every view
	$(if $(VIEWS),@mkdir -p "$(VIEWS)" && JITR_VIEWS="$(abspath $(VIEWS))" .venv/bin/pytest -q tests/cli/test_page_for_everybody.py)
	JITR_PICTURES=docs/page .venv/bin/pytest -q tests/stack/test_page.py -k pictures

verify: setup ## whether the local stack does what AWS is taken to do; in an account: jitr verify
	.venv/bin/jitr local verify

demo: setup ## devices connect for the first time, on the local stack; DEVICES=200 for more, PAGE=1 opens the operators' page
	.venv/bin/jitr local demo --devices $(DEVICES) $(if $(PAGE),--page)

invoke: setup ## a built function gets an event: FUNCTION=RegisterFunction EVENT=events/held.json; needs a local stack
	@.venv/bin/python -m jitr_local.invoke "$(FUNCTION)" "$(EVENT)"

clean: ## remove builds and caches, and the local stack's files if none is running
	@rm -rf .aws-sam dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find $(SOURCES) -type d -name __pycache__ -prune -exec rm -rf {} +
	@if [ -e .local/processes.json ]; then \
		echo "A local stack runs or was cut short: .local stays. Stop it first: .venv/bin/jitr local down"; \
	else rm -rf .local; fi

distclean: clean ## remove the environments as well
	@rm -rf .venv .venv-stack .venv-sam .venv-lint .venv-audit .venv-bench
