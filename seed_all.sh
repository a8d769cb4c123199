#!/usr/bin/env bash
# Migrate every database, and fill the empty ones with the data of the demonstration. Safe to run again.
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"

one_at_a_time
make_ready
for name in "${SERVICES[@]}"; do
  (cd "services/$name" && ../../.venv/bin/python seed.py)
  say "  $name is seeded"
done
