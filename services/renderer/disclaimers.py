"""The disclaimer block that every mail must carry, by jurisdiction.

uk: Elections Act 2022, Part 6: name and postal address of the promoter and of anyone on whose
behalf it is published, as text in the material itself. us: "Paid for by" with the postal address
(52 USC 30120 for the words, 15 USC 7704 for the address). none: nothing is owed, for a recorded
reason; the postal address stands all the same.
"""

from __future__ import annotations

from markupsafe import Markup, escape

from shared.programme.definitions import Campaign


def disclaimer_text(campaign: Campaign) -> str:
    """The block as plain text, never empty."""
    said = campaign.disclaimer
    match said.jurisdiction:
        case "uk":
            line = f"Promoted by {said.promoter}, {said.promoter_address}"
            if said.on_behalf_of:
                line += f", on behalf of {said.on_behalf_of}, {said.on_behalf_of_address}"
            return line.rstrip(" ,") + "."
        case "us":
            payer = said.promoter or campaign.organisation
            return f"Paid for by {payer}\n{campaign.postal_address}"
        case "none":
            return f"{campaign.organisation}, {campaign.postal_address}"


def disclaimer_html(campaign: Campaign) -> Markup:
    """The same for the HTML part."""
    return Markup("<br>").join(escape(line) for line in disclaimer_text(campaign).split("\n"))


def what_is_missing(campaign: Campaign) -> list[str]:
    """Why a campaign's disclaimer is not complete; empty when it is."""
    said = campaign.disclaimer
    missing = []
    if said.jurisdiction == "uk":
        missing = [
            name for name in ("promoter", "promoter_address") if not getattr(said, name).strip()
        ]
        if said.on_behalf_of and not said.on_behalf_of_address.strip():
            missing.append("on_behalf_of_address")
    elif said.jurisdiction == "none" and not said.reason.strip():
        missing = ["reason"]
    if not campaign.postal_address.strip():
        missing.append("postal_address (of the campaign)")
    return missing
