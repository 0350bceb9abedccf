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

_STYLE: Final = """
:root{color-scheme:light dark;--ground:#f6f5f2;--card:#fff;--ink:#1d1c1a;--soft:#5b5852;
--line:#e2dfd8;--act:#1f4fd8;--on-act:#fff}
@media(prefers-color-scheme:dark){:root{--ground:#161513;--card:#211f1c;--ink:#f2efe9;
--soft:#b3aea4;--line:#37342f;--act:#9db8ff;--on-act:#10183a}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;
background:var(--ground);color:var(--ink);
font:1.0625rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:100%;max-width:30rem;padding:2rem;background:var(--card);
border:1px solid var(--line);border-radius:.75rem}
h1{margin:0 0 .75rem;font-size:1.5rem;line-height:1.25;text-wrap:balance}
p{margin:0 0 1rem;color:var(--soft)}
p:last-child,form{margin-bottom:0}
button{width:100%;min-height:3rem;padding:.75rem 1.25rem;border:0;border-radius:.5rem;
background:var(--act);color:var(--on-act);font:inherit;font-weight:600;cursor:pointer}
button:hover{filter:brightness(1.08)}
button:focus-visible{outline:3px solid var(--act);outline-offset:3px}
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


def unsubscribe_page(organisation: str) -> Response:
    """Asks; the button does it. Posts to its own address, which holds the token."""
    whose = f" from {escape(organisation)}" if organisation else ""
    return _page(
        "Unsubscribe",
        f"<h1>Stop these emails?</h1><p>You will get no more emails{whose}.</p>"
        '<form method="post"><button type="submit">Unsubscribe</button></form>',
    )


def unsubscribed_page(organisation: str) -> Response:
    """Says that it is done, and what may still arrive."""
    whose = f" from {escape(organisation)}" if organisation else ""
    return _page(
        "Unsubscribed",
        f'<h1 role="status">You are unsubscribed</h1><p>You will get no more emails{whose}. '
        "One that was already on its way may still arrive.</p><p>You can close this page.</p>",
    )


def preview_page() -> Response:
    """For links of a preview or a test mail: there is nobody they could act for."""
    return _page(
        "A preview",
        "<h1>This was a preview</h1><p>The link belongs to a mail that was made to be looked at. "
        "Nobody was unsubscribed, and nothing was counted.</p>",
    )


def not_found_page() -> Response:
    """For links that are not ours: forged, cut short by a mail program, or mistyped."""
    return _page(
        "Link not found",
        "<h1>This link does not work</h1><p>It may have been cut short on the way. "
        "Please go back to the email and use the link there, or copy the whole of it.</p>",
        status=404,
    )


def try_again_page() -> Response:
    """For the moment in which the tracker cannot keep or look up anything."""
    response = _page(
        "Please try again",
        "<h1>Please try again in a minute</h1><p>We could not do this just now. "
        "Nothing was changed.</p>",
        status=503,
    )
    response.headers["Retry-After"] = "5"
    return response


def _page(title: str, body: str, status: int = 200) -> Response:
    return Response(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>",
        status_code=status,
        media_type="text/html",
        headers=PAGE_HEADERS,
    )
