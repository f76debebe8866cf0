# Each target works alone, first, on a bare clone; repeated, it is quick.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
CODE := $(shell find csrc -type f)
SOURCES := $(CODE) CMakeLists.txt
DEMO := build/demo.mp4
# What clashes with the package's own pins lives in environments of its own.
PROTO := build/proto-tools
STUBS := src/avatar/serving/_stubs
PEERS := $(patsubst tests/integrations/peers/%.txt,build/peers/%/.ready,$(wildcard tests/integrations/peers/*.txt))
# AUTO builds the CUDA kernels where nvcc is found, ON demands them, OFF leaves them out.
AVATAR_CUDA ?= AUTO

.PHONY: help setup demo test sanitize lint proto peers format bench clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    a portrait and a voice become $(DEMO)"
	@echo "make test    the whole test suite"
	@echo "make sanitize  the CPU kernels under the address and undefined-behaviour sanitizers"
	@echo "make lint    formatting, types, style"
	@echo "make format  put formatting right"
	@echo "make proto   the stubs made anew, and compared with those that are kept"
	@echo "make peers   other people's programs that the tests talk to, in build/peers"
	@echo "make bench   measure, write benchmarks/results/"
	@echo "make setup   only the environment in $(VENV)"

setup: $(VENV)/.ready

$(VENV)/.tools: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -c constraints.txt scikit-build-core pybind11
	@touch $@

# Editable: changes under src/ need no reinstall, changes under csrc/ build again.
$(VENV)/.ready: $(VENV)/.tools pyproject.toml $(SOURCES)
	$(RUN) -m pip install --quiet -c constraints.txt --no-build-isolation \
		-C cmake.define.AVATAR_CUDA=$(AVATAR_CUDA) -e ".[test,dev,server]"
	@touch $@

demo: $(VENV)/.ready
	@mkdir -p $(dir $(DEMO))
	$(RUN) -m avatar speak examples/grace_hopper.jpg examples/hello.wav -o $(DEMO)
	@echo "The video is $(abspath $(DEMO))"

test: $(VENV)/.ready
	$(RUN) -m pytest

# More threads than cores must not wait by spinning.
sanitize:
	cmake -S . -B build/sanitize -DAVATAR_SANITIZE=ON
	cmake --build build/sanitize --parallel 2
	OMP_WAIT_POLICY=passive build/sanitize/exercise

lint: $(VENV)/.ready proto
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/clang-format --dry-run --Werror $(CODE)

$(PROTO)/.ready: proto/requirements.txt
	$(PYTHON) -m venv $(PROTO)
	$(PROTO)/bin/python -m pip install --quiet -r $<
	@touch $@

proto: $(VENV)/.ready $(PROTO)/.ready
	@rm -rf build/stubs
	@$(PROTO)/bin/python proto/generate.py build/stubs > /dev/null
	diff -rq -x __init__.py -x __pycache__ build/stubs $(STUBS)
	$(VENV)/bin/buf lint proto

# Those that cannot be had are left out, and their tests are skipped: `make -k peers`.
peers: $(PEERS)

SITE = -c 'import site; print(*site.getsitepackages())'

build/peers/%/.ready: tests/integrations/peers/%.txt $(VENV)/.ready
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet -r $<
	@touch $@

# These run this package itself, so they see its environment behind their own.
build/peers/ray/.ready build/peers/atheris/.ready: build/peers/%/.ready: \
		tests/integrations/peers/%.txt $(VENV)/.ready
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet -r $<
	echo "import site; site.addsitedir('$$($(RUN) $(SITE))')" \
		> $$($(@D)/bin/python $(SITE))/avatar.pth
	@touch $@

format: $(VENV)/.ready
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .
	$(VENV)/bin/clang-format -i $(CODE)

bench: $(VENV)/.ready
	$(RUN) -m benchmarks.ops
	$(RUN) -m benchmarks.end_to_end

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
