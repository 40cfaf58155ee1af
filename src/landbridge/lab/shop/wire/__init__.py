"""What the shop's programs speak with: HTTP/1.1, gRPC and the life of a process that drains before it goes."""
