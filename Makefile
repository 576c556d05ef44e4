# pyneuro: everything a developer types.  `make help` lists the targets.
#
# Everything lives in .venv and target/; nothing outside this directory is touched, with one exception that says so
# when it happens: where a test or demo needs a GPU adapter, there is none, and this is a Debian-like machine on which
# we may, tools/gpu-driver.sh installs the distribution's software Vulkan driver.

PYTHON ?= python3
DEVICE ?= cpu
ARGS   ?=

VENV := .venv
BIN  := $(VENV)/bin
PY   := $(BIN)/python

# pyo3's build script looks at the interpreter; one interpreter for every cargo call keeps cargo from rebuilding it.
export PYO3_PYTHON := $(CURDIR)/$(PY)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

RUST_SOURCES := Cargo.toml $(wildcard Cargo.lock) $(shell find rust shaders -type f 2>/dev/null)
RUST_TESTED  := -p pyneuro-kernels -p pyneuro-core

.DEFAULT_GOAL := help
.NOTPARALLEL:   # cargo and pytest use the cores themselves, and checks are ordered by cost

.PHONY: help
help:  ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  variables: DEVICE=cpu|gpu (demo)  PYTHON=python3.x (which interpreter .venv is made from)  ARGS=... (passed on)"

# ---- environment and build -------------------------------------------------------------------------------------------

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "pyneuro needs Python >= 3.10, and $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.requirements: requirements-dev.txt $(VENV)/.created
	$(PY) -m pip install --quiet -r requirements-dev.txt
	@touch $@

$(VENV)/.built: $(RUST_SOURCES) pyproject.toml $(VENV)/.requirements
	@command -v cargo >/dev/null || { echo "pyneuro needs Rust (cargo) to build: install it with rustup"; exit 1; }
	@echo "building the extension with full optimisation: some minutes the first time"
	PIP_QUIET=1 $(BIN)/maturin develop --release --quiet
	@touch $@

.PHONY: build
build: $(VENV)/.built  ## build the extension into .venv (optimised)

.PHONY: wheel
wheel: $(VENV)/.requirements  ## build the wheel into dist/
	$(BIN)/maturin build --release --quiet --out dist

.PHONY: gpu-driver
gpu-driver: $(VENV)/.requirements
	@sh tools/gpu-driver.sh $(PY)

# ---- use -------------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: build $(if $(filter gpu%,$(DEVICE)),gpu-driver)  ## train LeNet on handwritten digits (DEVICE=gpu for the GPU)
	$(PY) examples/digits_lenet.py --device $(DEVICE) $(ARGS)

.PHONY: bench
bench: build  ## measure, beside PyTorch where it is installed (TORCH_PYTHON=... names its interpreter)
	$(PY) benchmarks/run.py $(ARGS)

.PHONY: doctor
doctor: build  ## explain what pyneuro finds on this machine
	$(PY) -m pyneuro.doctor

# ---- checks: the cheapest first --------------------------------------------------------------------------------------

.PHONY: check
check: format lint types stubs docs test  ## everything that must hold: format, lint, types, stubs, docs, tests

.PHONY: format
format: $(VENV)/.requirements
	cargo fmt --all --check
	$(BIN)/ruff format --check .

.PHONY: lint
lint: $(VENV)/.requirements
	$(BIN)/ruff check .
	cargo clippy --quiet --workspace --all-targets -- -D warnings

.PHONY: types
types: build
	$(BIN)/mypy pyneuro

.PHONY: stubs
stubs: build
	$(PY) tools/generate.py stubs --check
	$(BIN)/stubtest pyneuro._core --mypy-config-file pyproject.toml --allowlist tools/stubtest-allowlist.txt

.PHONY: docs
docs: build  ## write docs/ops.md (every function and op) and the Rust documentation
	$(PY) tools/generate.py docs
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --quiet --no-deps $(RUST_TESTED)

.PHONY: test
test: build gpu-driver test-rust test-python  ## run every test: Rust and Python, CPU and GPU

.PHONY: test-rust
test-rust: $(VENV)/.requirements  ## run the Rust tests
	cargo test --quiet $(RUST_TESTED)

.PHONY: test-python
test-python: build  ## run the Python tests (ARGS="tests/test_x.py -k name")
	$(PY) -m pytest $(ARGS)

# ---- upkeep ----------------------------------------------------------------------------------------------------------

.PHONY: fmt
fmt: $(VENV)/.requirements  ## format the code and regenerate stubs
	cargo fmt --all
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .
	$(MAKE) --no-print-directory generate

.PHONY: generate
generate: $(VENV)/.requirements  ## regenerate the stubs of Tensor's attached methods
	$(PY) tools/generate.py stubs

.PHONY: clean
clean:  ## remove everything that was built
	rm -rf $(VENV) target dist demo_output docs/ops.md pyneuro/_core*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
