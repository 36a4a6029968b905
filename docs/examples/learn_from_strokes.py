"""Learn from a few strokes, correct, and learn on: the loop of the dock, in Python.

Writes labels as TIFF and the model into the current folder.
"""

import napari_unet as nu
from napari_unet.annotation.simulate import simulate_corrections, simulate_strokes
from napari_unet.core import evaluate
from napari_unet.export import write_labels
from napari_unet.jobs import Scored
from napari_unet.sample import load_sample

sample = load_sample("nuclei")
image, truth = sample.image, sample.truth  # only the simulated hand sees the truth

learner = nu.Learner(nu.LearnerConfig(device="cpu"))
learner.class_names = {1: "background", 2: "nucleus"}
annotation = simulate_strokes(truth, 2, seed=0)  # 0 not painted, 1 background, 2 ..
learner.annotate(image, annotation)
labels = learner.predict(image)  # at once: a head on pretrained features
print(f"two strokes per class: {evaluate(labels, truth)['mean_iou']:.3f} mean IoU")

# paint where it is wrong; the same image again replaces its annotation
annotation = simulate_corrections(truth, labels, annotation, 6, seed=1)
learner.annotate(image, annotation)
for event in learner.fine_tune(seconds=3):  # or steps=..., or until a token says stop
    if isinstance(event, Scored):
        print(f"shown: {event.chosen}")
labels = learner.predict(image)
print(f"six corrections: {evaluate(labels, truth)['mean_iou']:.3f} mean IoU")

write_labels("nuclei-labels.tif", labels, class_names=learner.class_names)
learner.save("nuclei.safetensors")
same = nu.load("nuclei.safetensors").predict(image)
assert (same == labels).all()
