"""Who may enter the broker: our own authority for certificates, and the passwords of gateways.

`certificates` makes and reads them, `authority` keeps the folder of the authority and its book, `password_file` is
Mosquitto's. Nothing here talks to a broker: it reads the files again when told.

    AccessError               the text says what is wrong and what to do; nothing was changed
    └── RequestError          the request for a certificate cannot be granted as it is
"""


class AccessError(Exception):
    """A certificate or a password cannot be given, taken back or read."""


class RequestError(AccessError):
    """A request for a certificate cannot be granted."""


CLOUD_USER = "anlan.cloud"
"""Who the cloud is to the broker; the dot keeps it apart from every id that a gateway can have."""
