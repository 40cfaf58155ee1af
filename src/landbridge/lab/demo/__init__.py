"""`landbridge demo`: whole migrations on the lab's clusters, under load, with things going wrong on purpose."""
