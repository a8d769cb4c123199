#!/usr/bin/env bash
# Write requirements.txt (what the services need) and requirements-dev.txt (the tools beside it), with the hash of every
# file, for every Python and system that the shop runs on. Versions stay as they are unless their bounds or an argument
# say otherwise: --upgrade takes the newest of all, --upgrade-package NAME of one.
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"

command -v .venv/bin/uv >/dev/null || ./install_dependencies.sh --dev

lock() {
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-strip-extras --annotation-style line --custom-compile-command ./lock_dependencies.sh "$@" >/dev/null
}

say "Locking …"
# The kit is installed by itself. What builds it is locked too, so that nothing unknown is fetched meanwhile.
{
  sed -n 's/^requires = \["\(.*\)"\]$/\1/p' kit/pyproject.toml
  grep -hv '^-e ' services/*/requirements.txt "$GATEWAY/requirements.txt"
} | lock kit/pyproject.toml - --output-file requirements.txt "$@"
lock requirements-dev.in --constraint requirements.txt --output-file requirements-dev.txt "$@"
