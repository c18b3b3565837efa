.DEFAULT_GOAL := help
.PHONY: help install chromium check test demo docs serve lock harden bench-features bench-scoring bench-quality bench-serving bench-loop
PYTHON ?= python3
SERVE ?= 1
BIN := .venv/bin
export OMP_WAIT_POLICY ?= PASSIVE
# Packages are compiled when they are first imported, most never: what is compiled is kept, whatever the shell says.
export PYTHONDONTWRITEBYTECODE =

help: ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

install: .venv/installed ## make .venv with the pinned versions and the package, editable

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -c "import serving.app, serving.registry, training.tracking, training.train"
	@touch $@

check: install ## ruff, format, mypy, the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_directions.py

# The pages are tested in a real browser; without one those tests are skipped and say so.
chromium:
	@command -v chromium chromium-browser google-chrome >/dev/null || { command -v apt-get >/dev/null && { \
		run=; [ "$$(id -u)" = 0 ] || run="sudo -n"; \
		$$run apt-get update -qq && \
		$$run env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1; } || \
		echo "The browser tests need Chromium, and it could not be installed here: sudo apt-get install chromium"

# Three processes share the tests (tests/shares.py): some wait for a browser, a server or a disk. mypy is one of the tests.
test: ## everything that guards the project
	@$(MAKE) --no-print-directory -j2 install chromium
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pytest -q -n 3 --dist loadfile

demo: install ## real data to served, explained predictions (SERVE=0 ends instead of serving)
	$(BIN)/journeycast demo $(if $(filter 0,$(SERVE)),--no-serve,--serve)

docs: install ## write the catalogue in docs/features.md anew
	$(BIN)/python tests/test_reference.py

serve: install ## serve the demo journey on loopback
	$(BIN)/journeycast serve complete_journey

harden: install ## kill -9 fifty times each, two servers, ten thousand malformed bodies (twenty minutes)
	$(BIN)/pytest -q tests/test_hardening.py tests/test_tracking.py tests/test_two_servers.py -k "hardening or killed" --kills 50 --bodies 10000

bench-features: install ## vectors timed against rivals, many cutoffs, 50 million events (hours)
	$(BIN)/python -m benchmarks.bench_features
	$(BIN)/python -m benchmarks.table

bench-serving: install ## writing runs, events in, a promotion under load, on SQLite and PostgreSQL (needs wrk)
	$(BIN)/python -m benchmarks.bench_serving

bench-scoring: install ## reasons, lists and predictions timed against their targets (needs wrk; an hour)
	$(BIN)/python -m benchmarks.bench_scoring
	$(BIN)/python -m benchmarks.table

bench-quality: install ## predictions against published tables and rules (LOGS=FOLDER for the next event; hours)
	$(BIN)/python -m benchmarks.quality.bench_quality $(if $(LOGS),--logs $(LOGS)) $(QUALITY)
	$(BIN)/python -m benchmarks.quality.page

bench-loop: install ## drift's alarms counted, and a year of lists per seed (hours; goes on where it was cut off)
	$(BIN)/python -m benchmarks.drift
	$(BIN)/python -m benchmarks.loop
	$(BIN)/python -m benchmarks.quality.page

lock: install ## write the locks anew from pyproject.toml: for developers, and for the image
	$(BIN)/uv pip compile pyproject.toml --quiet --extra demo --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --quiet --extra demo --extra build --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-annotate --no-header -c requirements.lock -o requirements-runtime.lock
