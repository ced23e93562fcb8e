"""What is trained in one piece: every answer behind the very prompt it will have when the model serves."""

from dataclasses import replace

from camelid.message import Conversation
from conversations.tokens.span import ChatFormat, loss_weight


def answer_documents(conversation: Conversation, template: ChatFormat) -> list[Conversation]:
    """The conversation itself, or as many beginnings of it as it takes.

    Most formats only add to what stands there. One that writes earlier turns anew when more is said, without what was
    thought, say, gets one document for each answer, and answers that stand in a later one's are trained there.

    Raises:
        UserError: the format cannot write it.
    """
    messages = conversation.messages
    trained = [index for index, message in enumerate(messages) if loss_weight(message)]
    if not trained or template.standing(conversation).issuperset(trained):
        return [conversation]
    parts = []
    while trained:
        last = trained[-1]
        meta = conversation.meta
        if last < len(messages) - 1:
            meta = {name: value for name, value in meta.items() if name != "truncated"}  # said of the last answer
        part = replace(conversation, messages=messages[: last + 1], meta=meta)
        here = template.standing(part).intersection(trained)
        trained = [index for index in trained if index not in here]
        kept = tuple(
            message if message.role != "assistant" or index in here else replace(message, weight=0.0)
            for index, message in enumerate(part.messages)
        )
        parts.append(replace(part, messages=kept))
    return parts[::-1]
