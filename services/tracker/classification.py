"""Who did it: a person, a proxy for one, a prefetch, a scanner. Pure and versioned.

Judges by user agent and method alone, for a start; the raw facts stay in the event beside the
class, so that a later version (time since delivery, all links at once) can be run over them again.
Agents that look like a browser and are none cannot be told here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from shared.wire.events import AgentClass

VERSION: Final = 1
"""Raised with every change of the rules; stands in each event as `agent_version`."""
REMEMBERED: Final = 16_384

_BODILESS: Final = frozenset({"HEAD", "OPTIONS"})
"""Methods of link checkers: no mail client and no browser shows anything from them."""

_IMAGE_PROXY: Final = re.compile(r"GoogleImageProxy|ggpht\.com|YahooMailProxy|^FastmailUA/")
"""Mailbox providers' proxies: they fetch when the person opens, but hide device and place."""

_PREFETCH: Final = re.compile(
    # Apple Mail Privacy Protection: the bare word, or WebKit with no browser's name behind it.
    r"Mozilla/5\.0"
    r"|Mozilla/5\.0 \([^()]*\) AppleWebKit/[\d.]+ \(KHTML, like Gecko\)(?: Mobile/\w+)?"
    # Gmail, for people who have it open: loads pictures before the mail is looked at.
    r"|Mozilla/5\.0 \([^()]*\) AppleWebKit/[\d.]+ \(KHTML, like Gecko\) Chrome/[\d.]+"
    r" Safari/[\d.]+ Edge/12\.246 Mozilla/5\.0"
)

_SCANNER: Final = re.compile(
    # what programs call themselves
    r"bot(?![a-z])|bots|crawl|spider|scrap(?:e|y)|scan|slurp|archiv|index(?:er|ing)|monitor"
    r"|validat|verif|\bcheck|checker|preview|prerender|headless|phantomjs|puppeteer|playwright"
    r"|selenium|lighthouse|fetch|retriev|harvest|probe|inspect|analy[sz]|insights?\b|research"
    r"|survey|feed|\brss|ping(?:dom)?\b|uptime|audit|detect|search(?!browser|app)|sitemap|seo\b"
    r"|discovery|linkexpand|unfurl|externalhit|transcoder|http-?client|web-?client|collector"
    r"|sniff|thumb|screenshot|snapshot|reader\b|agent\b|metadata"
    # tool kits
    r"|^curl|libcurl|wget|python|aiohttp|httpx|urllib|\bjava(?:/|\b)|^okhttp/|go-http|golang"
    r"|^ruby|faraday|^php|guzzle|libwww|\bperl|\blwp|axios|node-?fetch|undici|^node|^deno|^dart"
    r"|^rust|reqwest|winhttp|powershell|postman|insomnia|httpie|^ahc/|restsharp|nutch|colly"
    # gateways and servers that look into mail
    r"|barracuda|mimecast|proofpoint|symantec|messagelabs|fireeye|trend ?micro|sophos|ironport"
    r"|\bcisco|forcepoint|fortinet|zscaler|palo ?alto|virustotal|appengine|google-safety|scmguard"
    r"|microsoft exchange/|office 365 connectors|dataaccessd|cloudfront|cloudflare|hubspot"
    r"|^cortex/|skypeuri|^whatsapp/|meta-external"
    # an address to complain to, or "compatible" with nothing known: programs say so, people not
    r"|https?://|\bwww\.|\S@\S|; compatible;|\(compatible;(?! ?(?:msie|konqueror|lotus|ms-office))",
    re.IGNORECASE,
)

_PERSON: Final = re.compile(
    r"^(?:Mozilla|Opera|Dalvik)/\d"
    r"|^(?:Mac)?Outlook|^Microsoft (?:Office|Outlook)|Thunderbird|^Airmail|^Android-Gmail"
    r"|Yahoo%20Mail|MailApp|MailBar|^WindowsMail|^eMClient|^Postbox|^The Bat!|^Barca|^Lotus"
    r"|^Monazilla|^DAVdroid|CFNetwork/|^SAMSUNG|^Nokia|^BlackBerry|^LG[-/]|^SonyEricsson|^HUAWEI"
    r"|UCWEB|^ZTE"
)


def classify(user_agent: str | None, method: str, *, click: bool = False) -> AgentClass:
    """Who fetched, by what it says of itself.

    A prefetch loads pictures and follows no link, so with `click` the same words are the view
    inside an app (WebKit without a browser's name) or say nothing (the bare `Mozilla/5.0`).
    """
    if method in _BODILESS:
        return "scanner"
    return _class_of((user_agent or "").strip(), click)


@lru_cache(maxsize=REMEMBERED)
def _class_of(agent: str, click: bool) -> AgentClass:
    """Remembered, because few agents bring nearly all hits and the patterns are long."""
    if _IMAGE_PROXY.search(agent):
        return "proxy"
    if _PREFETCH.fullmatch(agent):
        return _bare(agent) if click else "prefetch"
    if _SCANNER.search(agent):
        return "scanner"
    return "person" if _PERSON.search(agent) else "unknown"


def _bare(agent: str) -> AgentClass:
    return "unknown" if agent == "Mozilla/5.0" else "person"
