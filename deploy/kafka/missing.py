"""What this machine lacks, said in one plain sentence."""

from __future__ import annotations


class Missing(Exception):
    """Something a person must install, or that could not be fetched; the text says which."""

    exit_code = 64
