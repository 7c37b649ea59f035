"""How many files and connections the page's process may have open."""

import logging

log = logging.getLogger(__name__)

MOST = 65_536  # each costs the kernel a kilobyte or two, and the process next to nothing


def allow_many() -> None:
    """Takes what the system gives for the asking: systemd starts services with 1,024, of which
    every open page takes two."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError) as error:  # some systems have a second limit that they do not tell
        log.warning("At most %s files can be open: %s", f"{soft:,}", error)
