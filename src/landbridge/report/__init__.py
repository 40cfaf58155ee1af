"""What a migration did, on one page that needs no network."""
