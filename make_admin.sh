#!/usr/bin/env bash
# Make somebody an administrator, or say what else an account may do; without one it is opened. Asks for a password.
# make_admin.sh NAME [--email ADDRESS] [--role admin|support|customer] [--password]
source "$(dirname "${BASH_SOURCE[0]}")/services.sh"

make_ready
cd services/auth-service
exec ../../.venv/bin/python make_admin.py "$@"
