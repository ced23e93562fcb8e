"""The scores there are."""

from conversations.scores.alone import LANGUAGE, LENGTH, RANDOM, REPETITION
from conversations.scores.difficulty import IFD
from conversations.scores.grades import COMPLEXITY, DEITA, QUALITY
from conversations.scores.near_duplicates import NEAR_DUPLICATES

ALL_SCORES = {
    score.name: score
    for score in (LENGTH, REPETITION, LANGUAGE, NEAR_DUPLICATES, QUALITY, COMPLEXITY, DEITA, IFD, RANDOM)
}
DEFAULT = (LENGTH.name, REPETITION.name, LANGUAGE.name, NEAR_DUPLICATES.name)  # what needs no model
