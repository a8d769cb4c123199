#!/usr/bin/env bash
# Run the whole test suite: once on SQLite with coverage, then the attacks, then the services' tests on PostgreSQL where
# one is reachable.
# Sets up what is missing. Arguments go to pytest, which then runs alone: ./run_tests.sh services/cart-service -k total
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"

is_installed && [[ -e .venv/installed-dev && ! requirements-dev.txt -nt .venv/installed-dev ]] || ./install_dependencies.sh --dev
pytest() { .venv/bin/python -m pytest "$@"; }
# The same order each time, so that what fails here can be made to fail again; TEST_SEED is another one.
seed=--randomly-seed=${TEST_SEED:-1}

if (($#)); then
  pytest "$@"
  exit
fi

pytest -q "$seed" -n 2 --dist loadgroup --ignore=tests/hostile --cov --cov-report=term:skip-covered --cov-fail-under=94

say "Attacks on a whole shop:" # alone, as they measure how long answers take
pytest -q "$seed" tests/hostile

postgres=${TEST_POSTGRES_URI:-postgresql+psycopg://postgres@127.0.0.1:5432/test}
if .venv/bin/python -c 'import sys, sqlalchemy; sqlalchemy.create_engine(sys.argv[1], connect_args={"connect_timeout": 2}).connect()' "$postgres" 2>/dev/null; then
  say "The services' tests on PostgreSQL:"
  TEST_POSTGRES_URI=$postgres pytest -q "$seed" -n 2 --dist loadgroup --postgres -m "not processes" services
else
  say "Skipped on PostgreSQL: none answers at ${postgres##*@} (TEST_POSTGRES_URI says where one is)."
fi
