"""Finding devices on a line or a network that nobody has written down: asks, and never writes.

``targets``   what to ask, in the order of likelihood             pure
``probe``     one question to one unit, and what came back
``report``    what was heard                                    pure
``fit``       whether what a device holds is what a profile says  pure
``identify``  which profiles fit a device that answers
``scanner``   goes through all of it, and can be stopped
``findings``  what it means, in plain words                       pure
``sketch``    the beginning of a gateway.yaml                     pure
"""
