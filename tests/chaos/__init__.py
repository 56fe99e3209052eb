"""The line when its parts are killed, stopped, doubled or away."""
