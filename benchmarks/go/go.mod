module landbridge.dev/benchmarks

go 1.24
