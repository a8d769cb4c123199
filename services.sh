# What the scripts beside it share. Sourced, not run.
# shellcheck shell=bash
set -euo pipefail
umask 077 # settings, databases, ledgers and logs are for their owner's eyes only
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$ROOT"
# What one terminal has set for one program must not reach all seven.
unset PORT HOST DATABASE_URI

# Which services there are says a table, which Python reads too.
TABLE=kit/src/shop_services/services.txt
GATEWAY=api-gateway
SERVICES=()
while read -r name _; do
  [[ -z $name || $name == '#'* || $name == "$GATEWAY" ]] || SERVICES+=("$name")
done <"$TABLE"

say() { printf '%s\n' "$*"; }
die() {
  printf '%s\n' "$*" >&2
  exit 1
}

# Let one script that changes something work at a time; those that it calls share its lock, which ends with it.
one_at_a_time() {
  mkdir -p .run
  ! [[ /dev/fd/9 -ef .run/lock ]] || return 0
  exec 9>>.run/lock
  take_lock -n || {
    say "Another script is at work on this shop; waiting for it …"
    take_lock
  }
}

take_lock() {
  if command -v flock >/dev/null; then
    flock "$@" 9
  else
    "${PYTHON:-python3}" -c 'import fcntl, sys; fcntl.flock(9, fcntl.LOCK_EX | (fcntl.LOCK_NB if sys.argv[1:] else 0))' "$@" 2>/dev/null
  fi
}

# Whether .venv has what the services need now.
is_installed() {
  [[ -e .venv/installed && -z $(find requirements.txt kit/pyproject.toml -newer .venv/installed) ]]
}

make_ready() {
  is_installed || ./install_dependencies.sh
  ./make_env.sh
}

folder_of() {
  if [[ $1 == "$GATEWAY" ]]; then echo "$1"; else echo "services/$1"; fi
}

# How gunicorn serves it: threads, or gevent for what holds many connections open.
kind_of() { column_of "$1" 4; }

column_of() { awk -v name="$1" -v column="$2" '$1 == name { print $column }' "$TABLE"; }

# What a setting is in the .env of each named service, a line each, as Python reads it: settings_of PORT cart-service …
settings_of() {
  local name folders=()
  for name in "${@:2}"; do folders+=("$(folder_of "$name")"); done
  .venv/bin/python -m shopkit.env_file "$1" "${folders[@]}"
}

PORTS= # " auth-service=5001 …", once they have been read

read_ports() {
  local name port ports
  ports=$(settings_of PORT "${SERVICES[@]}" "$GATEWAY")
  for name in "${SERVICES[@]}" "$GATEWAY"; do
    IFS= read -r port || true # the last lines may be empty
    PORTS+=" $name=${port:-$(column_of "$name" 3)}"
  done <<<"$ports"
}

port_of() {
  local after
  [[ -n $PORTS ]] || read_ports
  after=${PORTS#* "$1="}
  echo "${after%% *}"
}

# Process ids and titles of all that gunicorn runs, here and elsewhere.
# From /proc where there is one: small Linux images have no ps, and other systems no /proc.
gunicorns() {
  local file title
  if [[ ! -d /proc/self ]]; then
    # shellcheck disable=SC2009  # pgrep tells no titles everywhere
    ps -axo pid=,command= | grep -F 'gunicorn: '
    return
  fi
  for file in /proc/[0-9]*/cmdline; do
    IFS= read -r -d '' title <"$file" || true
    [[ $title != 'gunicorn: '* ]] || printf '%s %s\n' "${file//[^0-9]/}" "$title"
  done
} 2>/dev/null

# The processes of a service of this checkout; `master` or `worker` narrows them. They are told by what they are
# called and where they work: a pid file may be lost, and a process id from before a reboot may belong to anybody.
processes_of() {
  local pid title
  while read -r pid title; do
    # shellcheck disable=SC2053  # a pattern
    [[ $title != *'gunicorn: '${2:-*}" [$1]"* ]] || ! works_in "$pid" "$(folder_of "$1")" || echo "$pid"
  done < <(gunicorns)
}

works_in() {
  local folder
  if [[ -d /proc/self ]]; then
    # Of somebody else's process one cannot see it. Rather than call it stopped, it is taken for ours.
    folder=$(readlink "/proc/$1/cwd") || [[ -d /proc/$1 ]]
  else
    folder=$(lsof -a -p "$1" -d cwd -Fn 2>/dev/null | sed -n 's/^n//p')
  fi && [[ -z $folder || $folder -ef $2 ]]
}

is_running() { [[ -n $(processes_of "$1" master) ]]; }

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
  [[ -n $PORTS ]] || read_ports # here, as in a subshell it would be forgotten
  for name in "$@"; do
    if is_running "$name"; then
      say "  $name is running already"
      continue
    fi
    stop "$name" >/dev/null # workers whose master was killed hold its port for a while
    port=$(port_of "$name")
    ! port_is_taken "$port" || die "Port $port, which $name needs, is taken by another program. Stop that one, or change PORT in $(folder_of "$name")/.env."
    starting+=("$name")
    arguments+=("$(folder_of "$name")=$(kind_of "$name")")
  done
  ((${#starting[@]})) || return 0
  # One heap is enough: only one thread of a Python process allocates at a time, and each further heap costs memory.
  # glibc would raise its two thresholds with the largest block it has seen, and never give back what is below them.
  # What runs on must not hold our lock (9).
  MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=131072 \
    .venv/bin/python -m shopkit.server.launcher "${arguments[@]}" 9>&-
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

# Stop those of the named services that run: politely, and after ten seconds by force. Fails if one runs on.
stop() {
  local name deadline stopping=() failed=0
  for name in "$@"; do
    [[ ! -e .run/$name.pid && -z $(processes_of "$name") ]] || stopping+=("$name")
    send TERM "$name" master
  done
  ((${#stopping[@]})) || return 0
  deadline=$((SECONDS + 10))
  for name in "${stopping[@]}"; do ends_by "$deadline" "$name" || true; done
  for name in "${stopping[@]}"; do send KILL "$name"; done
  deadline=$((SECONDS + 5))
  for name in "${stopping[@]}"; do
    if ends_by "$deadline" "$name"; then
      rm -f ".run/$name.pid"
      say "  $name is stopped"
    else
      say "  $name still runs and cannot be stopped: process $(processes_of "$name" | tr '\n' ' ')" >&2
      failed=1
    fi
  done
  return "$failed"
}

send() {
  local pid
  for pid in $(processes_of "${@:2}"); do
    kill "-$1" "$pid" 2>/dev/null || true # it may have ended by itself
  done
}

ends_by() {
  until [[ -z $(processes_of "$2") ]]; do
    ((SECONDS < $1)) || return 1
    sleep 0.1
  done
}
