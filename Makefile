# Every target installs what it needs; a bare machine with Python 3.11+ and make is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
INSTALLED_BENCH := $(VENV)/.installed-bench
# one more than there are cores: many tests wait for processes of their own
TEST_JOBS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

.DEFAULT_GOAL := help
.PHONY: help demo study benchmark structure install test fuzz test-crash test-faults browser-install test-browser test-gpu check format slurm-install slurm-up slurm-down test-slurm bench bench-derivatives bench-quality bench-sweep bench-postprocess bench-merge bench-recording bench-precision bench-recipes bench-gpu clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Train the quickstart sweep on this machine: 8 runs, figures, videos, a report
	@$(BIN)/python jobs/launch.py --local

# The study on two cores: every sweep of it at this scale, then its figures and the text with its tables.
STUDY := outputs/reproduction
EXPERIMENTS := learning_rate activation loss_weights claims
CORRECTED := activation_tuning $(EXPERIMENTS) frame_spacing
SCALE := data.size=64 model.width=128 model.depth=3 record.tensorboard=false
SCALE_CORRECTED = training.steps=$(if $(filter activation_tuning,$*),500,1000) training.batch=512 record.metrics_every=$(if $(filter learning_rate,$*),250,500)
SCALE_ORIGINAL = record.metrics_every=$(if $(filter learning_rate claims,$*),100,40)
STUDY_OPTIONS ?= --workers 1 --pack 1000
run-sweep = $(BIN)/python jobs/launch.py --local --no-post --sweep $(1) --output $(STUDY)/$(1) $(addprefix --set ,$(SCALE) $(2)) $(STUDY_OPTIONS)

study: $(CORRECTED:%=study-corrected-%) $(EXPERIMENTS:%=study-original-%) ## Make docs/study.md from nothing: ten sweeps, resumable (two and a half hours on two cores)
	$(BIN)/python postprocess/study.py $(STUDY)

study-original-%: $(INSTALLED)
	$(call run-sweep,original_$*,$(SCALE_ORIGINAL))

study-corrected-%: $(INSTALLED)
	$(call run-sweep,$*,$(SCALE_CORRECTED))

benchmark: $(INSTALLED) ## Make docs/benchmark.md from nothing: tune and train twenty networks, resumable (an hour and a half)
	$(BIN)/python -m tests.benchmarks.learning.networks

install: $(INSTALLED) ## Make the virtual environment .venv with pinned versions

test: $(INSTALLED_DEV) ## Run the tests (COVERAGE=1: measure the branches that they take, a half more work)
	@rm -f .coverage .coverage.*
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_JOBS) --dist worksteal -m "not slurm and not gpu and not browser" $(if $(COVERAGE),--cov --cov-report=term)

fuzz: $(INSTALLED_DEV) ## Search for inputs that break the property tests, with ever new ones, until Ctrl-C
	@while OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -x -n $(TEST_JOBS) -m "hypothesis and not gpu" --hypothesis-profile=search; do :; done; exit 1

test-crash: $(INSTALLED_DEV) ## Kill a training process 200 times and compare every byte
	CRASH_KILLS=200 $(BIN)/python -m pytest tests/jobs/worker/test_crash.py

test-faults: $(INSTALLED_DEV) ## Train 100 sweeps on a file system that fails, and compare every byte
	FAULT_SWEEPS=100 $(BIN)/python -m pytest tests/jobs/worker/test_faults.py

CHROMIUM := chromium chromium-driver

browser-install: ## Install Chromium and its driver from Debian's packages, where missing (root)
	@has() { command -v "$$1" >/dev/null; }; \
	if has chromedriver && { has chromium || has chromium-browser || has google-chrome; }; then exit 0; fi; \
	if ! has apt-get || [ "$$(id -u)" -ne 0 ]; then \
		echo "make: no Chromium with chromedriver here. Debian, as root: apt-get install $(CHROMIUM); elsewhere: in your system's way" >&2; exit 1; \
	fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get -q update && apt-get -q install -y --no-install-recommends $(CHROMIUM)

test-browser: browser-install $(INSTALLED_DEV) ## Open the report in a real Chromium
	$(BIN)/python -m pytest -m browser

test-gpu: $(INSTALLED_DEV) ## Training on a GPU against training on the CPU
	$(BIN)/python -m pytest -m gpu

check: $(INSTALLED_DEV) ## Lint, check formatting, types and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd slurm/testbed && MYPYPATH=. ../../$(BIN)/mypy --strict --explicit-package-bases --scripts-are-modules testbed *.py
	$(BIN)/lint-imports

structure: $(INSTALLED_DEV) ## Draw who imports whom into docs/structure.md
	$(BIN)/python -m tests.project.rooms

format: $(INSTALLED_DEV) ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

slurm-install: ## Install Slurm, MariaDB and munge from Debian's packages (root)
	slurm/testbed/testbed install

slurm-up: slurm-install ## Start a private two-node Slurm on this machine (root)
	slurm/testbed/testbed up

slurm-down: ## Stop it and leave no trace
	slurm/testbed/testbed down

# Daemons and deadlines on a busy machine: what fails runs once more, alone.
test-slurm: $(INSTALLED_DEV) slurm-install ## Run the tests that need a real Slurm, on a private one (root)
	@line="$$(slurm/testbed/testbed up)" && eval "$$line" && { \
	$(BIN)/python -m pytest -m slurm || $(BIN)/python -m pytest -m slurm --last-failed --last-failed-no-failures none; \
	code=$$?; slurm/testbed/testbed down; exit $$code; }

BENCHMARKS := derivatives quality sweep postprocess merge recording precision

bench: $(addprefix bench-,$(BENCHMARKS)) ## Run all benchmarks (two to three hours, nothing else running) and put them into docs/performance.md
	$(BIN)/python -m tests.benchmarks.report

bench-derivatives: $(INSTALLED_BENCH) ## Measure a training step against its peers (half an hour)
	$(BIN)/python -m tests.benchmarks.derivatives

bench-quality: $(INSTALLED) ## Time to quality, against the recipe of SIREN (half an hour)
	$(BIN)/python -m tests.benchmarks.quality

bench-sweep: $(INSTALLED) ## Runs an hour of a whole sweep; fused runs against processes (an hour)
	$(BIN)/python -m tests.benchmarks.sweep

bench-postprocess: $(INSTALLED) ## Video frames, figures and the start of commands (ten minutes)
	$(BIN)/python -m tests.benchmarks.postprocess

bench-merge: $(INSTALLED) ## Merging 10,000 runs, against pandas (five minutes)
	$(BIN)/python -m tests.benchmarks.merge

bench-recording: $(INSTALLED) ## What recording costs while training (ten minutes)
	$(BIN)/python -m tests.benchmarks.recording

bench-precision: $(INSTALLED) ## Error of the derivatives by precision (a minute)
	$(BIN)/python -m tests.benchmarks.precision

bench-gpu: $(INSTALLED_BENCH) ## Measure a training step on a GPU against its peers
	$(BIN)/python -m tests.benchmarks.gpu

bench-recipes: $(INSTALLED) ## Make docs/recipes.md: the recommended recipe on images it was not tuned on, resumable (twenty minutes)
	$(BIN)/python -m tests.benchmarks.learning.recipes

clean: ## Remove the environment and caches; results in outputs/ stay
	rm -rf $(VENV) build *.egg-info .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Python %d.%d found, 3.11 or newer needed: make PYTHON=python3.12 ..." % v[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing pinned versions into $(VENV) (a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(INSTALLED_DEV): $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

$(INSTALLED_BENCH): $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@
