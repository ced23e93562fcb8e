"""Every judging mode by its name, in the order of `eval judge --help`; the first is the default."""

from eval.judging.modes.alpaca import ALPACA
from eval.judging.modes.mode import Mode
from eval.judging.modes.pairwise import PAIRWISE
from eval.judging.modes.single import SINGLE
from eval.judging.modes.vicuna import VICUNA

MODES: dict[str, Mode] = {mode.name: mode for mode in (SINGLE, PAIRWISE, VICUNA, ALPACA)}
