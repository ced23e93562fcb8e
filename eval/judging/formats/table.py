"""Every format of judgments, in the order in which a record is tried."""

from eval.judging.formats.alpaca_eval import ALPACA_EVAL
from eval.judging.formats.format import JudgmentFormat
from eval.judging.formats.mt_bench import MT_BENCH_PAIRS, MT_BENCH_SINGLE
from eval.judging.formats.ours import OURS
from eval.judging.formats.vicuna import VICUNA_REVIEWS

FORMATS: tuple[JudgmentFormat, ...] = (OURS, MT_BENCH_PAIRS, VICUNA_REVIEWS, ALPACA_EVAL, MT_BENCH_SINGLE)
