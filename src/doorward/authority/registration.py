"""RA: may this requester have this certificate?"""

from __future__ import annotations
