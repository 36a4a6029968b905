"""A small stand-in for the live job: same messages, same events, no torch.

It segments by intensity: a pixel gets the class with the nearest painted mean.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time

import numpy as np

from napari_unet.jobs import (
    AnnotationTaken,
    ConfidenceFound,
    HeadFitted,
    LearningChanged,
    ModeChanged,
    Notice,
    Progress,
    RegionFound,
    Score,
    Scored,
    StepDone,
    TilePredicted,
    UncertaintyMapped,
    WholeEnded,
)

TILE_PX = 64


class FakeInbox:
    """Records every message and hands it to the job."""

    def __init__(self):
        self.messages = queue.Queue()
        self.log = []
        self.scales = []
        self.thread = None

    def _put(self, name, *args):
        self.log.append((name, *args))
        self.messages.put((name, *args))

    def annotate(self, key, image, annotation, axes, complete=None, scale=None):
        self.scales.append(scale)
        for part in (annotation, complete):
            tiles = () if part is None else part.tiles.values()
            assert not any(tile.flags.writeable for tile in tiles)
        region = None if complete is None else np.asarray(complete)
        self._put("annotate", key, image, np.asarray(annotation), axes, region)

    def name_classes(self, names):
        self._put("name_classes", names)

    def forget(self, key):
        self._put("forget", key)

    def show(self, request):
        self._put("show", request)

    def set_config(self, config):
        self._put("set_config", config)

    def find_objects(self, settings):
        self._put("find_objects", settings)

    def map_uncertainty(self, on, measure):
        self._put("map_uncertainty", on, measure)

    def find_uncertain(self, keys):
        self._put("find_uncertain", keys)

    def find_confidence(self, request):
        self._put("find_confidence", request)

    def predict_all(self, key, scale, open_store=None, cluster=None):
        self._put("predict_all", key, scale, open_store, cluster)

    def cancel_prediction(self):
        self._put("cancel_prediction")

    def learn(self, on):
        self._put("learn", on)

    def refresh(self):
        self._put("refresh")

    def save(self, path, with_training=False):
        self._put("save", path)

    def load(self, path, keeps_scales=False):
        self._put("load", path)

    def set_scales(self, n_scales):
        self._put("set_scales", n_scales)

    def set_mode(self, mode):
        self._put("set_mode", mode)

    def reset(self):
        self._put("reset")

    def close(self):
        self._put("close")

    def calls(self, name):
        """Return the arguments of every call of one method."""
        return [entry[1:] for entry in self.log if entry[0] == name]


class FakeLive:
    """Makes inboxes and jobs; ``inboxes`` has one per job that was started.

    ``regions`` are the places (index, y, x, height, width, score) that are uncertain,
    in order; uncertainty itself is the grey value, up to 100 %.
    """

    def __init__(self, error=None, tile_delay_s=0.0, regions=()):
        self.regions = list(regions)
        self.maps_uncertainty = False
        self.inboxes = []
        self.error = error
        self.tile_delay_s = tile_delay_s

    def __call__(self):
        inbox = FakeInbox()
        self.inboxes.append(inbox)
        return inbox, lambda token: self._run(inbox, token)

    @property
    def inbox(self):
        return self.inboxes[-1]

    def _run(self, inbox, token):
        inbox.thread = threading.current_thread()
        images, view, step, version = {}, None, 0, 0
        is_learning = False
        yield Notice("a test", "device")
        while not token.cancelled:
            try:
                name, *args = inbox.messages.get(timeout=0.02)
            except queue.Empty:
                if is_learning:
                    step += 1
                    yield StepDone(step, 1 / step, step * 0.02, 50.0, version)
                continue
            if self.error is not None and name in ("annotate", "learn"):
                error, self.error = self.error, None
                raise error
            if name == "close":
                return
            if name == "annotate":
                version += 1
                yield from _take(images, args, version)
            elif name == "forget":
                version += 1
                images.pop(args[0], None)
            elif name == "show":
                view = args[0]
            elif name == "set_mode":
                yield ModeChanged(args[0])
            elif name == "learn":
                is_learning = args[0]
                yield LearningChanged(is_learning)
            elif name == "find_confidence":
                yield _confidence(images, args[0])
            elif name == "predict_all":
                yield from self._predict_all(images, args[0], version, token)
            elif name == "map_uncertainty":
                self.maps_uncertainty = args[0]
            elif name == "find_uncertain":
                for region in self.regions[:1]:
                    yield RegionFound(args[0][0], *region)
                self.regions = self.regions[1:]
            elif name == "save":
                yield Notice(f"Saved {args[0]}")
            asks = "annotate", "show", "refresh", "map_uncertainty"
            if view is not None and name in asks:
                yield from self._predict(images, view, version, token)

    def _predict(self, images, view, version, token):
        """Predict the visible field in tiles."""
        if not _is_ready(images, view.key):
            return
        boxes = [
            box
            for box in _grid(images[view.key][1].shape)
            if box[0] < view.y1 and box[1] > view.y0
            if box[2] < view.x1 and box[3] > view.x0
        ]
        for number, box in enumerate(boxes, start=1):
            if token.cancelled:
                return
            time.sleep(self.tile_delay_s)
            is_last = number == len(boxes)
            yield _tile(images, view.key, view.index, box, version, is_last)
            if self.maps_uncertainty:
                yield _map(images, view.key, view.index, box)

    def _predict_all(self, images, key, version, token):
        shape = images[key][1].shape
        tiles = list(itertools.product(np.ndindex(shape[:-2]), _grid(shape)))
        for done, (index, box) in enumerate(tiles, start=1):
            if token.cancelled:
                return
            yield _tile(images, key, index, box, version, done == len(tiles))
            yield Progress(done, len(tiles), "predict")
        yield WholeEnded()


def _take(images, args, version):
    key, image, annotation, axes, _complete = args
    if not annotation.any():
        images.pop(key, None)
        return
    images[key] = (image, annotation, axes)
    yield AnnotationTaken(version, 2, int(np.count_nonzero(annotation)))
    if not _is_ready(images, key):
        yield Notice("Now paint the other class.", "advice")
        return
    yield HeadFitted(version, 0.01)
    values = [int(v) for v in np.unique(annotation) if v]
    score = Score(0.8, dict.fromkeys(values, 0.8), dict.fromkeys(values, 0.9), 40, 4)
    forest = Score(0.7, {}, {}, 40, 4)
    scores = {"instant": score, "forest": forest}
    yield Scored(scores, "instant", "best on held-out strokes", 0, 0.0, True)


def _confidence(images, view):
    """Return how sure the fake is: 0.95, and less where the image is not flat."""
    shape = view.y1 - view.y0, view.x1 - view.x0
    labels = np.zeros(shape if _is_ready(images, view.key) else (0, 0), np.uint16)
    confidence = np.zeros(labels.shape, np.float32)
    if labels.size:
        box = view.y0, view.y1, view.x0, view.x1
        labels[:] = _tile(images, view.key, view.index, box, 0, True).labels
        gray = _gray(images[view.key][0], images[view.key][2])
        part = gray[(*view.index, slice(*box[:2]), slice(*box[2:]))]
        confidence[:] = np.where((part == 20) | (part == 200), 0.95, 0.6)
    return ConfidenceFound(view.key, view.index, view.y0, view.x0, labels, confidence)


def _is_ready(images, key):
    return key in images and len(np.unique(images[key][1])) > 2


def _grid(shape):
    """Return the tiles of a plane: (y0, y1, x0, x1)."""
    height, width = shape[-2:]
    return [
        (y, min(y + TILE_PX, height), x, min(x + TILE_PX, width))
        for y in range(0, height, TILE_PX)
        for x in range(0, width, TILE_PX)
    ]


def _gray(image, axes):
    array = np.asarray(image[...], float)
    return array.mean(axis=axes.index("C")) if "C" in axes else array


def _map(images, key, index, box):
    image, _, axes = images[key]
    y0, y1, x0, x1 = box
    part = _gray(image, axes)[(*index, slice(y0, y1), slice(x0, x1))]
    percent = np.minimum(part, 100).astype(np.uint8)
    return UncertaintyMapped(key, tuple(index), y0, x0, percent)


def _tile(images, key, index, box, version, is_last):
    image, annotation, axes = images[key]
    gray = _gray(image, axes)
    values = [int(v) for v in np.unique(annotation) if v]
    means = [gray[annotation == v].mean() for v in values]
    y0, y1, x0, x1 = box
    part = gray[(*index, slice(y0, y1), slice(x0, x1))]
    nearest = np.abs(part[..., None] - np.array(means)).argmin(-1)
    labels = np.array(values, np.uint8)[nearest]
    return TilePredicted(key, tuple(index), y0, x0, labels, "instant", version, is_last)
