"""Who fetched, by what it says of itself: its user agent and its method, and nothing else. Pure.

Agents that look like a browser and are none cannot be told here; `signals` looks at the rest.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from shared.wire.events import AgentClass

FIRST: Final = 1
"""The version that judged by words alone, and by fewer of them. Kept, so that what it says can be
said again; a version is never changed once events carry it."""
VERSION: Final = 2
"""Raised with every change of the rules, here and in `signals`; stands in each event as
`agent_version`."""
REMEMBERED: Final = 16_384

BODILESS: Final = frozenset({"HEAD", "OPTIONS"})
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

_SCANNER_WORDS: Final = (
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
    r"|https?://|\bwww\.|\S@\S|; compatible;|\(compatible;(?! ?(?:msie|konqueror|lotus|ms-office))"
)
_MORE_WORDS: Final = (
    # what monitors, previewers, archives and link tools call themselves
    r"|synthetic|webhook|favicon|link-?(?:check|finder|tiger|sleuth|dex)|urlcheck|\bhttp[_/-]"
    r"|httpunit|http client|api client|\bnetapi|api/\d|zgrab|xrawler|grabber|sucker|webcop"
    r"|\bdownload|pagespeed|pingdom|gtmetrix|critical ?(?:path|css)|ptst/|dareboost|certificate"
    r"|ssl labs"
    r"|securityheaders|openvas|acunetix|nessus|whatweb|dast\b|explore/|exporter|zabbix|datadog"
    r"|newrelic|catchpoint|site24x7|uptrends|updown|camo\b|imgproxy|twilioproxy|splash\b"
    r"|printfriendly|url to pdf|readable/|instap(?:aper|arser)|openrss|newsgather|newspaper/"
    r"|antenna|matcher|subscribers|physicalweb|-adwords|google-(?:ads|certificates)|\bgoogleother"
    r"|mediapartners|googleassociation|appsiteassociation|playstore-google|whatsapp|^viber"
    r"|^bluesky|onebox|zapier|integromat|zendesk|salesforce|sfdc|^sendgrid|^sparkpost|^shopify"
    r"|github-|bitbucket-|\b[a-z]+-ai\b|\bai$|newsai|unicorn|mobileok|\bdcv\b|\(address\)|\(at\)"
    # a domain of its own: a browser's name has none
    r"|(?<![\w.@])[a-z][a-z0-9-]{2,}\.(?:com|net|org|ai|ru|ua|eu|fr|gd|ly|bg)\b"
)
_SCANNERS: Final = {
    FIRST: re.compile(_SCANNER_WORDS, re.IGNORECASE),
    VERSION: re.compile(_SCANNER_WORDS + _MORE_WORDS, re.IGNORECASE),
}

_PERSON: Final = re.compile(
    r"^(?:Mozilla|Opera|Dalvik)/\d"
    r"|^(?:Mac)?Outlook|^Microsoft (?:Office|Outlook)|Thunderbird|^Airmail|^Android-Gmail"
    r"|Yahoo%20Mail|MailApp|MailBar|^WindowsMail|^eMClient|^Postbox|^The Bat!|^Barca|^Lotus"
    r"|^Monazilla|^DAVdroid|CFNetwork/|^SAMSUNG|^Nokia|^BlackBerry|^LG[-/]|^SonyEricsson|^HUAWEI"
    r"|UCWEB|^ZTE"
)


def classify(
    user_agent: str | None, method: str, *, click: bool = False, version: int = VERSION
) -> AgentClass:
    """Who fetched, by what it says of itself.

    A prefetch loads pictures and follows no link, so with `click` the same words are the view
    inside an app (WebKit without a browser's name) or say nothing (the bare `Mozilla/5.0`).
    """
    if method in BODILESS:
        return "scanner"
    return _class_of((user_agent or "").strip(), click, version)


@lru_cache(maxsize=REMEMBERED)
def _class_of(agent: str, click: bool, version: int) -> AgentClass:
    """Remembered, because few agents bring nearly all hits and the patterns are long."""
    if _IMAGE_PROXY.search(agent):
        return "proxy"
    if _PREFETCH.fullmatch(agent):
        return _bare(agent) if click else "prefetch"
    if _SCANNERS[version].search(agent):
        return "scanner"
    return "person" if _PERSON.search(agent) else "unknown"


def _bare(agent: str) -> AgentClass:
    return "unknown" if agent == "Mozilla/5.0" else "person"
