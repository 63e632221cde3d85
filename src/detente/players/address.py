"""What a remote model is called: ``openai:MODEL@URL``.

    "openai:org/model:7b@http://127.0.0.1:8000/v1"  ──>  "org/model:7b", "http://127.0.0.1:8000/v1"

Names of models have slashes, colons and @ in them, so an address is what begins with @http:// or @https://. Every record holds
the address, so the address holds no key. Standard library only.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from detente.errors import UserError

PREFIX = "openai:"
FORM = "openai:MODEL@URL, such as openai:pocket@http://127.0.0.1:8000/v1"
KEY = "OPENAI_API_KEY"  # where the key stands in the environment
# What follows an @ and is an address all the same, though it does not begin with http://.
BARE_ADDRESS = re.compile(r"@(localhost\b|\[|[\w.-]+:\d+|[\w-]+(\.[\w-]+)+/)")


def parsed(name: str) -> tuple[str, str | None]:
    """Model and address, ("a/b:c", "http://host:1/v1"); the address is None where none is named. UserError for anything else."""
    model, url = re.fullmatch(r"openai:(.*?)(?:@(\w+://.*))?", name, re.DOTALL).groups()  # type: ignore[union-attr]
    fault = _fault(model, url)
    if fault:
        shown = f"openai:{model}@..." if re.search("[@?#]", url or "") else name  # what stands there may be a password
        raise UserError(f"'{shown}' names no remote model: {fault}; the form is {FORM}.")
    return model, url


def _fault(model: str, url: str | None) -> str:
    """What is wrong with the two parts of a name; "" for nothing."""
    if re.search(r"\s", model + (url or "")):
        return "it has a space in it"
    if not model:
        return "the model is missing"
    if url is None:
        if model.endswith("@"):
            return "the address after @ is missing"
        return "its address does not begin with http:// or https://" if BARE_ADDRESS.search(model) else ""
    try:
        address = urlsplit(url)
        port_fits = address.port != 0
    except ValueError:
        return "its address has a part that none can have"
    if address.scheme not in ("http", "https"):
        return f"its address begins with {address.scheme}:// and not with http:// or https://"
    if "@" in address.netloc or address.query or address.fragment:
        return f"an address is a host, a port and a path only, and a key belongs into {KEY}"
    return "" if address.hostname and port_fits else "its address has no host"


def loopback(host: str) -> bool:
    """Whether this is a name or an address of the machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def elsewhere(name: str) -> bool:
    """Whether this names a remote model that does not run on this machine: to ask it may cost money, and shows it one's key."""
    if not name.startswith(PREFIX):
        return False
    _, url = parsed(name)
    return url is None or not loopback(urlsplit(url).hostname or "")
