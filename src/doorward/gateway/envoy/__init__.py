"""The Envoy processes: started, asked, replaced, restarted."""
