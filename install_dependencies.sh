#!/usr/bin/env bash
# Install what the services need into .venv, and make their .env files. Safe to run again; --dev adds the test tools.
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"

python=${PYTHON:-python3}
command -v "$python" >/dev/null || die "Python 3.11 or newer is needed, and '$python' is not there."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  die "Python 3.11 or newer is needed; '$python' is $("$python" -V). Name another one: PYTHON=python3.12 $0"

one_at_a_time
if ! .venv/bin/python -c '' 2>/dev/null; then
  "$python" -m venv --clear .venv || die "A virtual environment could not be made; on Debian and Ubuntu: apt install python3-venv"
fi

install() { "$ROOT/.venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$ROOT/constraints.txt" "$@"; }

say "Installing into .venv …"
requirements=()
for name in "${SERVICES[@]}"; do requirements+=(-r "../$name/requirements.txt"); done
# Paths in a requirements file are relative to the folder where pip runs.
(cd services/auth-service && install "${requirements[@]}")
(cd "$GATEWAY" && install -r requirements.txt)
if [[ ${1:-} == --dev ]]; then
  install -r requirements-dev.txt
  touch .venv/installed-dev
fi
touch .venv/installed
./make_env.sh
