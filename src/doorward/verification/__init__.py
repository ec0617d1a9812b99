"""Floor 2: judges certificates. It never imports pki: the code that checks must not rely on the code that issues."""
