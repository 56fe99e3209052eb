"""The pages: what a worker, an operator, an installer and anybody with a case code see in a browser.

Made on the server and working without JavaScript; htmx renews parts of them. Nothing is loaded from elsewhere.
"""
