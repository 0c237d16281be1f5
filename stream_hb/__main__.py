"""``python -m stream_hb`` is ``stream-hb``."""

import sys

from stream_hb.cli import main

sys.exit(main())
