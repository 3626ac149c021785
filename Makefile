# `make` lists the targets.  Needs GNU make 4, bash and Python 3.11 or 3.12; all else goes into the environment,
# which lies outside the checkout and holds dependencies only: gancodec itself runs from here, by PYTHONPATH, so one
# environment serves every checkout with the same dependencies.
#
#   PYTHON=python3.12   the interpreter that a new environment is made with
#   ENV=path            another environment; used as it is if it holds a file .complete, else made there

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help env demo test check serve figures constraints clean-env
MAKEFLAGS += --no-builtin-rules --no-print-directory

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gancodec

# The first of PYTHON, python3.11, python3.12, python3 that runs and is 3.11 or 3.12.  Looked for when first needed.
IS_SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))
find_python = $(shell for candidate in $(or $(PYTHON),python3.11 python3.12 python3); do \
    "$$candidate" -c '$(IS_SUPPORTED)' 2>/dev/null && { command -v "$$candidate"; break; }; done)
no_python = $(error $(or $(PYTHON),python3.11, python3.12, python3): not found, or neither Python 3.11 nor 3.12; \
    install one, or name it: make PYTHON=path)
python = $(eval python := $(or $(find_python),$(no_python)))$(python)

# Every dependency of pyproject.toml, extras included, one a line.
LIST_REQUIREMENTS := import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]; \
    print(*project["dependencies"], *(line for line in extras if not line.startswith("gancodec[")), sep="\n")

# What an environment depends on: which dependencies, their pins, which Python.  Not the bounds of pyproject.toml: the
# pins decide what is installed, and tests/test_project.py that they are within the bounds.
environment_key = $(shell { '$(python)' -c '$(LIST_REQUIREMENTS)' | sed 's/[<>=~!;].*//'; cat constraints.txt; \
    '$(python)' -c 'import sys; print(sys.implementation.cache_tag)'; } | sha256sum | cut -c1-12)$(if \
    $(filter-out 0,$(.SHELLSTATUS)),$(error pyproject.toml or constraints.txt cannot be read))

# Only `make ENV=...` replaces this; a variable ENV of the process means something else to sh.
ENV = $(eval ENV := $(CACHE)/env-$(environment_key))$(ENV)

run = PYTHONPATH='$(CURDIR)' exec '$(ENV)/bin/python'

IMAGE ?= examples/coffee.png
ARGS ?=
export IMAGE

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' '$(lastword $(MAKEFILE_LIST))'

demo: env  ## Compress a photo and show the result beside JPEG: make demo IMAGE=photo.jpg
	@$(run) examples/demo.py -- "$$IMAGE"

# As many tests at once as there are processors, up to four, and so one thread for each.
test: env  ## Run the tests: make test ARGS='tests/container -k header', or ARGS='-n 0 --pdb'
	@OMP_NUM_THREADS=1 $(run) -m pytest -n logical --maxprocesses 4 --dist worksteal $(ARGS)

check: env  ## Lint (ruff) and check types (mypy)
	@'$(ENV)/bin/python' -m ruff check --output-format concise .
	$(run) -m mypy $(patsubst %/__init__.py,%,$(wildcard gancodec/__init__.py service/__init__.py)) examples benchmarks/effort.py benchmarks/figures.py benchmarks/load.py benchmarks/views.py

serve: env  ## Start the service on http://127.0.0.1:8000: make serve ARGS='--port 9000'
	@$(run) -m gancodec serve $(ARGS)

figures: env  ## Rebuild tables and plots of README and cards: make figures KODAK=folder FEATURES=file:alex ARGS=--keep-others
	@$(run) benchmarks/figures.py '$(or $(KODAK),$(error KODAK=folder with kodim01.png to kodim24.png is missing))' \
	    $(if $(FEATURES),--features '$(FEATURES)') $(ARGS)

env:  ## Install all dependencies outside the checkout; done once, by the other targets too
	@env='$(ENV)' log='$(ENV).log'
	if [ -f "$$env/.complete" ]; then exit 0; fi
	mkdir -p "$$(dirname "$$env")"
	exec 9>"$$env.lock"  # held until this shell ends
	if ! flock --nonblock 9; then
	    echo "another make is installing $$env; waiting for it"
	    flock 9
	    if [ -f "$$env/.complete" ]; then exit 0; fi
	fi
	if [ -n "$$(ls -A "$$env" 2>/dev/null)" ] && [ ! -f "$$env/pyvenv.cfg" ]; then
	    echo "$$env is neither empty nor a virtual environment; it is left alone" >&2
	    exit 1
	fi
	echo "installing the dependencies, about 6 GB, some minutes: $$env"
	rm -rf "$$env"  # what an interrupted make left
	if ! { '$(python)' -m venv "$$env" &&
	       '$(python)' -c '$(LIST_REQUIREMENTS)' >"$$env/requirements.txt" &&
	       "$$env/bin/python" -m pip --no-input --disable-pip-version-check install --progress-bar off \
	           --constraint constraints.txt --requirement "$$env/requirements.txt"; } >"$$log" 2>&1 </dev/null 9>&-; then
	    tail -n 25 "$$log" >&2
	    echo "installing failed; the whole log is $$log" >&2
	    exit 1
	fi
	touch "$$env/.complete"
	echo "installed in $$SECONDS seconds"

constraints:  ## Pin the newest versions that resolve together in constraints.txt
	@mkdir -p '$(CACHE)'
	scratch=$$(mktemp -d '$(CACHE)/constraints.XXXXXX')
	trap 'rm -rf "$$scratch"' EXIT
	echo "resolving the newest versions, about 6 GB for a while: $$scratch"
	'$(python)' -m venv "$$scratch/env"
	'$(python)' -c '$(LIST_REQUIREMENTS)' >"$$scratch/requirements.txt"
	"$$scratch/env/bin/python" -m pip --no-input install --quiet --progress-bar off --requirement "$$scratch/requirements.txt"
	"$$scratch/env/bin/python" -m pip freeze --all --exclude pip >"$$scratch/pins"
	if grep -vE '^[A-Za-z0-9._-]+==[A-Za-z0-9.]+$$' "$$scratch/pins"; then
	    echo "these came from elsewhere than an index of packages; constraints.txt is left as it was" >&2
	    exit 1
	fi
	{ grep '^#' constraints.txt; cat "$$scratch/pins"; } >"$$scratch/constraints.txt"
	cp "$$scratch/constraints.txt" constraints.txt
	git --no-pager diff --stat -- constraints.txt

clean-env:  ## Remove the environment of this checkout's dependencies
	@env='$(ENV)'
	if [ -d "$$env" ] && [ ! -f "$$env/pyvenv.cfg" ]; then echo "$$env is not a virtual environment" >&2; exit 1; fi
	rm -rf "$$env" "$$env.log" "$$env.lock"
	echo "removed $$env"
	others=$$(find '$(CACHE)' -maxdepth 1 -type d -name 'env-*' 2>/dev/null || true)
	if [ -n "$$others" ]; then printf 'others, of other dependencies, are still there:\n%s\n' "$$others"; fi
