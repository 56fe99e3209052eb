"""What a browser calls itself, in the few words by which a person knows it again."""

BROWSERS = (
    ("MicroMessenger", "WeChat"),
    ("Lark", "Feishu"),
    ("DingTalk", "DingTalk"),
    ("Edg/", "Edge"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("HarmonyOS", "HarmonyOS"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "Mac"),
    ("Linux", "Linux"),
)
"""The first one that is found: later ones are in what earlier ones call themselves."""


def agent_name(agent: str) -> str:
    """Return such as `Chrome · Android`; what nobody knows as it is, and empty for nothing."""
    known = [next((name for mark, name in names if mark in agent), "") for names in (BROWSERS, SYSTEMS)]
    return " · ".join(filter(None, known)) or agent
