"""One application in a server's process; the environment says which."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.sessions.place import Place

from . import FOLDER, PROTOCOL, TITLE
from .applications import APPLICATIONS

_wanted = os.environ[TITLE], os.environ[PROTOCOL]
(_application,) = (one for one in APPLICATIONS if (one.title, one.protocol) == _wanted)
app = _application.make(Place(Path(os.environ[FOLDER])))
