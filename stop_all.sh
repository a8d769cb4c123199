#!/usr/bin/env bash
# Stop the gateway and the services, exactly those that were started here. Data stays.
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"

one_at_a_time
stop "$GATEWAY" "${SERVICES[@]}"
