#!/usr/bin/env bash
# Look after the six services: run_services.sh start|stop|restart|status
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"

case ${1:-} in
  start)
    one_at_a_time
    make_ready
    start "${SERVICES[@]}"
    ;;
  stop)
    one_at_a_time
    stop "${SERVICES[@]}"
    ;;
  restart)
    one_at_a_time
    make_ready
    stop "${SERVICES[@]}"
    start "${SERVICES[@]}"
    ;;
  status)
    for name in "${SERVICES[@]}"; do
      if ! is_running "$name"; then
        say "  $name is stopped"
      elif is_ready "$(port_of "$name")"; then
        say "  $name is ready on port $(port_of "$name")"
      else
        say "  $name is running, but not ready: see logs/$name.log"
      fi
    done
    ;;
  *) die "usage: $0 start|stop|restart|status" ;;
esac
