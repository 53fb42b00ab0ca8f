"""Settings that the names of an architecture's fields do not reveal."""

SETTINGS = {}
NOT_BUILT = {}
