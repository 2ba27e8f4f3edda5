"""Takes SQL apart, as far as the rules need: statements, actions, names."""

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/)"
    r"|(?P<text>'(?:[^']|'')*')"
    r'|"(?P<name>(?:[^"]|"")*)"'
    r"|\$(?P<tag>\w*)\$(?P<body>.*?)\$(?P=tag)\$"
    r"|(?P<end>;)",
    re.DOTALL,
)
# Where a statement begins in a block of PL/pgSQL.
_INNER = re.compile(r"\b(?:ALTER|CREATE|DROP|REINDEX|CLUSTER|LOCK)\s.*", re.DOTALL)


def statements(sql: str) -> Iterator[str]:
    """Each statement on one line: without comments, quotes and the contents of texts.

    A `DO` block stands for the statements in it; the body of a function is left out,
    because nothing runs it yet.
    """
    statement, place = "", 0
    for found in _TOKEN.finditer(sql):
        statement += sql[place : found.start()]
        place = found.end()
        if found["end"]:
            yield from _tidy(statement)
            statement = ""
        elif found["text"]:
            statement += "''"
        elif found["name"] is not None:
            statement += re.sub(r"\W", "_", found["name"])
        elif found["body"] is not None:
            if re.match(r"\s*DO\b", statement, re.IGNORECASE):
                for inner in statements(found["body"]):
                    yield from _tidy("".join(_INNER.findall(inner)[:1]))
            statement += "''"
        else:
            statement += " "
    yield from _tidy(statement + sql[place:])


def _tidy(statement: str) -> Iterator[str]:
    if words := statement.split():
        yield " ".join(words)


def split_at_commas(text: str) -> list[str]:
    """The parts between the commas that stand in no parentheses."""
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def match(pattern: str, text: str) -> re.Match[str] | None:
    """Matches the beginning, in any case. In the pattern, @ stands for a name."""
    pattern = pattern.replace("@", r"[\w.]+")
    return re.match(pattern, text, re.IGNORECASE)


def plain(name: str) -> str:
    """In lower case, without a schema."""
    return name.rpartition(".")[2].lower()


def words(text: str) -> set[str]:
    """All names and keywords, in lower case."""
    return {word.lower() for word in re.findall(r"\w+", text)}


def inside_parentheses(text: str) -> str:
    """What the first pair of parentheses holds."""
    begin = text.find("(")
    depth = 0
    for place in range(begin, len(text)) if begin >= 0 else ():
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return text[begin + 1 : place]
    return ""
