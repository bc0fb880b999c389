# The parts of building and testing this collection. Each installs what it needs: `make demo` works in a fresh clone.
MTA ?= postfix
RELEASE ?= trixie
# site comes first, for it looks at hosts that have no MTA yet
SCENARIO ?= site broken hostile refused secrets locked service force loss defences spam catch_all crash switch
# those that have a whole matrix, of which make test tries a part
WHOLE ?= hostile force loss crash switch
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.build

RUNTIME := .venv/requirements.stamp
DEV := .venv/requirements-dev.stamp
DEMO := ANSIBLE_CONFIG=demo/ansible.cfg ansible-playbook

.PHONY: help
help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

.PHONY: demo
demo: $(RUNTIME) image-$(RELEASE) ## boot mail hosts in containers, configure them, and prove them: MTA=postfix, RELEASE=trixie
	@$(DEMO) tests/lab/create.yml --extra-vars 'lab_keep=true lab_release=$(RELEASE) mta_backend=$(MTA)'
	@echo $(MTA) >.build/lab/mailops-demo/backend
	@$(DEMO) mailops.postmaster.site

.PHONY: demo-down
demo-down: ## remove everything that the demo made
	@tests/lab/remove mailops-demo

.PHONY: test
test: ## everything: lint, unit, sanity, molecule
	@$(MAKE) --no-print-directory --jobs 3 $(DEV) image-bookworm image-trixie
	@$(MAKE) --no-print-directory --jobs 2 --output-sync lint unit sanity
	@$(MAKE) --no-print-directory molecule

.PHONY: lint
lint: $(DEV) ## ruff, mypy, yamllint, ansible-lint
	ruff check
	ruff format --check
	mypy
	yamllint --strict .
	ansible-lint --offline --strict

.PHONY: unit
unit: $(DEV) ## unit tests
	pytest --numprocesses auto tests/unit tests/consistency

.PHONY: sanity
sanity: $(DEV) ## build the collection, and run ansible-test sanity on what was built
	tests/sanity/run

.PHONY: molecule
molecule: $(DEV) image-bookworm image-trixie ## tests on real hosts: SCENARIO=site, or all of them; LAB_HOSTS=postfix
	@tests/lab/molecule $(addprefix --scenario-name=,$(SCENARIO))

.PHONY: torture
torture: ## the whole of what make test tries a part of: a matter of hours; WHOLE=loss for one
	MAILOPS_TORTURE=1 $(MAKE) --no-print-directory molecule SCENARIO="$(WHOLE)"

.PHONY: conformance
conformance: ## docs/conformance.md, from what all scenarios measure
	rm -rf .build/conformance
	$(MAKE) --no-print-directory molecule
	python docs/conformance.py

.PHONY: bench
bench: $(DEV) demo ## the figures of the README, for MTA=postfix or another
	python tests/bench/sizes.py
	tests/bench/run $(MTA)

.PHONY: venv
venv: $(DEV) ## .venv with all tools

.PHONY: clean
clean: ## remove all that was built, containers and images too
	tests/lab/remove
	tests/lab/image --remove
	rm -rf .build .venv

.PHONY: setup
setup:
	@tests/lab/setup

.PHONY: tree
tree:
	@tests/lab/tree

image-%: | setup
	@tests/lab/image $* >/dev/null

$(DEV): $(RUNTIME)
.venv/%.stamp: %.txt | setup tree
	@tests/lab/venv $<
	@touch $@
