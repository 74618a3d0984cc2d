"""What the tests of probes share."""

#: Source of functions that draw: one draws until a number suits it.
DRAWING = """
import random, secrets

def once():
    return secrets.randbelow(2**40 + 1)

def draw():
    return random.Random().random()

def until_it_suits():
    drawn = [draw()]
    while drawn[-1] > 0.1:
        drawn.append(draw())
    return drawn
"""
