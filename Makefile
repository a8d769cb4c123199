PYTHON = .venv/bin/python
FOLDERS = api-gateway $(wildcard services/*-service)

.PHONY: help check format schemas test

help:  ## list what can be made
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/'

check:  ## lint, type-check and shellcheck
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	cd kit/src && ../../$(PYTHON) -m mypy --config-file ../../pyproject.toml -p shopkit -p shop_events
	set -e; root=$$PWD; for folder in $(FOLDERS); do (cd $$folder && "$$root/$(PYTHON)" -m mypy --config-file "$$root/pyproject.toml" *.py); done
	$(PYTHON) -m mypy test_services.py
	.venv/bin/shellcheck -x *.sh .ci/run

format:  ## format the code, and mend what can be mended
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

schemas:  ## write the JSON Schemas of the events
	$(PYTHON) -m shop_events docs/events

test:  ## run the whole test suite
	./run_tests.sh
