# `make demo` shows what landbridge is for, `make test` proves it. Both set up what they need.
PYTHON ?= python3
BIN := .venv/bin
TIMES := .cache/times

.PHONY: setup demo demo-tradeshift test lint pure programs api podless pods bench bench-judge bench-flagger soak docs lock clean
.DEFAULT_GOAL := test

# Runs $(2) and notes how long it took under the name $(1).
define timed
@mkdir -p .cache; start=$$(date +%s); $(2); code=$$?; \
printf '%-8s %4d s  %s\n' '$(1)' $$(( $$(date +%s) - start )) $$([ $$code = 0 ] && echo passed || echo FAILED) \
  | tee -a $(TIMES); exit $$code
endef

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'landbridge needs Python 3.11 or later: make PYTHON=python3.11'; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	$(BIN)/landbridge demo k8s

demo-tradeshift: setup  # 409 services; 20 minutes on two cores
	$(BIN)/landbridge demo tradeshift

test: setup
	@mkdir -p .cache; rm -f $(TIMES)
	@$(MAKE) --no-print-directory lint && $(MAKE) --no-print-directory programs \
	  && $(MAKE) --no-print-directory podless && $(MAKE) --no-print-directory pods; \
	code=$$?; echo; cat $(TIMES); exit $$code

lint: setup
	$(call timed,lint,$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy && $(BIN)/lint-imports)

pure: setup
	$(call timed,pure,$(BIN)/pytest -n 4 --dist worksteal --durations 8 -m 'not api and not lab and not soak')

programs: setup  # of the labs; built once
	$(call timed,programs,$(BIN)/landbridge lab build)

api: setup  # they wait more than they compute; tests of one file share what they began
	$(call timed,api,$(BIN)/pytest -n 4 --dist loadfile --durations 8 -m 'api and not lab and not soak')

podless: setup  # both by the same workers: pure tests compute while those with API servers wait
	$(call timed,podless,$(BIN)/pytest -n 4 --dist loadfile --durations 12 -m 'not lab and not soak')

pods: setup  # one after the other: side by side they passed in two of four runs, and starved each other in two
	$(call timed,pods,$(BIN)/pytest --durations 12 -m 'lab and not soak')

bench: setup
	$(BIN)/python -m benchmarks

bench-judge: setup  # 15 minutes on two cores; writes docs/judge-benchmark.md and .svg
	$(BIN)/python -m benchmarks.judge

bench-flagger: setup  # 15 minutes, needs root; writes docs/flagger-benchmark.md
	$(BIN)/python -m benchmarks.flagger

soak: setup
	$(BIN)/pytest -m soak

docs: setup  # the generated pages
	$(BIN)/python docs/render.py

lock:
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate pyproject.toml --extra lab --extra bench --group dev -o requirements.lock

clean:
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
