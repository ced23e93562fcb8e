"""The formats of preferences that Camelid reads, in the order in which a record is asked whether it is one."""

from camelid.errors import UserError
from camelid.files.read import Record
from conversations.formats.preferences.arena import ARENA
from conversations.formats.preferences.chosen_rejected import CHOSEN_REJECTED
from conversations.formats.preferences.helpsteer import HELPSTEER
from conversations.formats.preferences.helpsteer_preference import HELPSTEER_PREFERENCE
from conversations.formats.preferences.hh_rlhf import HH_RLHF
from conversations.formats.preferences.labelled import LABELLED
from conversations.formats.preferences.openai_preference import OPENAI_PREFERENCE
from conversations.formats.preferences.own import OWN
from conversations.formats.preferences.preference_format import PreferenceFormat
from conversations.formats.preferences.safe_rlhf import SAFE_RLHF
from conversations.formats.preferences.shp import SHP
from conversations.formats.preferences.summarize import SUMMARIZE
from conversations.formats.preferences.two_texts import ALPACA_FARM, STACK_EXCHANGE, WEBGPT
from conversations.formats.preferences.ultrafeedback import ULTRAFEEDBACK

# The first that knows a record reads it: what gives much away stands before what gives little.
PREFERENCE_FORMATS: dict[str, PreferenceFormat] = {
    format.name: format
    for format in (
        OWN,
        SUMMARIZE,
        SHP,
        ULTRAFEEDBACK,
        HELPSTEER_PREFERENCE,
        HELPSTEER,
        SAFE_RLHF,
        ARENA,
        OPENAI_PREFERENCE,
        STACK_EXCHANGE,
        ALPACA_FARM,
        WEBGPT,
        HH_RLHF,
        CHOSEN_REJECTED,
        LABELLED,
    )
}


def detect_preference_format(record: Record, place: str) -> PreferenceFormat:
    """The format of a record by its fields.

    Raises:
        UserError: it is of none; the error says what is read.
    """
    for format in PREFERENCE_FORMATS.values():
        if format.marks(record):
            return format
    known = ", ".join(format.called for format in PREFERENCE_FORMATS.values())
    raise UserError(f"{place}: no preference; found fields {sorted(record)}; read are {known}")
