"""ACME at the edge: HTTPS to the server, ways to show control of a name, and the job of `serve`."""
