"""Label a folder of images with one model; a bad file does not stop the others.

On the command line, `napari-unet predict --model M --image FOLDER --out LABELS` does
the same; this is for programs that do something else with each image.
"""

from pathlib import Path

import imageio.v3 as iio

import napari_unet as nu
from napari_unet.export import write_labels
from napari_unet.sample import load_sample

# a folder of images, one of which is broken
sample, folder = load_sample("nuclei"), Path("images")
folder.mkdir(exist_ok=True)
for number in range(4):
    part = sample.image[:256, 160 * number : 160 * number + 160]
    iio.imwrite(folder / f"field-{number}.png", part)
(folder / "field-9.png").write_bytes(b"not an image")

learner = nu.Learner(nu.LearnerConfig(device="cpu"))
learner.annotate(sample.image, sample.strokes)
learner.save("nuclei.safetensors")

learner = nu.load("nuclei.safetensors")
out = Path("labels")
out.mkdir(exist_ok=True)
for path in sorted(folder.glob("*.png")):
    try:
        labels = learner.predict(iio.imread(path, plugin="pillow"))
    except (nu.NapariUnetError, OSError) as error:
        print(f"{path.name}: left out ({type(error).__name__})")
        continue
    write_labels(out / f"{path.stem}-labels.tif", labels)
    print(f"{path.name}: {(labels == 2).mean():.0%} nuclei")
