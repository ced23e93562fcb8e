"""Formats that chats come in, one object and one file each, and the readers of them all."""
