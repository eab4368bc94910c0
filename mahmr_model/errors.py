"""The one kind of error that is the user's to mend, shown without a traceback."""


class UserError(Exception):
    """
    Something outside the program is not as needed: a file, an option, a camera.

    The message is one sentence or two: what was expected, what came, and what to do.
    Commands print it and end with exit code 2; the node logs it.
    """
