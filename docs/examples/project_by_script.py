"""Make a project by script: images, what is painted on them, a model as a round.

The dock *Project* and `napari-unet project` open the same folder.
"""

from pathlib import Path

import imageio.v3 as iio

import napari_unet as nu
from napari_unet.annotation.tiled import TiledLabels
from napari_unet.project import ClassEntry, Project
from napari_unet.sample import load_sample

sample, study = load_sample("nuclei"), Path("study")
study.mkdir(exist_ok=True)
halves = {"left": slice(None, 320), "right": slice(320, None)}
for name, part in halves.items():
    iio.imwrite(study / f"{name}.png", sample.image[:, part])

classes = (
    ClassEntry(value=1, name="background", colour="#a0a4ae"),
    ClassEntry(value=2, name="nucleus", colour="#e69f00"),
)
with Project.create(study / "nuclei.unet-project", classes=classes) as project:
    for name, part in halves.items():
        image = project.add_image(study / f"{name}.png", axes="YX")
        strokes = TiledLabels.of(sample.strokes[:, part])
        project.save_annotation(image.number, "strokes", strokes)  # on the disk now

with Project.open(study / "nuclei.unet-project") as project:
    learner = nu.Learner(nu.LearnerConfig(device="cpu"))
    for image, strokes in project.painted():
        learner.annotate(iio.imread(project.find(image.number)), strokes)
    for _ in learner.fine_tune(seconds=3):
        pass
    status = learner.status
    kept = project.rounds.add(
        learner.save,
        {"chosen": status.chosen, "scores": status.scores, "n_images": 2},
    )
    print(f"round {kept.number}: {kept.chosen}, {len(project.images)} images")
