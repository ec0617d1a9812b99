"""Composition: the only package that knows all parts, and may hold the key store."""

from doorward.runtime.compose.installation import LOG_KEY as LOG_KEY
from doorward.runtime.compose.installation import Installation as Installation
