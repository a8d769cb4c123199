#!/usr/bin/env bash
# Make each service's .env from its .env.example, with fresh random secrets. What exists is never touched.
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"

random_secret() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

# The secret of a service's account stands in two files, its own and the auth service's: whichever is there decides.
account_secret() {
  local known
  known=$(sed -n 's/^SERVICE_CLIENT_SECRET=//p' "services/$1/.env" 2>/dev/null | grep . ||
    sed -n "s/^SERVICE_CLIENTS=.*$1:\([^,]*\).*/\1/p" services/auth-service/.env 2>/dev/null | grep . || true)
  echo "${known:-$(random_secret)}"
}

for name in "${SERVICES[@]}" "$GATEWAY"; do
  folder=$(folder_of "$name")
  [[ ! -e $folder/.env ]] || continue
  (
    umask 077
    while IFS= read -r line; do
      line=${line/<random>/$(random_secret)}
      while [[ $line =~ '<secret of '([a-z-]+)'>' ]]; do
        line=${line/"${BASH_REMATCH[0]}"/$(account_secret "${BASH_REMATCH[1]}")}
      done
      printf '%s\n' "$line"
    done <"$folder/.env.example" >"$folder/.env.new"
  )
  mv "$folder/.env.new" "$folder/.env"
  say "  made $folder/.env"
done
