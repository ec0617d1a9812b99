"""The policy decision point: who may reach what, revisions of the policy, and why."""
