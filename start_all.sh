#!/usr/bin/env bash
# Bring up the whole shop: install what is missing, migrate, fill empty databases, start everything, wait until it works.
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"

is_installed || ./install_dependencies.sh
./make_env.sh
say "Starting …"
start "${SERVICES[@]}" "$GATEWAY"
cat <<TEXT

The shop is open: http://localhost:$(port_of "$GATEWAY")
  customers   alice / password123, bob / password123
  staff       support / password123, admin / password123
  logs        logs/<service>.log
  try it      ./test_services.py
  stop it     ./stop_all.sh
TEXT
