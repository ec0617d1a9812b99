"""Putting the parts together: the one place that knows all of them, and may hold the key store."""

from doorward.runtime.compose.installation import LOG_KEY as LOG_KEY
from doorward.runtime.compose.installation import Installation as Installation
