"""Every generation method by its name, in the order of `selfinstruct generate --help`; the first is the default."""

from selfinstruct.methods.alpaca import ALPACA
from selfinstruct.methods.backtranslate import BACKTRANSLATE
from selfinstruct.methods.code import CODE
from selfinstruct.methods.evol import EVOL
from selfinstruct.methods.magpie import MAGPIE
from selfinstruct.methods.method import Method
from selfinstruct.methods.self_instruct import SELF_INSTRUCT

METHODS: dict[str, Method] = {
    method.name: method for method in (ALPACA, SELF_INSTRUCT, EVOL, MAGPIE, BACKTRANSLATE, CODE)
}
