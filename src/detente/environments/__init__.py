"""Environments of other libraries: our games as theirs, and theirs as games. Each module needs its library, an extra of its own."""
