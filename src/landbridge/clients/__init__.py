"""The only code that talks to a cluster or a cloud; its errors become ours here."""
