"""What an instruction asks for, as one verb and one noun, by rule.

The Alpaca and Self-Instruct papers parse each instruction with a neural parser (benepar) and take the root verb
with its direct object. That needs a model to download. This is a rule for English imperatives instead: the
first sentence's verb, from a list, and the head of the noun phrase after it. It finds no pair in questions and
in sentences that do not begin with their verb, and says so.
"""

import re
from collections import Counter
from collections.abc import Iterable

# Verbs that instructions begin with.
_VERBS = frozenset(
    """add address adjust advise analyse analyze answer apply argue arrange assess assign assume balance brainstorm
    break build calculate categorise categorize change check choose cite clarify classify clean code combine come
    comment compare compile complete compose compress compute condense conduct connect consider construct contrast
    convert copy correct count craft create criticise criticize critique cut debug decide decode deduce define delete
    deliver demonstrate describe design detail detect determine develop devise differentiate discuss distinguish
    divide draft edit elaborate eliminate enter enumerate estimate evaluate examine expand explain explore express
    extend extract fill filter find finish fix fold form format formulate gather generate get give group guess help
    highlight hypothesize identify illustrate imagine implement improve include indicate infer insert interpret
    introduce invent join judge justify label lay list locate look make map mark match measure mention merge modify
    move multiply name narrate note number offer order organise organize outline paraphrase parse perform persuade
    pick plan point predict prepare present pretend prioritise prioritize produce pronounce proofread propose prove
    provide punctuate put quote rank rate read rearrange recommend reduce reformat refine reformulate rename reorder
    repeat rephrase replace reply report represent research respond restate restructure retell return reverse review
    revise reword rewrite round score search select separate set share shorten show shuffle simplify simulate sketch
    solve sort specify spell split spot state structure substitute subtract suggest sum summarise summarize support
    swap take teach tell test think trace transcribe transform translate transpose turn tweak underline update use
    verify weigh work write""".split()
)
_BEFORE = frozenset("please kindly now then briefly first next also just".split())  # words before the verb
_ASKING = re.compile(r"^(?:can|could|would|will) you (?:please )?", re.IGNORECASE)
_CLAUSE = frozenset(
    "given using based in for from with if when as to by on of after before without suppose imagine".split()
)
_PARTICLES = frozenset("up out down off over with on".split())
_NOT_NOUNS = frozenset("me us it this that these those them him her you i he she they one each all both".split())
_INDIRECT = frozenset("me us him her them".split())
_DETERMINERS = frozenset(
    "a an the this that these those some any all each both every my your its his their our no two three four five six "
    "seven eight nine ten 1 2 3 4 5 6 7 8 9 10".split()
)
_PARTICIPLE = re.compile(r"[a-z]{3,}(?:ing|ed)|found|given|made|known|used|written")  # after a noun: a clause begins
_ADVERB = re.compile(r"(?!family|reply|assembly|supply|anomaly|butterfly|fly|ally|july)[a-z]+ly|again|together|apart")
# "Make the sentence negative": what follows the noun says what becomes of it.
_CAUSING = frozenset(["make"])
_PREDICATES = frozenset(
    """active better bold casual clear clearer concise easier formal friendly funny informal longer negative passive
    plain plural polite positive possessive professional readable shorter simple simpler singular stronger""".split()
)
# Words that end a noun phrase.
_ENDS = frozenset(
    """about above across after against along among and around as at because before behind below between but by
    can could during each for from how if in inside into is are was were like near of off on onto or out over
    per since so such than that through to toward towards under until up upon using via what when where whether which
    while who whom whose why will with within without would your based""".split()
)


def verb_noun(instruction: str) -> tuple[str, str] | None:
    """Return (verb, noun) of an English imperative, or None."""
    sentence = re.split(r"[.!?:;\n]", _ASKING.sub("", instruction.strip()), maxsplit=1)[0]
    words = _words(sentence)
    while words and words[0] in _BEFORE:
        words.pop(0)
    if words and words[0] in _CLAUSE and words[0] not in _VERBS and "," in words:
        words = words[words.index(",") + 1 :]
    if not words or words[0] not in _VERBS:
        return None
    verb, rest = words[0], words[1:]
    while rest and (rest[0] in _PARTICLES or rest[0] in _INDIRECT):
        rest.pop(0)
    phrase: list[str] = []
    for word in rest:
        if word in _ENDS or word == "," or (_PARTICIPLE.fullmatch(word) and not _DETERMINERS.issuperset(phrase)):
            break
        phrase.append(word)
    while phrase and (_ADVERB.fullmatch(phrase[-1]) or (verb in _CAUSING and phrase[-1] in _PREDICATES)):
        phrase.pop()
    if _DETERMINERS.issuperset(phrase) or phrase[-1] in _NOT_NOUNS:
        return None
    return verb, _singular(phrase[-1])


def count_pairs(instructions: Iterable[str], verbs: int = 20, nouns: int = 4) -> dict[str, dict[str, int]]:
    """The most frequent verbs with the most frequent nouns of each, as in the figure of Alpaca's blog post.

    Args:
        instructions: English ones.
        verbs: how many; 20 in that figure.
        nouns: how many of each; 4 in that figure.
    """
    pairs = Counter(pair for instruction in instructions if (pair := verb_noun(instruction)))
    totals: Counter[str] = Counter()
    for (verb, _), count in pairs.items():
        totals[verb] += count
    return {
        verb: dict([(noun, count) for (other, noun), count in pairs.most_common() if other == verb][:nouns])
        for verb, _ in totals.most_common(verbs)
    }


def _words(sentence: str) -> list[str]:
    return re.findall(r"[a-z]+(?:['-][a-z]+)*|\d+|,", sentence.lower())


def _singular(noun: str) -> str:
    if noun.endswith("ies") and len(noun) > 4:
        return noun[:-3] + "y"
    if noun.endswith(("sses", "shes", "ches", "xes")):
        return noun[:-2]
    return noun[:-1] if noun.endswith("s") and not noun.endswith(("ss", "us", "is")) else noun
