"""The errors this library declares. Anything else that escapes it is a bug."""


class JitrError(Exception):
    """Base of every declared error."""


class InputError(JitrError):
    """Something a person or a file gave us cannot be used. The message says what, where and what to do."""


class Unreadable(InputError):
    """Bytes that should be a certificate cannot be read as one.

    ``code`` is the reason code (``certificate.unreadable`` or ``certificate.too-large``) under which a
    device that brought them is held.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NotACertificate(Unreadable):
    """Bytes that are no certificate, but something else by mistake or nothing known; the message says what."""

    def __init__(self, message: str) -> None:
        super().__init__("certificate.unreadable", message)


class UnusableCrl(InputError):
    """Bytes that should be a CA's complete revocation list are none; devices of that CA are held meanwhile."""


class UnusableOcsp(InputError):
    """Bytes that should be a responder's answer are none, or are not an answer to what was asked.

    ``unavailable`` where the responder itself says that it cannot answer now.
    """

    def __init__(self, message: str, *, unavailable: bool = False) -> None:
        super().__init__(message)
        self.unavailable = unavailable


class Poison(JitrError):
    """A message that can never be handled, however often it is delivered; ``code`` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Retry(JitrError):
    """Could not decide or apply *now*; not an answer about the device. ``cause`` is a short word for metrics."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Refused(JitrError):
    """AWS will give the same answer to the same request for ever. ``code`` is AWS's own."""

    def __init__(self, operation: str, code: str, message: str) -> None:
        super().__init__(f"{operation}: {code}: {message}")
        self.operation = operation
        self.code = code
