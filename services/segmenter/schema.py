"""The whole schema of the segmenter's store, in order of versions: what comes later, comes last."""

from __future__ import annotations

from typing import Final

from services.segmenter.people.schema import LATER_DDL, PEOPLE_DDL
from services.segmenter.sends.schema import SENDS_DDL

DDL: Final = (*PEOPLE_DDL, *SENDS_DDL, *LATER_DDL)
