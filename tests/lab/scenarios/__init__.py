"""The stories: basic.py and whole.py are calls, trouble.py is what breaks around them, snippets.py what we ship for Asterisk."""
