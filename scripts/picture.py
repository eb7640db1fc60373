"""Draws docs/images/quickstart.svg from a real run of the quickstart: `python -m scripts.picture HOST:PORT`.

The run goes to the engine of the environment and pushes to the registry HOST:PORT. It is watched on a terminal of our
own, and two moments of that screen are drawn: while it runs, and at its end. Nothing is written by hand.
"""

from __future__ import annotations

import fcntl
import html
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pyte

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "quickstart.svg"
COLUMNS, ROWS = 140, 44
#: the first moment is the last one at which so many steps are done
_MIDDLE = re.compile(r"^ [23] of 5 done · [12] running")
_MOST_ROWS = 12

_CELL, _LINE, _PAD, _BAR = 7.85, 18.0, 16.0, 30.0
_FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_PAPER, _INK = "#11151c", "#d5dae3"
_COLOURS = {
    "black": "#7a8294", "red": "#f2777a", "green": "#8fce7c", "brown": "#f0c674", "blue": "#7aa6da",
    "magenta": "#c397d8", "cyan": "#70c0ba", "white": "#d5dae3",
}  # fmt: skip

Row = list[tuple[str, str, bool]]  # runs of text: the text, its colour, whether it is bold
Screen = list[Row]


def main(args: list[str]) -> int:
    if len(args) != 1:
        print("usage: python -m scripts.picture REGISTRY", file=sys.stderr)
        return 2
    command = f"acr-task run -f acb.yaml examples/tasks/quickstart --registry {args[0]}"
    middle, end = watch(command.split())
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw([(f"$ {command}", middle), ("at the end", end)]), encoding="utf-8")
    return 0


def watch(command: list[str]) -> tuple[Screen, Screen]:
    """The screen while the run goes on, and its last lines when it is over."""
    screen = _Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    middle: Screen = []
    for data in _output(command):
        stream.feed(data)
        if any(_MIDDLE.match(line) for line in screen.display):
            middle = _rows(screen)[-_MOST_ROWS:]
    rows = _rows(screen)
    start = next(n for n, row in enumerate(rows) if _text(row).split()[:2] == ["STEP", "TYPE"])
    return middle, rows[start:]


class _Screen(pyte.Screen):
    """Dim text is drawn grey: pyte itself does not know it."""

    def select_graphic_rendition(self, *attrs: int, **kwargs: bool) -> None:
        super().select_graphic_rendition(*(30 if attr == 2 else attr for attr in attrs), **kwargs)


def _output(command: list[str]) -> Iterator[bytes]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    env = os.environ | {"TERM": "xterm-256color", "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"}
    env.pop("NO_COLOR", None)
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        while data := os.read(ours, 65536):
            yield data
    except OSError:
        pass  # how a terminal ends
    finally:
        os.close(ours)
        if process.wait(60) != 0:
            raise SystemExit("the run failed; no picture is drawn")


def _rows(screen: pyte.Screen) -> Screen:
    """The rows of the screen, without empty ones at its end."""
    rows = [_row(screen, y) for y in range(screen.lines)]
    while rows and not _text(rows[-1]).strip():
        rows.pop()
    return rows


def _row(screen: pyte.Screen, y: int) -> Row:
    cells = [screen.buffer[y][x] for x in range(screen.columns)]
    runs = groupby(cells, key=lambda cell: (_COLOURS.get(cell.fg.removeprefix("bright"), _INK), cell.bold))
    return [("".join(cell.data for cell in group), colour, bold) for (colour, bold), group in runs]


def _text(row: Row) -> str:
    return "".join(text for text, _, _ in row)


def draw(panels: list[tuple[str, Screen]]) -> str:
    """Terminals one below the other, as SVG that needs no font of its own and no script."""
    width = COLUMNS * _CELL + 2 * _PAD
    parts, top = [], 0.0
    for title, rows in panels:
        height = _BAR + len(rows) * _LINE + _PAD
        parts.append(f'<rect y="{top:g}" width="{width:g}" height="{height:g}" rx="8" fill="{_PAPER}"/>')
        parts.append(_line(title, top + 21, "#8b93a5"))
        parts += [_words(row, top + _BAR + (n + 1) * _LINE - 4) for n, row in enumerate(rows)]
        top += height + 12
    size = f'viewBox="0 0 {width:g} {top - 12:g}" width="{width:g}" height="{top - 12:g}"'
    style = f'font-family="{_FONT}" font-size="13" xml:space="preserve"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(filter(None, parts)) + "\n</svg>\n"


def _words(row: Row, y: float) -> str:
    spans, column = [], 0
    for text, colour, bold in row:
        if shown := text.strip():
            x = _PAD + (column + len(text) - len(text.lstrip())) * _CELL
            weight = ' font-weight="bold"' if bold else ""
            spans.append(
                f'<tspan x="{x:g}" textLength="{len(shown) * _CELL:g}" fill="{colour}"{weight}>'
                f"{html.escape(shown)}</tspan>"
            )
        column += len(text)
    return f'<text y="{y:g}">{"".join(spans)}</text>' if spans else ""


def _line(text: str, y: float, colour: str) -> str:
    return f'<text x="{_PAD:g}" y="{y:g}" fill="{colour}">{html.escape(text)}</text>'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
