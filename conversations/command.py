"""`camelid conversations convert|split|show|audit|stats`."""

from typing import Any

from conversations.convert_command import register_convert
from conversations.look_command import register_look
from conversations.split_command import register_split


def register(rooms: Any) -> None:
    """Add the `conversations` commands."""
    room = rooms.add_parser("conversations", help="turn exported chats into clean training data")
    verbs = room.add_subparsers(metavar="VERB", required=True)
    register_convert(verbs)
    register_split(verbs)
    register_look(verbs)
