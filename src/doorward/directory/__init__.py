"""People, devices, services, their groups and their invitations."""
