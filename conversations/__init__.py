"""Chats in, exact training tokens out: readers, cleaning, templates, tokenisation and masks."""
