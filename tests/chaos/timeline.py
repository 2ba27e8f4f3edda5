"""Rate, errors and faults over time, as SVG."""

from collections import Counter
from collections.abc import Sequence
from html import escape

from tests.chaos.ledger import Attempt
from tests.chaos.record import Broken

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 960, 220, 46, 20, 26, 10
STYLE = (
    "text{font:11px sans-serif;fill:#1f2933}.fault{fill:#f0b429;opacity:.35}"
    ".number{font-size:9px}.all{fill:none;stroke:#0b7a75;stroke-width:1.2}"
    ".failed{fill:#d64545}.axis{stroke:#9fb3c8}"
)


def draw(attempts: Sequence[Attempt], faults: Sequence[Broken], began: float) -> str:
    """Draw answers per second as a line, failures as bars, and each fault as a band
    with its number in the table."""
    everything = Counter(int(each.began - began) for each in attempts)
    failures = Counter(int(each.began - began) for each in attempts if each.failed)
    seconds = max(everything, default=0) + 1
    most = max(everything.values(), default=1)
    across = (WIDTH - LEFT - RIGHT) / seconds
    floor = HEIGHT - BOTTOM

    def x(second: float) -> str:
        return f"{LEFT + second * across:.1f}"

    def y(rate: int) -> str:
        return f"{floor - (floor - TOP) * rate / most:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img">',
        f"<title>Requests and failures a second</title><style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for number, fault in enumerate(faults, start=1):
        left = x(fault.began - began)
        width = max(1.5, (fault.back - fault.began) * across)
        parts += [
            f'<rect class="fault" x="{left}" y="{TOP}" width="{width:.1f}" '
            f'height="{floor - TOP}"><title>{escape(fault.name)}</title></rect>',
            f'<text class="number" x="{left}" y="{TOP - 4}">{number}</text>',
        ]
    for second, rate in sorted(failures.items()):
        parts.append(
            f'<rect class="failed" x="{x(second)}" y="{y(rate)}" '
            f'width="{max(1, across):.1f}" height="{floor - float(y(rate)):.1f}"/>'
        )
    line = " ".join(f"{x(s + 0.5)},{y(everything[s])}" for s in range(seconds))
    parts += [
        f'<polyline class="all" points="{line}"/>',
        f'<path class="axis" d="M{LEFT},{TOP}V{floor}H{WIDTH - RIGHT}" fill="none"/>',
        f'<text x="{LEFT - 6}" y="{TOP + 4}" text-anchor="end">{most}/s</text>',
        f'<text x="{LEFT - 6}" y="{floor}" text-anchor="end">0</text>',
    ]
    for second in range(0, seconds, 60):
        parts.append(
            f'<text x="{x(second)}" y="{HEIGHT - 8}" text-anchor="middle">'
            f"{second // 60} min</text>"
        )
    return "\n".join([*parts, "</svg>", ""])
