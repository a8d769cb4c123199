#!/usr/bin/env bash
# Look after the services, all six or the named ones, or work on one: run_services.sh help
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"

usage() {
  cat <<TEXT
$0 start|stop|restart|status [SERVICE …]    in the background; without a name the six services, not the gateway
$0 logs [-f] [SERVICE …]                    their newest lines in words, those of the gateway too; -f goes on with new ones
$0 migrate [SERVICE …]                      bring their databases to the newest revision
$0 run SERVICE                              in the foreground, begun anew whenever its code changes; breakpoint() works
$0 shell SERVICE                            a Python prompt with its app
TEXT
}

# The arguments, if each is a service, or all services.
chosen() {
  local name
  for name in "$@"; do
    [[ " ${SERVICES[*]} $GATEWAY " == *" $name "* ]] || die "There is no $name. There are: ${SERVICES[*]} $GATEWAY"
  done
  if (($#)); then echo "$@"; else echo "${SERVICES[@]}"; fi
}

# The one service that a command is about.
only_one() {
  (($# == 1)) || die "Name one service: ${SERVICES[*]} $GATEWAY"
  chosen "$1"
}

show_status() {
  local name
  [[ -n $PORTS ]] || read_ports
  for name in "$@"; do
    if ! is_running "$name"; then
      say "  $name is stopped"
    elif is_ready "$(port_of "$name")"; then
      say "  $name is ready on port $(port_of "$name")"
    else
      say "  $name is running, but not ready: see logs/$name.log"
    fi
  done
}

show_logs() {
  local follow=0 name files=()
  if [[ ${1:-} == -f ]]; then
    follow=1
    shift
  fi
  if (($# == 0)); then set -- "${SERVICES[@]}" "$GATEWAY"; fi
  chosen "$@" >/dev/null
  for name in "$@"; do
    [[ ! -e logs/$name.log ]] || files+=("logs/$name.log")
  done
  ((${#files[@]})) || die "There are no logs yet."
  if ((follow)); then
    tail -q -n 20 -F "${files[@]}" 2>/dev/null | .venv/bin/python -m shopkit.readable_logs
  else
    tail -q -n 200 "${files[@]}" | .venv/bin/python -m shopkit.readable_logs --sort
  fi
}

migrate() {
  local name
  for name in "$@"; do
    [[ -d $(folder_of "$name")/migrations ]] || continue
    (cd "$(folder_of "$name")" && "$ROOT/.venv/bin/python" -c 'from shopkit import prepare; prepare.main(seed=False)')
    say "  $name has the newest schema"
  done
}

run_in_foreground() {
  local port
  stop "$1"
  port=$(port_of "$1")
  cd "$(folder_of "$1")"
  exec 9>&- # others may work on the shop meanwhile
  exec "$ROOT/.venv/bin/python" -m flask --app shopkit.develop run --debug --port "$port" \
    2> >("$ROOT/.venv/bin/python" -m shopkit.readable_logs >&2)
}

open_shell() {
  cd "$(folder_of "$1")"
  exec 9>&-
  exec "$ROOT/.venv/bin/python" -m flask --app app shell
}

command=${1:-}
(($# == 0)) || shift
case $command in
  start | stop | restart | status | migrate) names=$(chosen "$@") ;;
  run | shell) names=$(only_one "$@") ;;
  logs)
    show_logs "$@"
    exit
    ;;
  help | -h | --help)
    usage
    exit
    ;;
  *) die "$(usage)" ;;
esac
read -r -a names <<<"$names"

if [[ $command == status ]]; then
  show_status "${names[@]}"
  exit
fi
one_at_a_time
[[ $command == stop ]] || make_ready
case $command in
  start) start "${names[@]}" ;;
  stop) stop "${names[@]}" ;;
  restart)
    stop "${names[@]}"
    start "${names[@]}"
    ;;
  migrate) migrate "${names[@]}" ;;
  run) run_in_foreground "${names[0]}" ;;
  shell) open_shell "${names[0]}" ;;
esac
