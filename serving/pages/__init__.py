"""The pages: what retention teams work with, made on the server by the functions behind the `/v1` routes."""
