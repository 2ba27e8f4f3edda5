"""A name in all the spellings that code, addresses and files want."""

import keyword
import re
from collections.abc import Callable
from dataclasses import dataclass

from kit.tree import KitError

LONGEST = 30

# What already means something in addresses, folders, containers or Python packages.
RESERVED = {
    *("api", "app", "backend", "base", "beat", "celery", "conftest", "core", "data"),
    *("database", "dataservice", "default", "docs", "fastapi", "health", "kit"),
    *(
        "local",
        "main",
        "metrics",
        "migrations",
        "nginx",
        "observability",
        "openapi",
        "otel",
    ),
    *("postgres", "rabbitmq", "redis", "redoc", "root", "schemas", "service"),
    *("services", "test", "tests", "worker"),
}

Rename = Callable[[str], str]


@dataclass(frozen=True)
class Name:
    """One or more words, such as `price list`."""

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Name":
        """From `price-list` or `price_list`. Raises KitError, saying what is wrong."""
        if not text:
            raise KitError("Give a name: NAME=price-list")
        if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", text):
            raise KitError(
                f"{text!r} is not a name: use small letters a-z and digits, a letter "
                "first, words joined by - or _, such as price-list"
            )
        if len(text) > LONGEST:
            raise KitError(f"{text!r} is too long: {LONGEST} characters at the most")
        name = cls(tuple(re.split("[-_]", text)))
        if name.snake in RESERVED or keyword.iskeyword(name.snake):
            raise KitError(f"{text!r} is reserved: take another name")
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
        """Of the last word, by the rules of English without its exceptions."""
        word = self.parts[-1]
        if re.search(r"[^aeiou]y$", word):
            word = f"{word[:-1]}ies"
        else:
            word += "es" if re.search(r"(s|x|z|ch|sh)$", word) else "s"
        return Name((*self.parts[:-1], word))


def replacing(rules: list[tuple[str, str]]) -> Rename:
    """Replaces each pattern, in this order."""

    def rename(text: str) -> str:
        for pattern, replacement in rules:
            text = re.sub(pattern, replacement, text)
        return text

    return rename


def from_data_service(name: Name) -> Rename:
    """Makes of the data service's words those of the service of that name."""
    return replacing(
        [
            ("dataservice", name.snake),
            ("data-service", f"{name.kebab}-service"),
            ("data_service", f"{name.snake}_service"),
            ("DataService", f"{name.pascal}Service"),
            ("data service", f"{name.words} service"),
            ("Data service", f"{name.title} service"),
            ("data_queue", f"{name.snake}_queue"),
            ("DATA_QUEUE_NAME", f"{name.snake.upper()}_QUEUE_NAME"),
            ("/api/v1/data/", f"/api/v1/{name.kebab}/"),
            (
                r"((?:SERVICE_NAME|service_name)[^\n\w]{1,8})data\b",
                rf"\g<1>{name.snake}",
            ),
        ]
    )


def from_specimen(name: Name) -> Rename:
    """Makes of a template's words (`kit/templates`) those of the name."""
    many = name.plural
    return replacing(
        [
            ("speci-mens", many.kebab),
            ("speci mens", many.words),
            ("specimens", many.snake),
            ("Specimens", many.pascal),
            ("Speci mens", many.title),
            ("speci-men", name.kebab),
            ("speci men", name.words),
            ("specimen", name.snake),
            ("Speci men", name.title),
            ("Specimen", name.pascal),
            ("SPECIMEN", name.snake.upper()),
        ]
    )
