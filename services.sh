# The one list of services and ports, and what the scripts beside it share. Sourced, not run.
# shellcheck shell=bash
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$ROOT"
# What one terminal has set for one program must not reach all seven.
unset PORT HOST DATABASE_URI

# shellcheck disable=SC2034  # used by those who source this
SERVICES=(auth-service profile-service product-service cart-service order-service customer-support-service)
GATEWAY=api-gateway

# Whether .venv has what the services need now.
is_installed() {
  [[ -e .venv/installed && -z $(find constraints.txt api-gateway/requirements.txt services/*/requirements.txt kit/pyproject.toml -newer .venv/installed) ]]
}

folder_of() {
  if [[ $1 == "$GATEWAY" ]]; then echo "$1"; else echo "services/$1"; fi
}

# How gunicorn serves it: threads, or gevent for what holds many connections open.
kind_of() {
  case $1 in
    "$GATEWAY" | customer-support-service) echo gevent ;;
    *) echo threads ;;
  esac
}

port_of() { sed -n 's/^PORT=//p' "$(folder_of "$1")/.env" | tail -n 1; }

say() { printf '%s\n' "$*"; }
die() {
  printf '%s\n' "$*" >&2
  exit 1
}

pid_of() { cat ".run/$1.pid" 2>/dev/null; }

# Alive and ours: a process id from before a reboot may belong to anybody.
is_running() {
  local pid command
  pid=$(pid_of "$1") && command=$(command_of "$pid") && [[ $command == *"[$1]"* || $command == *shopkit.launcher* ]]
}

# From /proc where there is one: small Linux images have no ps, and other systems no /proc.
command_of() {
  if [[ -d /proc/self ]]; then
    [[ -r /proc/$1/cmdline ]] && tr '\0' ' ' <"/proc/$1/cmdline"
  else
    ps -o command= -p "$1"
  fi
} 2>/dev/null

port_is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# In a subshell, so that the connection ends with it; bash reports a refused one on standard error.
is_ready() (
  exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
  printf 'GET /health/ready HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
  read -r -t 5 _ status _ <&3 && [[ $status == 200 ]]
)

# Start those of the named services that are not running, all at once, and wait until each is ready.
# If one cannot start, say why and stop again what was started.
start() {
  local name port starting=() arguments=()
  mkdir -p .run logs
  for name in "$@"; do
    if is_running "$name"; then
      say "  $name is running already"
      continue
    fi
    port=$(port_of "$name")
    # The workers of one that was killed notice it within a second or two, and hold its port until then.
    for _ in {1..30}; do
      if [[ ! -e .run/$name.pid ]] || ! port_is_taken "$port"; then break; fi
      sleep 0.1
    done
    ! port_is_taken "$port" || die "Port $port, which $name needs, is taken by another program. Stop that one, or change PORT in $(folder_of "$name")/.env."
    starting+=("$name")
    arguments+=("$(folder_of "$name")=$(kind_of "$name")")
  done
  ((${#starting[@]})) || return 0
  # One heap is enough: only one thread of a Python process allocates at a time, and each further heap costs memory.
  MALLOC_ARENA_MAX=1 .venv/bin/python -m shopkit.launcher "${arguments[@]}"
  for name in "${starting[@]}"; do
    wait_until_ready "$name" || {
      stop "${starting[@]}" >/dev/null
      exit 1
    }
    say "  $name is ready on port $(port_of "$name")"
  done
}

wait_until_ready() {
  local name=$1 port deadline=$((SECONDS + 60))
  port=$(port_of "$name")
  until is_ready "$port"; do
    if ! is_running "$name" || ((SECONDS > deadline)); then
      say "$name did not start. The end of logs/$name.log:" >&2
      tail -n 15 "logs/$name.log" >&2
      return 1
    fi
    sleep 0.1
  done
}

# Stop those of the named services that run: politely, and after ten seconds by force.
stop() {
  local name pid deadline
  for name in "$@"; do
    ! is_running "$name" || kill -TERM "$(pid_of "$name")"
  done
  for name in "$@"; do
    pid=$(pid_of "$name") || continue
    deadline=$((SECONDS + 10))
    while is_running "$name" && ((SECONDS < deadline)); do sleep 0.1; done
    ! is_running "$name" || kill -KILL "$pid"
    rm -f ".run/$name.pid"
    say "  $name is stopped"
  done
}
