"""Words are rouge_score's where it has any, and every script has some."""

from camelid.text.words import rouge_tokens, unicode_tokens
from tests.camelid.text.random_texts import texts


def test_tokens_are_rouge_scores() -> None:
    from rouge_score.tokenizers import DefaultTokenizer

    reference = DefaultTokenizer(use_stemmer=False)
    for text in [*texts(300, 1), "  ", "A_b-c", "x\ty\n", "İstanbul ß", "1,000.5%"]:
        assert rouge_tokens(text) == reference.tokenize(text)


def test_every_script_has_words() -> None:
    for text in [*texts(50, 7), "plain ASCII_text, 1,000.5%"]:
        if text.isascii():
            assert unicode_tokens(text) == rouge_tokens(text)
    assert unicode_tokens("请写一首诗。") == list("请写一首诗")
    assert unicode_tokens("Ünïcode \uff21\uff22\uff23 12") == ["ünïcode", "abc", "12"]
    assert unicode_tokens("हिन्दी में लिखो") == ["हिन्दी", "में", "लिखो"]
    assert unicode_tokens("สวัสดี ครับ") == ["ส", "วั", "ส", "ดี", "ค", "รั", "บ"]
    assert unicode_tokens("请问GPT-4在第3章 ๒๕ the") == ["请", "问", "gpt", "4", "在", "第", "3", "章", "๒๕", "the"]
    assert unicode_tokens("二\u3007二五年々 ｶﾞ") == ["二", "\u3007", "二", "五", "年", "々", "ガ"]
