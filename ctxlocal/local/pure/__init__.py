"""The reference twin, written to be read, and nothing else.

``cell`` holds the values of one owner, ``attribute`` and ``local`` make a namespace of it,
``stack`` a stack; ``resolver`` finds an object and ``proxy`` stands for it.
"""
