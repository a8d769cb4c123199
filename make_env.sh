#!/usr/bin/env bash
# Make each service's .env from its .env.example, with fresh random secrets, and add to an older one what it lacks.
# What stands there is never changed. SEED_DEMO_DATA=false ./make_env.sh makes those of a real shop.
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"

random_secret() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

# The secret of a service's account stands in two files, its own and the auth service's: whichever is there decides.
account_secret() {
  local known
  known=$(sed -n 's/^SERVICE_CLIENT_SECRET=//p' "services/$1/.env" 2>/dev/null | grep . ||
    sed -n "s/^SERVICE_CLIENTS=.*$1:\([^,]*\).*/\1/p" services/auth-service/.env 2>/dev/null | grep . | tail -n 1 || true)
  echo "${known:-$(random_secret)}"
}

# A line of an example, with the secrets that it asks for.
filled_in() {
  local line=${1/<random>/$(random_secret)}
  while [[ $line =~ '<secret of '([a-z-]+)'>' ]]; do
    line=${line/"${BASH_REMATCH[0]}"/$(account_secret "${BASH_REMATCH[1]}")}
  done
  printf '%s\n' "$line"
}

make() {
  local line
  while IFS= read -r line; do
    [[ $line != SEED_DEMO_DATA=* ]] || line=SEED_DEMO_DATA=${SEED_DEMO_DATA:-true}
    filled_in "$line"
  done <"$1/.env.example" >"$1/.env.new"
  mv "$1/.env.new" "$1/.env"
  say "  made $1/.env"
}

# A setting that is commented out is there: somebody has decided about it.
has_setting() { grep -qE "^[#[:space:]]*(export[[:space:]]+)?$2[[:space:]]*=" "$1/.env"; }

# Add lines to a service's .env, whose last line may lack its end.
append() {
  [[ -z $(tail -c 1 "$1/.env") ]] || echo >>"$1/.env"
  printf '%s\n' "$2" >>"$1/.env"
}

# Settings that are newer than the file, each with the comment above it.
add_missing() {
  local line name comment='' added='' names=()
  while IFS= read -r line; do
    case $line in
      '#'*) comment+=$line$'\n' ;;
      *=*)
        name=${line%%=*}
        has_setting "$1" "$name" || case $name in
          # Every version had them: they are lost and not new, and the service says so. A fresh key would sign
          # everybody out without a word.
          SECRET_KEY | JWT_SECRET_KEY) ;;
          *)
            # Whoever has no such line has said no to accounts whose passwords everybody knows.
            [[ $name != SEED_DEMO_DATA ]] || line=SEED_DEMO_DATA=false
            added+=$comment$(filled_in "$line")$'\n'
            names+=("$name")
            ;;
        esac
        comment=
        ;;
      *) comment= ;;
    esac
  done <"$1/.env.example"
  ((${#names[@]})) || return 0
  append "$1" "${added%$'\n'}"
  say "  added ${names[*]} to $1/.env"
}

# Accounts that are newer than the auth service's file get a line that counts instead of the one above it. One that
# has another secret there is only named, as what exists is not ours to change.
introduce_accounts() {
  local name secret secrets clients new=()
  clients=$(settings_of SERVICE_CLIENTS auth-service)
  clients=${clients// /}
  secrets=$(settings_of SERVICE_CLIENT_SECRET "${SERVICES[@]}")
  for name in "${SERVICES[@]}"; do
    IFS= read -r secret || true # the last lines may be empty
    if [[ -z $secret || ,$clients, == *",$name:$secret,"* ]]; then
      continue
    elif [[ ,$clients == *",$name:"* ]]; then
      say "  services/auth-service/.env has another secret for $name: SERVICE_CLIENTS needs $name:<its SERVICE_CLIENT_SECRET>" >&2
    else
      clients+=${clients:+,}$name:$secret
      new+=("$name")
    fi
  done <<<"$secrets"
  ((${#new[@]})) || return 0
  append services/auth-service "# With the accounts of ${new[*]}."$'\n'"SERVICE_CLIENTS=$clients"
  say "  added the accounts of ${new[*]} to services/auth-service/.env"
}

# What an older example gave as a lease is shorter than a step of a checkout can take, and the service would not start.
lengthen_lease() {
  [[ $(settings_of CHECKOUT_LEASE_SECONDS order-service) == 60 ]] || return 0
  append services/order-service $'# The 60 from before is less than a step can take.\nCHECKOUT_LEASE_SECONDS=120'
  say "  added CHECKOUT_LEASE_SECONDS=120 to services/order-service/.env: 60, as it was, is too short by now"
}

one_at_a_time
for name in "${SERVICES[@]}" "$GATEWAY"; do
  folder=$(folder_of "$name")
  if [[ -e $folder/.env ]]; then
    chmod go= "$folder/.env"
    add_missing "$folder"
  else
    make "$folder"
  fi
done
# What older files lack is seen once everything is installed, which ends with this script. New files lack nothing.
if [[ -x .venv/bin/python ]]; then
  introduce_accounts
  lengthen_lease
fi
