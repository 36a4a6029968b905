# Two commands for a fresh clone: `make demo` and `make test`. Each makes its own
# environment with nothing but Python 3.11 and pip, and asks nothing.

.DEFAULT_GOAL := help
.PHONY: help demo test lint format docs clean environment tools

# the constraints were tested with 3.11, so that is tried first
ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3 python3.12 python3.13; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
  2>/dev/null && echo $$p && break; done)
endif
ifeq ($(strip $(PYTHON)),)
$(error napari-unet needs Python 3.11, 3.12 or 3.13: apt-get install python3 python3-pip)
endif

BOOTSTRAP := $(PYTHON) scripts/bootstrap.py
TOX := .tools/bin/python -m tox run
HAS_SCREEN := $(or $(DISPLAY),$(WAYLAND_DISPLAY))

help:
	@echo "make demo     paint, learn, correct, export on a sample (a window where there is a screen)"
	@echo "make test     all tests, lint, types, import rules, manifest, package build (tox)"
	@echo "make docs     the documentation as a site: site/index.html"
	@echo "make lint     ruff only;  make format  lets ruff rewrite the files"
	@echo "make clean    remove environments and everything built"
	@echo 'options go into ARGS: make test ARGS="-k stroke", make demo ARGS=--headless'

demo: environment
	@$(if $(HAS_SCREEN),$(BOOTSTRAP) libraries window || true)
	.venv/bin/napari-unet demo $(ARGS)

# Without the libraries of a screen, what needs none still runs, and the end says so.
test: tools
	@if $(BOOTSTRAP) libraries screen; then \
	  $(TOX) $(if $(ARGS),-- $(ARGS)); \
	else \
	  $(TOX) -e lint,package,docs,core $(if $(ARGS),-- $(ARGS)); \
	  echo "Not run, for want of the libraries named above: all that needs napari." >&2; \
	  exit 1; \
	fi

lint format: tools
	$(TOX) -q -e $@

docs: tools
	$(TOX) -q -e docs

environment:
	@$(BOOTSTRAP) environment .venv -e '.[all]'

tools:
	@$(BOOTSTRAP) environment .tools tox

clean:
	rm -rf .venv .tools .tox build dist site demo-output .hypothesis \
	  .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
