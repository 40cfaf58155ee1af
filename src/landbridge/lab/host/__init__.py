"""What the lab does to the machine it runs on: programs, packages, processes, networks, cgroups."""
