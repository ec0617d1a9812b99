"""What belongs to the door on the hosts of applications: the way back from the portal, and signing out."""
