# `make run` shows gripproxy, `make test` checks it. Everything lands in .venv and .tox beside this file.

PYTHON ?= python3
VENV := .venv

# What the integration, conformance and browser tests drive, by Debian's package names.
# The last line is for the package itself.
TEST_PACKAGES := \
	chromium chromium-driver curl haproxy iproute2 libnginx-mod-nchan nginx nodejs php-fpm procps prometheus pushpin wrk \
	bash-completion debhelper debootstrap dpkg-dev lintian logrotate mandoc python3 python3-seccomp systemd zsh

.PHONY: help run install test test-packages bench c1m deb reference clean

help:
	@echo 'make run            install into $(VENV) and start the demo (ARGS="--port 8080" reaches it)'
	@echo 'make install        install into $(VENV)'
	@echo 'make test-packages  apt-get install what the tests drive (as root)'
	@echo 'make test           all that a push must pass'
	@echo 'make bench          measure beside Pushpin, nchan and nginx (ARGS="fan_out --size full --save")'
	@echo 'make c1m            hold a million clients (ARGS="--connections 100000"); as root, it sets kernel limits and puts them back'
	@echo 'make deb            build Debian'\''s package into dist/ (once the wheels are fetched, it needs no network)'
	@echo 'make reference      write docs/configuration.md of the code'
	@echo 'make clean          remove $(VENV), .tox and caches'

run: $(VENV)/.installed
	@$(VENV)/bin/gripproxy demo $(ARGS)

install: $(VENV)/.installed

test: $(VENV)/.tox-installed
	$(VENV)/bin/tox run

test-packages:
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(TEST_PACKAGES)
	@# Where nodejs is not Debian's, npm comes with it and refuses the package.
	command -v npm || DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends npm

bench: $(VENV)/.installed
	$(VENV)/bin/python -m benchmarks --against pushpin,nchan,nginx $(ARGS)

c1m: $(VENV)/.bench-installed
	$(VENV)/bin/python -m benchmarks.c1m $(ARGS)

deb: $(VENV)/.installed
	$(VENV)/bin/python -m deploy.package build $(ARGS)

reference: $(VENV)/.installed
	$(VENV)/bin/python -m deploy.reference

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'gripproxy needs Python 3.11 or newer; "$(PYTHON)" is not. Try: make PYTHON=python3.11 $(MAKECMDGOALS)'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo 'Python cannot make a virtual environment here. On Debian: apt-get install python3-venv'; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/bin/pip
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.bench-installed: $(VENV)/.installed
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

$(VENV)/.tox-installed: | $(VENV)/bin/pip
	$(VENV)/bin/pip install --quiet --disable-pip-version-check 'tox>=4.20'
	@touch $@

clean:
	rm -rf $(VENV) .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info src/*.egg-info
