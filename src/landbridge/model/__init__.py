"""What everything is said in: names and types, frozen, no behaviour beyond reading themselves."""
