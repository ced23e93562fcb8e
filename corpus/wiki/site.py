"""What a wiki's dump says of the wiki: its namespaces, in whatever language they are named."""

import re
from dataclasses import dataclass, field

# MediaWiki's numbers for namespaces, the same in every language (includes/Defines.php: NS_MAIN, NS_FILE, NS_CATEGORY).
ARTICLES, FILE, CATEGORY = 0, 6, 14
# What works in a wiki of any language (docs of MediaWiki, Manual:Namespace); `Image` is the old name of `File`.
_ENGLISH = {"file": FILE, "image": FILE, "media": FILE, "category": CATEGORY}
# The older names in the languages of LLaMA's wikis, which siteinfo leaves out: aliases of MediaWiki's message files.
_ALIASES = {
    "bild": FILE, "datei": FILE, "fichier": FILE, "imagen": FILE, "archivo": FILE, "immagine": FILE, "afbeelding": FILE,
    "bestand": FILE, "grafika": FILE, "plik": FILE, "imagem": FILE, "ficheiro": FILE, "imagine": FILE, "fișier": FILE,
    "изображение": FILE, "файл": FILE, "картинка": FILE, "слика": FILE, "датотека": FILE, "slika": FILE,
    "datoteka": FILE, "fitxer": FILE, "imatge": FILE, "soubor": FILE, "billede": FILE, "fil": FILE, "fájl": FILE,
    "kép": FILE, "зображення": FILE, "kategorie": CATEGORY, "catégorie": CATEGORY,
    "categoría": CATEGORY, "categoria": CATEGORY, "categorie": CATEGORY, "kategoria": CATEGORY, "категория": CATEGORY,
    "категорија": CATEGORY, "kategorija": CATEGORY, "kategori": CATEGORY, "kategória": CATEGORY, "категорія": CATEGORY,
}  # fmt: skip
_LANGUAGE = re.compile(r"(?:[a-z]{2,3}(?:-[a-z]{2,10}){0,2}|simple)")


@dataclass(frozen=True)
class Site:
    """A wiki.

    Attributes:
        namespaces: the number of each namespace by its name in small letters, blanks as blanks.
    """

    namespaces: dict[str, int] = field(default_factory=dict)

    def namespace(self, title: str) -> int | None:
        """The number of the namespace that a link or title names; None if it names none that is known."""
        prefix, colon, _ = title.partition(":")
        if not colon:
            return None
        name = prefix.replace("_", " ").strip().lower()
        if (number := self.namespaces.get(name)) is not None:
            return number
        return _ENGLISH.get(name, _ALIASES.get(name))

    def is_language(self, title: str) -> bool:
        """Whether a link is to the same article in another language, which is shown beside the text, not in it."""
        prefix, colon, _ = title.partition(":")
        return bool(colon) and _LANGUAGE.fullmatch(prefix.strip().lower()) is not None
