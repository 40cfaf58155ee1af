"""Work that nobody calls: schedules (and later queues), handed over so that each piece is done once."""
