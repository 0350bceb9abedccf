"""The language of definitions: campaign, areas, segments, templates, sends.

Parsing, checking and printing; no store, no log, no clock. What a definition *does* is the
business of the services.
"""
