"""Container images without a registry and without Docker: trees of files, written as OCI archives."""
