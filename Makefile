# Every verb of a developer. `make demo` and `make test` set up what they need on a fresh Debian 12.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready

.PHONY: agent-wheel help demo example up unit test clients lint prove bench docs setup clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   set up, then play the story of the little bank once"
	@echo "make example NAME=bank-portal"
	@echo "            set up, then play one of the examples; without NAME it lists them"
	@echo "make up     set up, then run a door of your own in ./data"
	@echo "make unit   set up, then run the tests that need no server: less than two minutes"
	@echo "make test   set up, then run the whole test suite"
	@echo "make clients  set up, then try the enrolment clients of other people; NAMES=\"pest curl\" chooses some"
	@echo "make lint   style, types, import contracts, file sizes, words"
	@echo "make prove  the long proofs: latencies over many tries, restarts, a storm, generated chains, fuzzing"
	@echo "make bench  measurements, as ratios to a peer in the same run; QUICK=1 takes five minutes, NAMES=\"connections\" chooses some"
	@echo "make agent-wheel"
	@echo "            build doorward-agent, the small package for machines with certificates, into dist/"
	@echo "make docs   write the generated reference pages again"
	@echo "make clean  remove what the above made"

# The tools of Debian that the set-up and the tests call; skipped where they are there already.
$(STAMP): pyproject.toml constraints.txt tools/setup.sh
	@tools/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $@

setup: $(STAMP)

demo: $(STAMP)
	$(BIN)/doorward demo --once

# Only a name that is listed is played; each example is one folder with its own day.py.
EXAMPLES := $(patsubst examples/%/day.py,%,$(wildcard examples/*/day.py))

example: $(if $(filter $(EXAMPLES),$(NAME)),$(STAMP))
	@case " $(EXAMPLES) " in *" $(NAME) "*) [ -n "$(NAME)" ] ;; *) false ;; esac || { \
		echo "there is no example named '$(NAME)'; name one with NAME=:" >&2; \
		for one in $(EXAMPLES); do echo "  make example NAME=$$one" >&2; done; exit 2; }
	$(BIN)/python examples/$(NAME)/day.py

up: $(STAMP)
	$(BIN)/doorward up --data data

unit: $(STAMP)
	@tools/debian.sh openssl:openssl curl:curl
	$(BIN)/python -m tools.checks unit

# strongSwan only recommends the plugins with which it reads certificates with ECDSA keys.
ECDSA_OF_STRONGSWAN := /usr/lib/ipsec/plugins/libstrongswan-openssl.so:libstrongswan-standard-plugins

test: $(STAMP)
	@tools/debian.sh openssl:openssl curl:curl pk12util:libnss3-tools nginx:nginx \
		pg_ctlcluster:postgresql mosquitto:mosquitto mosquitto_pub:mosquitto-clients pki:strongswan-pki $(ECDSA_OF_STRONGSWAN) promtool:prometheus \
		chromium:chromium firefox-esr:firefox-esr node:nodejs
	$(BIN)/python -m tools.checks test

clients: $(STAMP)
	@tools/debian.sh openssl:openssl curl:curl pki:strongswan-pki $(ECDSA_OF_STRONGSWAN) mosquitto:mosquitto mosquitto_pub:mosquitto-clients
	$(BIN)/python -m tests.clients $(NAMES)

lint: $(STAMP)
	$(BIN)/python -m tools.checks lint

prove: $(STAMP)
	$(BIN)/python -m tools.checks prove

# QUICK=1 takes five minutes; NAMES="connections evidence" chooses some.
bench: $(STAMP)
	@tools/debian.sh gcc:gcc openssl:openssl nginx:nginx haproxy:haproxy /usr/include/openssl/ssl.h:libssl-dev
	@tools/openbao.sh $(BIN)/python .cache/openbao
	$(BIN)/python -m bench $(if $(QUICK),--quick) $(NAMES)

agent-wheel: $(STAMP)
	$(BIN)/python -m tools.agent_wheel dist

docs: $(STAMP)
	$(BIN)/python -m tools.reference

clean:
	rm -rf $(VENV) .coverage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
