# make demo       install the engine into .venv, tag the clips of examples/, and index 128 sounds to search in
# make test       install the test extras as well and run the whole suite against the installed engine
# make lint       ruff, mypy, clang-format
# make sanitize   build the kernels with address and undefined-behaviour checks, and run their tests
# make capi       build the C interface, build/libsound_engine.so (csrc/c_api.h, examples/c)
# make models     train the taggers again from the recordings in DATA=DIR, and write their pages' tables: three hours
# make clean      remove what the others made
#
# PYTHON=python3.12 chooses the interpreter of .venv, ARGS="-k card -x" goes on to pytest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
	$(BIN)/python -m pip --quiet
PACKAGE := pyproject.toml setup.py constraints.txt \
	$(shell find csrc engine models training -type f ! -name '*.so' ! -path '*/__pycache__/*')
CPP := $(wildcard csrc/*.cc csrc/*.h)

.PHONY: demo test lint sanitize capi models clean

demo: $(VENV)/app-extras
	$(BIN)/engine tag examples
	@rm -rf build/library build/library.index
	@$(BIN)/python examples/make_library.py build/library
	$(BIN)/engine index build build/library -o build/library.index --tag-folders --quiet
	@echo "find a sound by example: $(BIN)/engine search build/library/bell/bell_3.wav --index build/library.index"
	@echo "the same in a browser:   $(BIN)/engine app --index build/library.index"

# The safe path keeps the source tree, which holds no compiled kernels, out of sys.path here and in every subprocess.
test: $(VENV)/test-extras
	PYTHONPATH= PYTHONSAFEPATH=1 $(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/lint-extras
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(CPP)

# The checked kernels lie in a folder of their own, ahead of the installed ones. Leaks are Python's, and not looked for.
SANITIZED := $(CURDIR)/build/sanitize/lib
KERNEL_TESTS := $(addprefix tests/test_,frontend.py bank.py stream.py spectra.py distance.py fuzz.py) tests/archive/test_meter.py
sanitize: $(VENV)/test-extras
	ENGINE_SANITIZE=1 $(BIN)/python setup.py --quiet build --build-base build/sanitize --build-lib $(SANITIZED)
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=1 PYTHONPATH=$(SANITIZED) PYTHONSAFEPATH=1 \
	  $(BIN)/python -m pytest -p no:cacheprovider -m "not slow" $(KERNEL_TESTS)

capi: $(VENV)/test-extras
	$(BIN)/python setup.py --quiet build_capi --output build

# The folder has esc10_dev, speech_commands_dev, longform_dev and models/yamnet. An interrupted run goes on where it was.
DATA ?= ../shared/data
RUNS ?= build/models
TRAIN := OMP_NUM_THREADS=1 $(BIN)/python -m training
models: $(VENV)/test-extras
	test -f $(RUNS)/esc10/metrics.json || $(TRAIN) run esc10 --data $(DATA)/esc10_dev --run $(RUNS)/esc10 \
	  --words=$(DATA)/speech_commands_dev --outside=$(DATA)/longform_dev
	$(TRAIN) esc10 examine $(RUNS)/esc10 --yamnet $(DATA)/models/yamnet --page models/esc10.md
	test -f $(RUNS)/keywords/metrics.json || $(TRAIN) run keywords --data $(DATA)/speech_commands_dev \
	  --run $(RUNS)/keywords --outside=$(DATA)/longform_dev
	$(TRAIN) keywords examine $(RUNS)/keywords --page models/keywords.md
	cp $(RUNS)/esc10/esc10.onnx $(RUNS)/esc10/esc10-embedder.onnx $(RUNS)/keywords/keywords.onnx models/

clean:
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/created:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "expected Python 3.11 or newer as $(PYTHON), found none: install it or name it, as in make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "expected Python 3.11 or newer, got $$($(PYTHON) -V): name a newer one, as in make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null && \
	  command -v c++ >/dev/null || \
	  { echo "expected venv, Python.h and a C++ compiler, found not all three: on Debian or Ubuntu, apt install python3-venv python3-dev g++" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# The extras below install the same wheel, so that the kernels are compiled once per change. pip leaves an installed
# version alone, hence the second install.
$(VENV)/installed: $(PACKAGE) | $(VENV)/created
	@echo "compiling the kernels and installing the engine into $(VENV): about a minute"
	@rm -rf build/lib.* *.egg-info $(VENV)/wheel
	@$(PIP) wheel --no-deps --wheel-dir $(VENV)/wheel .
	@$(PIP) install $(VENV)/wheel/*.whl
	@$(PIP) install --no-deps --force-reinstall $(VENV)/wheel/*.whl
	@touch $@

$(VENV)/%-extras: pyproject.toml constraints.txt | $(VENV)/installed
	@echo "installing the extra $*"
	@$(PIP) install "$$(echo $(VENV)/wheel/*.whl)[$*]"
	@touch $@
