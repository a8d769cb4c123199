"""Who may stay connected: a socket ends with the session it was opened in, with its token, or if its account changes.

Events tell of sessions and accounts. They reach one instance; what it says to the rooms of a session or of an account
reaches the sockets of all.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask_socketio import SocketIO, join_room

from listeners import SESSION_ENDED, CheckingManager
from shop_events import AccountChanged, SessionEnded
from shopkit.auth import User
from shopkit.server import socketio_server
from shopkit.transactions import after_commit

SIGNED_OUT = {"code": "session_ended", "error": "The session has ended: sign in again."}
CHANGED = {"code": "account_changed", "error": "The account has changed: connect again."}
EXPIRED = {"code": "token_expired", "error": "The token has expired: connect again with a new one."}


@dataclass(frozen=True)
class Standing:
    """The sockets of whom it is about are found by the rooms that they were put in when they connected."""

    socketio: SocketIO

    def begin(self, user: User) -> None:
        """Let the one who connects at this moment stay for as long as their session, token and account are as they are.

        :raise TooManySockets: they are connected too often.
        """
        socketio_server.sign_in(self.socketio, user.id, user.expires_at.timestamp() if user.expires_at else math.inf)
        join_room(_room_of_account(user.id))
        if user.session_id:
            join_room(_room_of_session(user.session_id))

    def end_session(self, session: SessionEnded) -> None:
        self._end(_room_of_session(session.session_id), SIGNED_OUT)

    def end_account(self, account: AccountChanged) -> None:
        """They connect again, as who they are now."""
        self._end(_room_of_account(account.user_id), CHANGED)

    def _end(self, room: str, why: dict[str, Any]) -> None:
        after_commit(partial(self.socketio.emit, SESSION_ENDED, why, to=room))


def expire(manager: CheckingManager, sid: str) -> None:
    manager.dismiss(sid, "/", SESSION_ENDED, EXPIRED)


def _room_of_session(session_id: str) -> str:
    return f"session-{session_id}"


def _room_of_account(user_id: int) -> str:
    return f"account-{user_id}"
