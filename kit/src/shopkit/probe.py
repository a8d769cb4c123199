"""Ask the service of this container whether it is ready; the exit code says so. `python -m shopkit.probe`"""

import sys
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import shop_services
from shopkit.settings import server_count


def is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not is_ready(server_count("PORT", shop_services.port_of(Path.cwd().name))))
