"""Checks a session store from outside: what it keeps, how fast, and what endangers it there.

``contract`` tries a store with records of its own; ``redis``, ``sql`` (by ``postgresql`` and
``mysql``) and ``sqlite`` ask the engines for their settings and judge them, as ``finding`` says;
``report`` has it all together. Nothing is left behind, and nobody's session is touched.
"""
