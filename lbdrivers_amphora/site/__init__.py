"""The embedded site: machines, networks and guests on this very host, in namespaces of their own."""
