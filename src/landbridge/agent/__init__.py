"""The process inside a cluster that makes the data plane obey; it knows no plan."""
