"""Socket.IO's packets as clients of the shop send them: events with a name, without attachments, in modest JSON."""

import json
from typing import Any, NoReturn

from socketio.packet import EVENT, Packet

MOST_DIGITS = 32  # of a number: who wants more is refused before anything is converted
MOST_OF_NAMESPACE = 100


def _int(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError("a number with too many digits")
    return int(digits)


def _float(digits: str) -> float:
    if len(digits) > MOST_DIGITS:
        raise ValueError("a number with too many digits")
    return float(digits)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_read = json.JSONDecoder(parse_int=_int, parse_float=_float, parse_constant=_refuse).decode


class Json:
    """What Socket.IO calls to read and write JSON."""

    dumps = staticmethod(json.dumps)

    @staticmethod
    def loads(text: str | bytes) -> Any:
        """Read what a client sends, or, in bytes, what comes from other instances through Redis.

        :raise ValueError: it is none, has a number of too many digits, or goes too deep.
        """
        try:
            return _read(text if isinstance(text, str) else text.decode())
        except RecursionError:
            raise ValueError("it goes too deep") from None


class ModestPacket(Packet):
    json = Json

    def decode(self, encoded_packet: str) -> int:
        """:raise ValueError: it is none that clients may send."""
        if not isinstance(encoded_packet, str) or encoded_packet[:1] not in {"0", "1", "2", "3"}:
            raise ValueError("no packet, or one with attachments")
        if encoded_packet.startswith("/", 1) and "," not in encoded_packet[: MOST_OF_NAMESPACE + 3]:
            raise ValueError("no namespace")
        if super().decode(encoded_packet):
            raise ValueError("attachments are not taken")
        if self.packet_type == EVENT and not (isinstance(self.data, list) and self.data and _is_name(self.data[0])):
            raise ValueError("an event has a name")
        return 0


def _is_name(value: object) -> bool:
    return isinstance(value, str)
