"""An OpenID Connect provider for development, which knows no passwords.

`make run ARGS=--auth` starts it on a loopback address. Anybody on this machine can get
a token for any user, so nothing but a test or a developer may trust it.
"""
