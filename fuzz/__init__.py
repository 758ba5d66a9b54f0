"""Hostile input for every reader of what strangers write: events, certificates, revocation lists, rules, device lists.

``targets`` says what each reader may answer, ``inputs`` makes what it is given, ``work`` counts what that costs it, and
``python -m fuzz`` goes on until its time is up. ``tests/properties/test_fuzz.py`` does a little of it, always the same.
"""
