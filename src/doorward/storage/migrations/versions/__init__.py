"""The revisions, oldest first; released ones are never edited."""
