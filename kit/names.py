"""A name in all spellings that code, addresses and files need."""

import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kit.tree import KitError

LONGEST = 30

# Words with a meaning in addresses, folders, containers or Python packages.
RESERVED = {
    *("api", "app", "backend", "base", "beat", "celery", "chassis", "conftest"),
    *("core", "data", "database", "dataservice", "default", "docs", "fastapi"),
    *("health", "kit", "local", "main", "metrics", "migrations", "nginx"),
    *("observability", "openapi", "otel", "postgres", "rabbitmq", "redis", "redoc"),
    *("root", "schemas", "service", "services", "specimen", "test", "tests", "worker"),
}

Rename = Callable[[str], str]


@dataclass(frozen=True)
class Name:
    """One or more words, such as `price list`."""

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Name":
        """Parse `price-list` or `price_list`. Raises KitError, saying what is wrong."""
        if not text:
            raise KitError("Give a name: NAME=price-list")
        if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", text):
            raise KitError(
                f"{text!r} is not a valid name: use lower-case letters and digits, "
                "start with a letter, and join words with - or _, such as price-list"
            )
        if len(text) > LONGEST:
            raise KitError(f"{text!r} is too long: at most {LONGEST} characters")
        name = cls(tuple(re.split("[-_]", text)))
        if name.snake in RESERVED or keyword.iskeyword(name.snake):
            raise KitError(f"{text!r} is reserved: choose another name")
        return name

    @property
    def snake(self) -> str:
        """`price_list`"""
        return "_".join(self.parts)

    @property
    def kebab(self) -> str:
        """`price-list`"""
        return "-".join(self.parts)

    @property
    def pascal(self) -> str:
        """`PriceList`"""
        return "".join(part.capitalize() for part in self.parts)

    @property
    def words(self) -> str:
        """`price list`"""
        return " ".join(self.parts)

    @property
    def title(self) -> str:
        """`Price list`"""
        return self.words.capitalize()

    @property
    def plural(self) -> "Name":
        """The plural of the last word, by English rules without their exceptions."""
        word = self.parts[-1]
        if re.search(r"[^aeiou]y$", word):
            word = f"{word[:-1]}ies"
        else:
            word += "es" if re.search(r"(s|x|z|ch|sh)$", word) else "s"
        return Name((*self.parts[:-1], word))


def is_specimen(text: str) -> bool:
    """Whether a word of a template (`kit/templates`) stands for the new name."""
    return re.search("speci-?men", text, re.IGNORECASE) is not None


def from_specimen(name: Name, more: Mapping[str, str] | None = None) -> Rename:
    """Replaces a template's words with those of the name, and ``more`` words with
    others.

    A template uses two words where a name of two words is written differently from one:
    `speci-men` becomes `price-list`, `specimen` becomes `price_list`.
    """
    many = name.plural
    return replacing(
        {
            **(more or {}),
            "speci-mens": many.kebab,
            "speci mens": many.words,
            "specimens": many.snake,
            "Specimens": many.pascal,
            "Speci mens": many.title,
            "speci-men": name.kebab,
            "speci men": name.words,
            "specimen": name.snake,
            "Speci men": name.title,
            "Specimen": name.pascal,
            "SPECIMEN": name.snake.upper(),
        }
    )


def replacing(words: Mapping[str, str]) -> Rename:
    """A function that replaces words, the first match at each position."""
    pattern = re.compile("|".join(map(re.escape, words)))
    return lambda text: pattern.sub(lambda found: words[found[0]], text)
