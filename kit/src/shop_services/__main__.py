"""Write docker-compose.yml for the services of the table: `python -m shop_services > docker-compose.yml`."""

import sys
from collections.abc import Iterator

from shop_services import GATEWAY, SERVICES, ServiceEntry

_HEAD = """\
# Made by `make compose` from kit/src/shop_services; do not edit.
# The whole shop in containers: ./make_env.sh && docker-compose up -d --build
# Each service has its own database, a SQLite file in a volume; DATABASE_URI in its .env makes it PostgreSQL.
#
# Only this machine reaches the gateway, unless GATEWAY_ADDRESS=0.0.0.0 (in the environment, or in .env beside this
# file) says so. The services then refuse to make the demonstration's accounts, whose passwords everybody knows.

x-service: &service
  restart: unless-stopped
  logging: {driver: json-file, options: {max-size: 10m, max-file: "4"}}
  environment:
    GATEWAY_ADDRESS: ${GATEWAY_ADDRESS:-127.0.0.1}
    # Memory that a crowd needed goes back to the system, as services.sh has it.
    MALLOC_ARENA_MAX: "1"
    MALLOC_MMAP_THRESHOLD_: "131072"
    MALLOC_TRIM_THRESHOLD_: "131072"
"""


def compose() -> str:
    """The whole file."""
    addresses = "".join(f"    {each.address_setting}: http://{each.name}:{each.port}\n" for each in SERVICES)
    containers = "\n".join("".join(_container(each)) for each in (*SERVICES, GATEWAY))
    volumes = "".join(f"  {_volume(each)}:\n" for each in SERVICES)
    return f"{_HEAD}{addresses}\nservices:\n{containers}\nvolumes:\n{volumes}"


def _container(entry: ServiceEntry) -> Iterator[str]:
    yield f"  {entry.name}:\n    <<: *service\n"
    yield f"    build: {{context: ., dockerfile: {entry.folder}/Dockerfile}}\n    env_file: {entry.folder}/.env\n"
    host = "127.0.0.1"
    if entry is GATEWAY:
        host = "${GATEWAY_ADDRESS:-127.0.0.1}"
    else:
        yield f'    volumes: ["{_volume(entry)}:/shop/{entry.folder}/instance"]\n'
    yield f'    ports: ["{host}:{entry.port}:{entry.port}"]\n'
    if entry.starts_after:
        yield "    depends_on:\n"
        yield from (f"      {name}: {{condition: service_healthy}}\n" for name in entry.starts_after)


def _volume(entry: ServiceEntry) -> str:
    return f"{entry.address_setting.removesuffix('_SERVICE_URL').lower().replace('_', '-')}-data"


if __name__ == "__main__":
    sys.stdout.write(compose())
