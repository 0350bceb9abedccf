"""Reads a UK postcode from whatever was typed, or says what is wrong with it.

Only the spelling is judged here, by the rules of form: whether such a postcode was ever given to
anyone is for the directory to say. Pure: no file, no clock, no log. The reason of a refusal may
quote a part of the postcode, which is as good as half an address: show it to the person who typed
it, and keep it out of logs.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

ONE_LETTER_AREAS: Final = frozenset("BEGLMNSW")

_SECOND_LETTERS: Final = {
    "A": "BL",
    "B": "ABDFHLNRSTX",
    "C": "ABFHMORTVW",
    "D": "ADEGHLNTY",
    "E": "CHNX",
    "F": "KY",
    "G": "LUY",
    "H": "ADGPRSUX",
    "I": "GMPV",
    "J": "E",
    "K": "ATWY",
    "L": "ADELNSU",
    "M": "EKL",
    "N": "EGNPRW",
    "O": "LX",
    "P": "AEHLOR",
    "R": "GHM",
    "S": "AEGKLMNOPRSTWY",
    "T": "ADFNQRSW",
    "U": "B",
    "W": "ACDFNRSV",
    "Y": "O",
    "Z": "E",
}
TWO_LETTER_AREAS: Final = frozenset(
    first + second for first, seconds in _SECOND_LETTERS.items() for second in seconds
)
"""All two-letter areas on the map, with BF (forces abroad) and BX (firms without an address)."""

LONDON_AREAS_WITH_LETTERED_DISTRICTS: Final = ("EC", "NW", "SE", "SW", "WC", "E", "N", "W")

SHORTEST, LONGEST = 5, 7
"""Letters and digits of a whole postcode, from `M1 1AA` to `EC1A 1BB`."""

# Girobank's own code, and the first form of Newport's, which the directory still lists.
_ODD_DISTRICTS = "GIR|NPT"
# The one postcode in the directory that breaks the rule on the last two letters.
_ODD_POSTCODES = frozenset({"NPT0VA"})

_ONE = f"[{''.join(sorted(ONE_LETTER_AREAS))}]"
_TWO = f"(?:{'|'.join(sorted(TWO_LETTER_AREAS))})"
_LONDON = f"(?:{'|'.join(LONDON_AREAS_WITH_LETTERED_DISTRICTS)})"
# District 0 exists only under two letters (CR0, HA0), a leading zero nowhere, and the letter that
# ends a lettered district is never one that looks like a digit.
_DISTRICT = re.compile(
    f"(?:{_ONE}|{_TWO})[1-9][0-9]?|{_TWO}0|{_LONDON}[1-9][A-HJKMNPR-Y]|{_ODD_DISTRICTS}"
)
_INWARD = re.compile("[0-9][ABD-HJLNP-UW-Z]{2}")
_LOOKS_LIKE = {"0": "0O", "O": "O0", "1": "1I", "I": "I1"}
_CATEGORIES_BETWEEN = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Pd", "Pc", "Pi", "Pf"})
_MARKS_BETWEEN = frozenset(".,·•'\"\u2212")


class MalformedPostcode(ValueError):
    """The text cannot be a whole UK postcode; `reason` says why, in words for whoever typed it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, order=True)
class Postcode:
    """A well-formed postcode, `FK2` + `7AA`. Made by `parse`, or from a row of the directory."""

    outward: str
    inward: str

    @property
    def canonical(self) -> str:
        """The one spelling used as a key everywhere: `FK2 7AA`."""
        return f"{self.outward} {self.inward}"

    @property
    def area(self) -> str:
        """`FK`: the letters before the first digit (`GIR` and `NPT` stand for themselves)."""
        return _letters_before_a_digit(self.outward)

    @property
    def district(self) -> str:
        """`FK2`: the whole outward part, so that `EC1A` and `EC1M` are districts of their own."""
        return self.outward

    @property
    def sector(self) -> str:
        """`FK2 7`: some three thousand homes."""
        return f"{self.outward} {self.inward[0]}"

    def __str__(self) -> str:
        return self.canonical


