PYTHON = .venv/bin/python
FOLDERS = api-gateway $(wildcard services/*-service)

.PHONY: help check format schemas test soak

help:  ## list what can be made
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

check:  ## lint, type-check and shellcheck
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	cd kit/src && ../../$(PYTHON) -m mypy --config-file ../../pyproject.toml -p shopkit -p shop_events -p shop_services
	set -e; root=$$PWD; for folder in $(FOLDERS); do (cd $$folder && "$$root/$(PYTHON)" -m mypy --config-file "$$root/pyproject.toml" .); done
	$(PYTHON) -m mypy test_services.py
	.venv/bin/shellcheck -x *.sh .ci/run

format:  ## format the code, and mend what can be mended
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

schemas:  ## write the JSON Schemas of the events
	$(PYTHON) -m shop_events docs/events

test:  ## run the whole test suite
	./run_tests.sh

soak:  ## attack a whole shop for SOAK_SECONDS (600) and measure what another customer notices
	SOAK_SECONDS=$${SOAK_SECONDS:-600} $(PYTHON) -m pytest -q -s tests/hostile/test_soak.py

coverage:  ## run the tests on SQLite, and write what they do not reach to htmlcov/
	$(PYTHON) -m pytest -q -n 2 --dist loadgroup --ignore=tests/hostile --cov --cov-report=html --cov-report=term:skip-covered

.PHONY: run shell migrate logs coverage compose release

run:  ## one service in the foreground, begun anew when its code changes: make run SERVICE=cart-service
	./run_services.sh run $(SERVICE)

shell:  ## a Python prompt with a service's app: make shell SERVICE=cart-service
	./run_services.sh shell $(SERVICE)

migrate:  ## bring the databases, or that of one SERVICE, to the newest schema
	./run_services.sh migrate $(SERVICE)

logs:  ## follow the logs, or that of one SERVICE, in words
	./run_services.sh logs -f $(SERVICE)

compose:  ## write docker-compose.yml for the services of the table
	$(PYTHON) -m shop_services >docker-compose.yml

release:  ## write the version, date the changelog, commit and tag: make release VERSION=1.2.0
	./release.sh $(VERSION)
