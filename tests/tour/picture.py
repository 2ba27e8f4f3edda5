"""The output of a terminal, as SVG."""

import re
from html import escape

COLUMNS, CHARACTER, LINE, MARGIN, BAR = 92, 7.83, 18, 16, 30
STYLE = (
    "text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#d8dee9;"
    "white-space:pre}.prompt{fill:#a3be8c;font-weight:bold}.part{fill:#81a1c1}"
    ".link{fill:#88c0d0}"
)
LOGS = re.compile(r"(?:^(?!stack )[\w-]+ +\|.*\n)+", re.MULTILINE)

# A command after its prompt, the name of the part that wrote a line, an address.
MARKED = re.compile(
    r"(?P<prompt>^\$ .*)|(?P<part>^[\w-]+ +\|)|(?P<link>https?://[^\s']+)"
)


def draw(title: str, text: str) -> str:
    """Draw the lines in a window; long ones continue below."""
    lines = [part for line in text.splitlines() for part in _fold(line)]
    width = round(COLUMNS * CHARACTER + 2 * MARGIN)
    height = BAR + LINE * len(lines) + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#2e3440"/>',
    ]
    for number, colour in enumerate(("#bf616a", "#ebcb8b", "#a3be8c")):
        centre = MARGIN + 6 + 20 * number
        parts.append(f'<circle cx="{centre}" cy="20" r="6" fill="{colour}"/>')
    for number, line in enumerate(lines):
        y = BAR + MARGIN + LINE * number + 13
        parts.append(f'<text x="{MARGIN}" y="{y}">{_marked(line)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def without_logs(text: str) -> str:
    """The launcher's own output; says how many lines of its processes are left out."""
    return LOGS.sub(
        lambda found: f"... {found[0].count(chr(10))} lines of logs ...\n", text
    )


def _fold(line: str) -> list[str]:
    return [line[at : at + COLUMNS] for at in range(0, len(line), COLUMNS)] or [""]


def _marked(line: str) -> str:
    done, parts = 0, []
    for found in MARKED.finditer(line):
        parts.append(escape(line[done : found.start()], quote=False))
        text = escape(found[0], quote=False)
        parts.append(f'<tspan class="{found.lastgroup}">{text}</tspan>')
        done = found.end()
    return "".join([*parts, escape(line[done:], quote=False)])
