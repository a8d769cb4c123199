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

install() { .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }

say "Installing into .venv …"
locked=(-r requirements.txt)
[[ ${1:-} != --dev ]] || locked+=(-r requirements-dev.txt)
install --require-hashes "${locked[@]}"
# By itself: pip takes no hash of a folder. What it needs to run, and what builds it, is there by now.
install --no-deps --no-build-isolation -e kit
[[ ${1:-} != --dev ]] || touch .venv/installed-dev
touch .venv/installed
./make_env.sh
