#!/usr/bin/env bash
# Bring up the whole shop: install what is missing, migrate, fill empty databases, start everything, wait until it works.
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"

one_at_a_time
make_ready
say "Starting …"
start "${SERVICES[@]}" "$GATEWAY"
say
say "The shop is open: http://localhost:$(port_of "$GATEWAY")"
if [[ ${SEED_DEMO_DATA-$(settings_of SEED_DEMO_DATA auth-service)} == true ]]; then
  say "  customers   alice / password123, bob / password123"
  say "  staff       support / password123, admin / password123"
else
  say "  staff       ./make_admin.sh NAME makes an administrator"
fi
cat <<TEXT
  logs        logs/<service>.log
  try it      ./test_services.py
  stop it     ./stop_all.sh
TEXT