def parse(text: str) -> Postcode:
    """Read one postcode in any case, width and spacing, with dots, dashes or quotes strewn in.

    O for 0 and I for 1, either way round, are mended only if the text as typed cannot be a
    postcode and exactly one such reading can. Raises `MalformedPostcode`.
    """
    compact = _compact(text)
    postcode = _whole(compact)
    if postcode is not None:
        return postcode
    readings = _readings(compact)
    if len(readings) == 1:
        return readings[0]
    raise MalformedPostcode(_fault(compact))


def _compact(text: str) -> str:
    """Capital letters and digits alone; anything but separators beside them is refused."""
    if text.isascii():
        compact = text.upper().replace(" ", "")
        if compact.isalnum():
            return compact
    kept: list[str] = []
    for character in text:
        plain = unicodedata.normalize("NFKC", character)
        if len(plain) == 1 and plain.isascii() and plain.isalnum():
            kept.append(plain.upper())
        elif not _separates(character):
            raise MalformedPostcode(f"a postcode is letters and digits, not {character!r}")
    if not kept:
        raise MalformedPostcode("there is no postcode: the field is blank")
    return "".join(kept)


def _separates(character: str) -> bool:
    """Spaces of every width, invisible characters, dashes, quotation marks and dots."""
    return unicodedata.category(character) in _CATEGORIES_BETWEEN or character in _MARKS_BETWEEN


def _whole(compact: str) -> Postcode | None:
    outward, inward = compact[:-3], compact[-3:]
    if _DISTRICT.fullmatch(outward) and (_INWARD.fullmatch(inward) or compact in _ODD_POSTCODES):
        return Postcode(outward, inward)
    return None


def _readings(compact: str) -> list[Postcode]:
    """Every postcode the text may stand for when O and 0, I and 1 are taken for each other."""
    if not SHORTEST <= len(compact) <= LONGEST:
        return []
    swaps = itertools.product(*(_LOOKS_LIKE.get(character, character) for character in compact))
    return [found for swap in swaps if (found := _whole("".join(swap))) is not None]


def _fault(compact: str) -> str:
    if len(compact) > LONGEST:
        return (
            f"{len(compact)} letters and digits, where a postcode has at most {LONGEST}: "
            "is there other text beside it?"
        )
    part = _part(compact)
    if part is not None:
        return f"'{compact}' is {part}, not a whole postcode"
    if len(compact) < SHORTEST:
        return f"'{compact}' is too short: a postcode has at least {SHORTEST} letters and digits"
    return _fault_of_outward(compact[:-3]) or _fault_of_inward(compact[-3:])


def _part(compact: str) -> str | None:
    """What a text is that stops too early: `FK`, `FK2`, `FK27` (read either way), `FK27A`."""
    if compact in ONE_LETTER_AREAS or compact in TWO_LETTER_AREAS:
        return "an area"
    district = _DISTRICT.fullmatch(compact) is not None
    sector = compact[-1].isdigit() and _DISTRICT.fullmatch(compact[:-1]) is not None
    if district:
        return "a district or a sector" if sector else "a district"
    if sector:
        return "a sector"
    if re.fullmatch("[0-9][A-Z]", compact[-2:]) and _DISTRICT.fullmatch(compact[:-2]):
        return "a postcode short of its last letter"
    return None


def _fault_of_outward(outward: str) -> str | None:
    if _DISTRICT.fullmatch(outward):
        return None
    area = _letters_before_a_digit(outward)
    if not area:
        return "a postcode begins with one or two letters, and this one with a digit"
    if area not in ONE_LETTER_AREAS and area not in TWO_LETTER_AREAS:
        return f"there is no postcode area '{area}'"
    if area == outward:
        return f"the number of the district is missing after '{area}'"
    return (
        f"there can be no district '{outward}': after '{area}' comes a number without a leading "
        "zero, and only some London districts end in a letter"
    )


def _fault_of_inward(inward: str) -> str:
    if re.fullmatch("[0-9][A-Z]{2}", inward):
        return f"the last two letters are never C, I, K, M, O or V, as in '{inward}'"
    return f"a postcode ends in a digit and two letters, and here is '{inward}'"


def _letters_before_a_digit(outward: str) -> str:
    return "".join(itertools.takewhile(str.isalpha, outward))
