"""The test laboratory: real Asterisks, real mongods, phones that speak SIP, a CRM that speaks HTTP, all on loopback.

Python's standard library only. What a run needs from outside (Debian packages of Asterisk, a mongod) is fetched once
into `target/lab`. Reading order: office.py (one PBX with everything around it), then what it is made of.
"""
