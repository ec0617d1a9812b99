"""The portal: where a person shows second factors, and enrols them. Behind the door, on an origin of its own."""
