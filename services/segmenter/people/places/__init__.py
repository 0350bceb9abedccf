"""Turns a postcode, however it was typed, into areas and a point on the map.

`postcode` reads the spelling, `release` and `packed` hold the published directory of every UK
postcode, `directory` looks postcodes up in it, `coordinates` turns grid references into latitude
and longitude, and `areas` puts the pieces together as a `Place`. This room knows nothing of
supporters, and never asks anyone over a network.
"""
