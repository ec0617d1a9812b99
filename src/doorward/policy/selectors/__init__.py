"""Selectors, the connection part of rules: one `SelectorKey` for each key, in the table `table.KEYS`."""
