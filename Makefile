# make demo   set up, train two encodings on 500 images that come with the project, say whether the difference is real
# make run    set up, fetch MNIST, train the four models and a control on a subset with four seeds, say which differences are real
# make test   set up, fetch the data sets, run the style checks, the type checker and all tests
# make test-faults  kill, fill, cut, corrupt: every fault that must be survived; make test has a sample
# make test-stack  build, run, kill, back up, wipe, restore, upgrade the stack of docker-compose.yml in containers
# make setup  the environment in .venv, a Chromium for figures as PNG, and compiled kernels
# make lock   resolve pyproject.toml again: writes requirements.lock, that of mlflow_server, and conda.yaml
# make serve  the tracking server with its login, without containers: port 5000, on SQLite or MLFLOW_BACKEND_STORE_URI=...
# make secrets, account NAME=..., backup, restore FILE=..., upgrade, rotate  for the stack of docker-compose.yml: mlflow_server/README.md
# make gpu    the CUDA tests and measurements, on a machine with a GPU: docs/cluster.md says what is not measured yet
# make audit  ask for known vulnerabilities of the locked packages
# make format, make clean
#
# A step that is done is not done again: .venv holds a stamp for each, and data files are fetched once.
# PYTHON=/path/to/python3.11 and, for torch alone, TORCH_INDEX=URL of a package index can be given.

PYTHON ?= python3.11
TORCH_INDEX ?=
# One more than there are cores, as tests wait for disks and for processes; each takes 1.2 GB.
PROCESSES := $(shell expr $$(nproc) + 1)
DATA := $(or $(EVENT_DATA_DIR),data)

TORCH_VERSION := $(shell sed -n 's/^  "torch==\(.*\)",/\1/p' pyproject.toml)
PIP := .venv/bin/python -m pip install -qq --disable-pip-version-check
TORCH := $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==$(TORCH_VERSION)

MNIST := $(DATA)/MNIST/raw/train-images-idx3-ubyte
FASHION_MNIST := $(DATA)/FashionMNIST/raw/train-images-idx3-ubyte

.PHONY: help setup demo run test test-faults test-stack gpu check serve secrets account backup restore upgrade rotate lock audit format clean

help:
	@sed -n 's/^# \{0,1\}//; 1,/^$$/p' Makefile

setup: .venv/packages.stamp .venv/browser.stamp .venv/kernels.stamp

# torch first and alone: whatever else asks for it would drag in gigabytes of CUDA. Its hash depends on the index.
.venv/torch-$(TORCH_VERSION).stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
		|| { echo "set-up: $(PYTHON) must be Python 3.11. Install it, or say make PYTHON=/path/to/python3.11." >&2; exit 2; }
	@echo "set-up: creating .venv and installing torch $(TORCH_VERSION)"
	@$(PYTHON) -m venv .venv
	@$(PIP) $(TORCH) --no-deps
	@touch $@

# What torch needs comes from the lock, with hashes. Then a build for CUDA gets the libraries that it pins itself.
.venv/packages.stamp: .venv/torch-$(TORCH_VERSION).stamp requirements.lock
	@echo "set-up: installing the other packages, whose hashes are checked"
	@$(PIP) --no-deps --require-hashes -r requirements.lock
	@$(PIP) $(TORCH)
	@touch $@

.venv/browser.stamp: | .venv/packages.stamp
	@scripts/browser.sh
	@touch $@

.venv/kernels.stamp: .venv/packages.stamp $(wildcard models/compilation.py models/scan_kernels.py models/lstm/*.py)
	@.venv/bin/python -m scripts.kernels
	@touch $@

$(MNIST) $(FASHION_MNIST): | .venv/packages.stamp
	@.venv/bin/python -m pipeline.data $(patsubst $(DATA)/%/raw/,%,$(dir $@))

demo: setup
	@.venv/bin/python -m pipeline main --config config/demo.json

run: setup $(MNIST)
	@.venv/bin/python -m pipeline main --config config/quick.json

test: check $(MNIST) $(FASHION_MNIST)
	@scripts/postgres.sh
	.venv/bin/pytest --numprocesses $(PROCESSES) --dist loadfile

test-faults: setup
	@scripts/postgres.sh
	FAULTS=all .venv/bin/pytest -m exhaustive --numprocesses 3 --dist worksteal --durations 5

test-stack: setup
	@scripts/engine.sh .venv/bin/pytest -m containers -p no:xdist --exitfirst --durations 8 tests/mlflow_server/containers

gpu: setup $(MNIST)
	.venv/bin/python -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else "gpu: must have a CUDA device, got none. Run it where there is one.")'
	.venv/bin/pytest -m gpu
	.venv/bin/python -m scripts.gpu

check: setup
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	.venv/bin/hadolint Dockerfile mlflow_server/Dockerfile mlflow_server/dashboard/Dockerfile

# What the environment says goes before what .env says.
serve: setup secrets
	@.venv/bin/dotenv run --no-override .venv/bin/python mlflow_server/serve.py

secrets backup upgrade rotate:
	@mlflow_server/stack.sh $@

account:
	@mlflow_server/stack.sh account '$(NAME)' $(if $(ADMIN),--admin) $(if $(REMOVE),--remove)

restore:
	@mlflow_server/stack.sh restore '$(FILE)'

lock: setup
	.venv/bin/python scripts/lock.py

audit: setup
	@.venv/bin/python -m scripts.audit

format: setup
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

clean:
	rm -rf .venv .mypy_cache .ruff_cache .import_linter_cache .hypothesis
