"""`gripproxy relay`: stands between many publishers and many hosts, so that neither side must know the other."""
