"""A bar chart as SVG."""

from collections.abc import Mapping
from html import escape

WIDTH, LABELS, ROW, BAR, TOP = 720, 190, 34, 20, 40
VALUES = 80  # room to the right of the longest bar

STYLE = (
    "text{font:13px sans-serif;fill:#1f2933}"
    ".title{font-weight:bold}.kit{fill:#0b7a75}.other{fill:#9fb3c8}"
)


def bars(title: str, values: Mapping[str, float], own: str) -> str:
    """One horizontal bar for each value. Bars whose label begins with `own` stand
    out."""
    height = TOP + ROW * len(values) + 10
    longest = max(values.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text class="title" x="10" y="24">{escape(title)}</text>',
    ]
    for number, (label, value) in enumerate(values.items()):
        y = TOP + ROW * number
        length = (WIDTH - LABELS - VALUES) * value / longest
        kind = "kit" if label.startswith(own) else "other"
        middle = y + BAR / 2 + 5
        parts += [
            f'<text x="{LABELS - 10}" y="{middle}" text-anchor="end">'
            f"{escape(label)}</text>",
            f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{length:.1f}" '
            f'height="{BAR}"/>',
            f'<text x="{LABELS + length + 8:.1f}" y="{middle}">{value:,.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
