"""The parts of one Kubernetes cluster, one file each: start it, wait until it is ready."""
