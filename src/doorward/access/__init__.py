"""The policy decision point (PDP): decisions about connections, revisions of the policy, and explanations."""
