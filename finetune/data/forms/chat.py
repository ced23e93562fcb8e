"""`chat`: messages of which the assistant's are trained."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.files.read import Record
from camelid.message import Conversation
from conversations.formats.readers import read_chats, scan_chats
from conversations.formats.record_format import PlacedRecords
from conversations.tokens.fit_tools import LOST_EXCHANGE, LOST_SCHEMAS, NOTHING_LEFT, fit_tools
from conversations.tokens.split import split_conversation
from conversations.tokens.template import template_for
from conversations.tokens.tokenize import Encoder
from finetune.data.forms.form import EncodeContext, TokenizedDocument


class ChatForm:
    """Conversations by a template; longer ones are split at exchange boundaries."""

    name = "chat"
    units = "conversations"
    weighted = True

    def scan(self, path: Path) -> PlacedRecords:
        return scan_chats(path)

    def read(self, record: Record, place: str) -> Iterator[Conversation]:
        try:
            for chat in read_chats(record, place):
                if chat.lost:
                    reasons = ", ".join(chat.lost)
                    raise UserError(f"{place}: not text alone ({reasons}); run `camelid conversations convert` first")
                yield chat.conversation
        except UserError as error:
            if isinstance(record.get("text"), str) and "raw text" in str(error):
                raise UserError(f"{error}; or give the source `form: text`, which trains all of it") from None
            raise

    def encode(self, items: Iterable[Conversation], context: EncodeContext) -> Iterator[list[TokenizedDocument]]:
        data = context.data
        assert data.template is not None, "the recipe refuses chats without one"
        encoder = Encoder(template_for(data.template, context.tokenizer), context.tokenizer)
        for conversation in items:
            fitted = _fitted(conversation, encoder, context.records)
            parts = split_conversation(fitted, encoder, data.max_length) if fitted else []
            if len(parts) > 1:
                context.records.repair("split at max_length")
            pieces = (piece for part in parts for piece in encoder.documents(part))
            found = (_document(piece, encoder, context) for piece in pieces)
            yield [document for document in found if document is not None]


def _fitted(conversation: Conversation, encoder: Encoder, records: Ledger) -> Conversation | None:
    """The conversation as the template can write it; None if nothing of it is left."""
    fitted = fit_tools(conversation, encoder.template)
    if fitted.conversation is None:
        records.drop(NOTHING_LEFT, example=fitted.reason)
        return None
    records.keep()
    for what, count in ((LOST_EXCHANGE, fitted.lost), (LOST_SCHEMAS, int(fitted.schemas_lost))):
        if count:
            records.repair(what, count)
            records.examples.setdefault(what, fitted.reason)
    return fitted.conversation


def _document(part: Conversation, encoder: Encoder, context: EncodeContext) -> TokenizedDocument | None:
    """A part that fits, but for one long answer; None if nothing of it is trained."""
    longest, documents = context.data.max_length, context.documents
    tokens = encoder.encode(part)
    # As Alpaca and FastChat: what does not fit is cut off, and with it the end-of-turn token.
    trained = tokens.weights[:longest].copy()
    trained[0] = 0
    if not trained.any():
        documents.drop("nothing to train on")
        return None
    documents.keep()
    if len(tokens.ids) > longest:
        documents.repair("answer cut at max_length")
    return TokenizedDocument(tokens.ids[:longest], trained)


CHAT = ChatForm()
