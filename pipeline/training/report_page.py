"""The page that a report is put on: one file, light or dark as the reader's system is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from pipeline.training.report_words import short

_LONG = 30  # characters from which a cell may break its lines
_STYLE = """
:root{color-scheme:light dark;--ink:#1f2430;--soft:#5d6675;--grid:#d9dde3;
--page:#fff;--card:#f4f6f8}
@media (prefers-color-scheme:dark){
:root{--ink:#e6e9ee;--soft:#9aa4b2;--grid:#3a414c;--page:#14171c;--card:#1e232b}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.2rem 1rem 4rem;max-width:72rem;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.6rem;margin:.2rem 0}
h2{font-size:1.2rem;margin:2.4rem 0 .6rem}
h3{font-size:1rem;margin:1rem 0 .3rem;color:var(--soft)}
.lead,.note,.key{color:var(--soft);margin:.5rem 0}
.note,.key,li{font-size:.92rem}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(20rem,100%),1fr));
gap:.7rem;margin:1rem 0}
.card{background:var(--card);border-radius:.6rem;padding:.8rem 1rem;
display:flex;flex-direction:column}
.card b{font-size:1.9rem;line-height:1.2}
.card small{color:var(--soft)}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr));gap:1rem;
align-items:start}
.pair>*{min-width:0}
.plot{max-width:44rem}
.warning{border-left:.25rem solid #e3932f;padding:.1rem .8rem;margin:.5rem 0}
.wide,.scroll{overflow-x:auto}
.wide svg{min-width:48rem}
svg{width:100%;height:auto;display:block;max-width:100%}
.wide svg{max-width:none}
.key span{margin-right:1.2rem;white-space:nowrap}
.key i{display:inline-block;width:.8rem;height:.8rem;border-radius:.2rem;margin-right:.4rem}
table{border-collapse:collapse;font-size:.9rem;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid var(--grid);white-space:nowrap}
td.text{white-space:normal;min-width:16rem}
thead th{color:var(--soft);font-weight:600}
tbody th{font-weight:500}
tr.merged th,tr.merged td{font-weight:700}
tr.baseline th{color:var(--soft);font-style:italic}
@media print{body{max-width:none}.scroll{overflow:visible}}
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole HTML document.

    Args:
        title: As text.
        parts: What is below it, as HTML.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f'<meta http-equiv=Content-Security-Policy content="{policy}">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of text, which may be scrolled sideways where it is too wide."""
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = ("<tr>" + "".join(plain(cell) for cell in row) + "</tr>" for row in rows)
    body = f"<thead><tr>{names}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f"<div class=scroll><table>{body}</table></div>"


def plain(text: str) -> str:
    """A cell of text."""
    return f"<td{' class=text' if len(text) > _LONG else ''}>{escape(text)}</td>"


def heat(value: float) -> str:
    """A cell of an AUROC, greener the better it is, redder below chance."""
    if not math.isfinite(value):
        return plain("-")
    good, strength = value >= 0.5, min(1.0, abs(value - 0.5) * 2)
    colour = "47,163,116" if good else "221,85,101"
    return f"<td style='background:rgba({colour},{0.75 * strength**1.5:.2f})'>{short(value)}</td>"
