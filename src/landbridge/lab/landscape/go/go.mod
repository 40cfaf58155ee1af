module landbridge.dev/landscape

go 1.24
