"""`camelid conversations`."""

from typing import Any

from conversations.convert_command import register_convert


def register(rooms: Any) -> None:
    """Add the `conversations` commands."""
    room = rooms.add_parser("conversations", help="turn exported chats into clean training data")
    verbs = room.add_subparsers(metavar="VERB", required=True)
    register_convert(verbs)
