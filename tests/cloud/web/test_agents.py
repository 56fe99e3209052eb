"""How a browser is called on the page of one's sessions."""

import pytest

from cloud.web.agents import agent_name

LINUX = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (f"{LINUX} Chrome/150.0.0.0 Safari/537.36", "Chrome · Linux"),
        (f"{LINUX} Chrome/150.0.0.0 Safari/537.36 Edg/150.0", "Edge · Linux"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1 MicroMessenger/8.0", "WeChat · iPhone"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", ""),
    ],
)
def test_a_browser_is_known_again(agent: str, name: str) -> None:
    """By its name and its machine's; what is no browser as it calls itself."""
    assert agent_name(agent) == name
