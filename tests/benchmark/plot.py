"""Line plots and histograms as SVG, in plain Python: two logarithmic axes, one line a series. Knows nothing of what is drawn."""
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 680, 400, 66, 150, 44, 52
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#555555"]


def ticks(low, high):
    """1, 2, 5 times powers of ten within LOW … HIGH; powers of ten alone where there would be too many."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    fine = [digit * 10.0 ** p for p in powers for digit in (1, 2, 5)]
    inside = [t for t in fine if low * 0.999 <= t <= high * 1.001]
    return inside if len(inside) <= 8 else [t for t in (10.0 ** p for p in powers) if low * 0.999 <= t <= high * 1.001]


def number(value):
    """As short as it can be said."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def text(x, y, words, anchor="middle", size=13, colour="#222222", turned=False):
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"{turn}>{escape(words)}</text>'


def line(x1, y1, x2, y2, colour="#dddddd", width=1.0):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def page(title, parts):
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            'font-family="Helvetica, Arial, sans-serif">')
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>', text(WIDTH / 2, 24, title, size=15), *parts, "</svg>", ""])


def spread_labels(wanted, step=16.0):
    """Heights near WANTED that are STEP apart, in the same order."""
    order, placed = sorted(range(len(wanted)), key=lambda i: wanted[i]), [0.0] * len(wanted)
    last = -math.inf
    for i in order:
        placed[i] = last = max(wanted[i], last + step)
    over = last - (HEIGHT - BOTTOM)
    if over > 0:
        for i in order:
            placed[i] -= over
    return placed


def lines(title, x_label, y_label, series, curve=False):
    """SERIES: [(name, [(x, y), …]), …], all positive, on logarithmic axes: slope 1 is cost in proportion. CURVE: y is linear, and x has round ticks."""
    series = [(name, sorted(points)) for name, points in series if points]
    if not series:
        return None
    xs, ys = ([p[axis] for _, points in series for p in points] for axis in (0, 1))
    x_low, x_high, y_low, y_high = min(xs), max(xs), min(ys) / 1.3, max(ys) * 1.3
    x_high = x_high if x_high > x_low else x_low * 2
    if curve:
        y_low, y_high = math.floor(10 * min(ys)) / 10, math.ceil(10 * max(ys)) / 10
    y_ticks = [i / 10 for i in range(round(10 * y_low), round(10 * y_high) + 1)] if curve else ticks(y_low, y_high)
    x_ticks = ticks(x_low, x_high) if curve else sorted(set(xs))

    def across(x):
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(x / x_low) / math.log(x_high / x_low)

    def up(y):
        if curve:
            return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - y_low) / (y_high - y_low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.log(y / y_low) / math.log(y_high / y_low)

    parts = []
    for y in y_ticks:
        parts += [line(LEFT, up(y), WIDTH - RIGHT, up(y)), text(LEFT - 8, up(y) + 4, number(y), "end", 12)]
    for x in x_ticks:
        parts += [line(across(x), TOP, across(x), HEIGHT - BOTTOM), text(across(x), HEIGHT - BOTTOM + 18, number(x), size=12)]
    parts += [line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "#555555"), line(LEFT, TOP, LEFT, HEIGHT - BOTTOM, "#555555"),
              text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_label), text(18, (TOP + HEIGHT - BOTTOM) / 2, y_label, turned=True)]
    heights = spread_labels([up(points[-1][1]) + 4 for _, points in series])
    for (name, points), colour, height in zip(series, COLOURS, heights):
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.2"/>')
        parts += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3.2" fill="{colour}"/>' for x, y in points]
        parts.append(text(across(points[-1][0]) + 10, height, name, "start", 13, colour))
    return page(title, parts)


def bars(title, x_label, y_label, counts, last):
    """COUNTS: {k: how often}, k = 1 … LAST."""
    high = max(counts.values(), default=1)
    wide, tall = WIDTH - LEFT - 30, HEIGHT - TOP - BOTTOM
    step = 10.0 ** math.floor(math.log10(max(high, 2) / 2))
    step *= next(m for m in (1, 2, 5, 10) if high / (step * m) <= 6)
    parts = []
    for i in range(int(high / step) + 1):
        y = HEIGHT - BOTTOM - tall * i * step / high
        parts += [line(LEFT, y, LEFT + wide, y), text(LEFT - 8, y + 4, number(i * step), "end", 12)]
    for k in range(1, last + 1):
        x, height = LEFT + wide * (k - 1) / last, tall * counts.get(k, 0) / high
        if height:
            parts.append(f'<rect x="{x + 0.1 * wide / last:.1f}" y="{HEIGHT - BOTTOM - height:.1f}" width="{0.8 * wide / last:.1f}" height="{height:.1f}" '
                         f'fill="{COLOURS[0]}"/>')
        if k == 1 or k % max(1, last // 5) == 0:
            parts.append(text(x + 0.5 * wide / last, HEIGHT - BOTTOM + 18, str(k), size=12))
    parts += [line(LEFT, HEIGHT - BOTTOM, LEFT + wide, HEIGHT - BOTTOM, "#555555"), text(LEFT + wide / 2, HEIGHT - 12, x_label),
              text(18, TOP + tall / 2, y_label, turned=True)]
    return page(title, parts)
