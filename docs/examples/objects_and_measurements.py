"""Find objects, touching ones apart, and measure them with scikit-image into a CSV."""

import csv

from skimage.measure import regionprops_table

import napari_unet as nu
from napari_unet.sample import load_sample

PIXEL_UM = 0.65  # the sample's file does not say it: an example

sample = load_sample("nuclei")
learner = nu.Learner(nu.LearnerConfig(device="cpu"))
learner.annotate(sample.image, sample.strokes)

settings = nu.InstanceConfig(min_size_px=30, split_strength=0.8)
objects = learner.predict_instances(sample.image, settings=settings)
print(f"{objects.labels.max()} objects")

measured = regionprops_table(
    objects.labels,
    sample.image,
    properties=("label", "area", "centroid", "intensity_mean", "solidity"),
    spacing=(PIXEL_UM, PIXEL_UM),
)
names = ["object", "area um^2", "y um", "x um", "mean intensity", "solidity"]
rows = zip(*(column.tolist() for column in measured.values()), strict=True)
with open("nuclei.csv", "w", newline="", encoding="utf-8") as file:
    csv.writer(file).writerows([names, *rows])
