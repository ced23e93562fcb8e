"""No reader of chats takes preference data: of its answers some are there to be avoided."""

from camelid.errors import UserError
from camelid.files.read import Record
from conversations.formats.preferences.labelled import LABELLED
from conversations.formats.preferences.table import PREFERENCE_FORMATS

_NAMES = frozenset().union(*(format.names for format in PREFERENCE_FORMATS.values()))
_READ = "`camelid conversations preferences` reads them as preferences"


def refuse_preference(record: Record, place: str) -> None:
    """Refuse a record that says which answers are wanted and which are not.

    Raises:
        UserError: it is one.
    """
    if _NAMES.isdisjoint(record):  # as nearly all are
        return
    for format in PREFERENCE_FORMATS.values():
        if marks := format.marks(record):
            fields = ", ".join(map(repr, marks))
            if format is LABELLED:
                raise UserError(
                    f"{place}: preference data ({fields} says whether the answer is wanted): an unwanted answer must "
                    f"not be trained; {_READ}; to train the wanted ones, keep the records where it is true, without "
                    "this field"
                )
            raise UserError(
                f"{place}: preference data ({fields}): a rejected answer must not be trained as if it were wanted; "
                f"{_READ}; to train the chosen ones, write each as the last of its `messages`, without these fields"
            )
