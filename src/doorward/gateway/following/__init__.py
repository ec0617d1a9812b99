"""Following the change sequence: connections that lost permissions are cut, new policies are published."""
