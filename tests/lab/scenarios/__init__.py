"""The stories: basic.py and whole.py are calls, trouble.py is what breaks around them, clicks.py and asks.py what CRM and dialplan ask,
snippets.py what we ship for Asterisk."""
