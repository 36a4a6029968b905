"""The interactive loop, driven by a script instead of a viewer and threads."""

from napari_unet.jobs import CancelToken, Notice
from napari_unet.learning.inbox import Inbox
from napari_unet.learning.live import live


class Script(Inbox):
    """An inbox that acts by itself: one action whenever the loop has nothing to do.

    After the last action it closes.
    """

    def __init__(self, *actions):
        super().__init__()
        self.actions = list(actions)

    def wait(self, since, token):
        if self.number != since:  # as in the real one: something has come in
            return
        if self.actions:
            self.actions.pop(0)(self)
        else:
            self.close()


def run(config, *actions, on=None, token=None):
    """Return the loop's events; ``on(event, inbox)`` acts while it is at work."""
    inbox = Script(*actions)
    events = []
    for event in live(config, inbox, token or CancelToken()):
        events.append(event)
        assert len(events) < 3000
        if on is not None:
            on(event, inbox)
    return events


def of(events, kind):
    """Return the events of one kind."""
    return [e for e in events if isinstance(e, kind)]


def notices(events, level):
    """Return what was said at a level."""
    return [e.message for e in of(events, Notice) if e.level == level]
