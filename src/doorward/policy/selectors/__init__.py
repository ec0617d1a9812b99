"""Selectors, the connection part of rules: one `SelectorKey` for each word, in the table `table.KEYS`."""
