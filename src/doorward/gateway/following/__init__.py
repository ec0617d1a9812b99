"""Following the change sequence: what lost authority is cut, what is new is published."""
