"""Branches of a tree of messages, which have turns in common."""

from dataclasses import replace

from camelid.message import Message
from conversations.formats.chat import Chat


class TrainedOnce:
    """Gives an answer that stands in several branches its share of the loss in the first of them alone.

    It tells answers by the object, not by the text: branches that have a turn in common must have the same `Message`.
    """

    def __init__(self) -> None:
        self._trained: dict[int, Message] = {}  # by its id; kept, so that no other object can have that id

    def __call__(self, chat: Chat) -> Chat:
        """The next branch of the tree."""
        messages = chat.conversation.messages
        weighed = tuple(
            replace(message, weight=0.0) if message.role == "assistant" and id(message) in self._trained else message
            for message in messages
        )
        self._trained.update((id(message), message) for message in messages)
        chat.conversation = replace(chat.conversation, messages=weighed)
        return chat
