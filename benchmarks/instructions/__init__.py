"""How many instructions a request of each kind takes, as a guard against slower paths.

Valgrind's callgrind counts what a processor would execute, which is the same on a busy machine and
an idle one. ``kinds`` are what is counted, ``counted`` counts them in a process under valgrind,
``run`` compares with the committed figures (``ledger``), and ``before`` counts what these were
taken of once more where the interpreter, a library or the processor is another one now.
"""
