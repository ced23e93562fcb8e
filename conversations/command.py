"""`camelid conversations convert|dedup|score|split|show|audit|stats|templates|preferences`."""

import argparse
from collections.abc import Callable
from typing import Any

from camelid.models.model_run import OpenModel
from camelid.text.dedup_command import add_dedup_arguments, dedup_corpus
from conversations.convert_command import register_convert
from conversations.look_command import register_look
from conversations.preferences_command import register_preferences
from conversations.score_command import ModelOpeners, register_score
from conversations.split_command import register_split
from conversations.templates_command import register_templates


def register(
    rooms: Any,
    open_model: OpenModel,
    add_model_arguments: Callable[[argparse.ArgumentParser], None],
    openers: ModelOpeners,
) -> None:
    """Add the `conversations` commands."""
    room = rooms.add_parser("conversations", help="turn exported chats into clean training data")
    verbs = room.add_subparsers(metavar="VERB", required=True)
    register_convert(verbs)
    dedup = verbs.add_parser("dedup", help="drop near-duplicates from conversations of any number, on any cluster")
    add_dedup_arguments(dedup, "conversations that convert wrote,", "conversations")
    dedup.set_defaults(run=run_dedup)
    register_score(verbs, open_model, add_model_arguments, openers)
    register_split(verbs)
    register_look(verbs)
    register_templates(verbs)
    register_preferences(verbs)


def run_dedup(args: argparse.Namespace) -> int:
    """De-duplicate conversations."""
    from conversations.dedup import CONVERSATIONS

    return dedup_corpus(args, CONVERSATIONS)
