"""The few pages people see: plain, accessible, without script, and without anybody's name.

A token proves that the mail was held, not who holds it: no page shows a name or an address. The
style is inline and allowed by its hash, so that nothing else can be.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Final

from starlette.responses import Response

from services.tracker.wording import ENGLISH, Words

_STYLE: Final = """
:root{color-scheme:light dark;--ground:#f6f5f2;--card:#fff;--ink:#1d1c1a;--soft:#5b5852;
--line:#e2dfd8;--field:#8a867d;--act:#1f4fd8;--on-act:#fff;--wrong:#b3261e}
@media(prefers-color-scheme:dark){:root{--ground:#161513;--card:#211f1c;--ink:#f2efe9;
--soft:#b3aea4;--line:#37342f;--field:#8f897e;--act:#9db8ff;--on-act:#10183a;--wrong:#ffb4ab}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;
background:var(--ground);color:var(--ink);
font:1.0625rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:100%;max-width:30rem;padding:2rem;background:var(--card);
border:1px solid var(--line);border-radius:.75rem}
main.wide{max-width:38rem}
h1{margin:0 0 .75rem;font-size:1.5rem;line-height:1.25;text-wrap:balance}
p{margin:0 0 1rem;color:var(--soft)}
p:last-child,form{margin-bottom:0}
ul{margin:0 0 1rem;padding-left:1.25rem}
a{color:var(--act)}
nav{margin:0 0 1rem;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem}
nav a,nav span,p.beside a{display:inline-block;padding:.5rem 0}
nav span{font-weight:600}
p.beside{margin:.75rem 0 0;text-align:center}
fieldset,.field{margin:0;padding:1.25rem 0;border:0;border-top:1px solid var(--line);min-width:0}
legend,.field>label{display:block;padding:0;font-weight:600;float:left;width:100%;
margin-bottom:.5rem}
fieldset>*,.field>*{clear:both}
.hint{margin:0 0 .5rem;font-size:.9375rem}
.choice{display:flex;gap:.75rem;align-items:flex-start;padding:.5rem 0;min-height:2.75rem}
.choice input{flex:none;width:1.375rem;height:1.375rem;margin:.125rem 0 0;accent-color:var(--act)}
.row{display:grid;grid-template-columns:1fr;gap:.25rem;padding:.5rem 0}
select,input[type=text]{width:100%;min-height:2.75rem;padding:.5rem .75rem;border-radius:.5rem;
border:1px solid var(--field);background:var(--card);color:var(--ink);font:inherit}
input[type=text]{max-width:14rem}
input[aria-invalid]{border:2px solid var(--wrong)}
.wrong{color:var(--wrong);font-weight:600}
.alert{margin:0 0 1.25rem;padding:1rem 1.25rem;border:2px solid var(--wrong);border-radius:.5rem}
.alert h2{margin:0 0 .25rem;font-size:1.0625rem}
.alert p{margin:0}
.alert a{color:var(--wrong)}
button{width:100%;min-height:3rem;padding:.75rem 1.25rem;border:0;border-radius:.5rem;
background:var(--act);color:var(--on-act);font:inherit;font-weight:600;cursor:pointer}
button:hover{filter:brightness(1.08)}
:focus-visible{outline:3px solid var(--act);outline-offset:3px}
@media(min-width:34rem){.row{grid-template-columns:1fr 13rem;align-items:center;gap:1rem}}
@media(max-width:30rem){body{padding:.75rem}main{padding:1.25rem}}
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
}


def unsubscribe_page(words: Words, organisation: str, choose_at: str) -> Response:
    """Asks; the button does it. Posts to its own address, which holds the token. `choose_at` is
    where less can be chosen than nothing.
    """
    text = escape(words.stop_text.format(whose=_whose(words, organisation)))
    return page(
        words,
        words.stop_title,
        f"<h1>{escape(words.stop_heading)}</h1><p>{text}</p>"
        f'<form method="post"><button type="submit">{escape(words.stop_button)}</button></form>'
        f'<p class="beside"><a href="{escape(choose_at)}">{escape(words.choose_instead)}</a></p>',
    )


def unsubscribed_page(words: Words, organisation: str) -> Response:
    """Says that it is done, and what may still arrive."""
    text = escape(words.stopped_text.format(whose=_whose(words, organisation)))
    return page(
        words,
        words.stopped_title,
        f'<h1 role="status">{escape(words.stopped_heading)}</h1><p>{text} '
        f"{escape(words.on_its_way)}</p><p>{escape(words.close)}</p>",
    )


def nothing_page() -> Response:
    """Behind the link that no person sees."""
    words = ENGLISH
    return page(
        words,
        words.nothing_heading,
        f"<h1>{escape(words.nothing_heading)}</h1><p>{escape(words.close)}</p>",
    )


def preview_page() -> Response:
    """For links of a preview or a test mail: there is nobody they could act for."""
    return page(
        ENGLISH,
        "A preview",
        "<h1>This was a preview</h1><p>The link belongs to a mail that was made to be looked at. "
        "Nobody was unsubscribed, and nothing was counted.</p>",
    )


def not_found_page() -> Response:
    """For links that are not ours: forged, cut short by a mail program, or mistyped."""
    words = ENGLISH
    return page(
        words,
        words.missing_title,
        f"<h1>{escape(words.missing_heading)}</h1><p>{escape(words.missing_text)}</p>",
        status=404,
    )


def try_again_page(words: Words = ENGLISH) -> Response:
    """For the moment in which the tracker cannot keep or look up anything."""
    response = page(
        words,
        words.later_title,
        f"<h1>{escape(words.later_heading)}</h1><p>{escape(words.later_text)}</p>",
        status=503,
    )
    response.headers["Retry-After"] = "5"
    return response


def page(words: Words, title: str, body: str, *, status: int = 200, wide: bool = False) -> Response:
    """A page of ours. `body` is HTML."""
    return Response(
        f'<!doctype html><html lang="{words.code}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main{' class=wide' if wide else ''}>{body}</main></body></html>",
        status_code=status,
        media_type="text/html",
        headers=PAGE_HEADERS,
    )


def _whose(words: Words, organisation: str) -> str:
    return words.whose.format(organisation=organisation) if organisation else ""
