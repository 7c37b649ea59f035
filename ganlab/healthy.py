"""Asks whether the page on this machine answers: `python -m ganlab.healthy` exits with 0 if so.

For a container, which has no curl; with nothing but what comes with Python, as it runs often.
"""

import http.client
import os
import sys

PATIENCE_SECONDS = 8


def is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException) as error:
        print(f"the page does not answer: {error!r}", file=sys.stderr)
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not is_healthy(int(os.environ.get("GRADIO_SERVER_PORT", "7860"))))
